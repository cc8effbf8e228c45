"""Where no stack runs, a command starts one for its own time."""

import signal
from pathlib import Path

from app.local.state import DataDirectory, running
from tests.app.cli.commands import companies, holdfast, read_until, started


def test_it_ends_with_the_command_and_an_interrupted_job_goes_on_with_the_next(tmp_path: Path):
    companies(tmp_path / "leads.csv", 1000)
    with started("enrich", "leads.csv", cwd=tmp_path) as process:
        read_until(process, "running")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # people press it twice
        said, complaint = process.communicate(timeout=30)

    assert (process.returncode, complaint) == (130, "")
    assert "goes on with the next `holdfast up`" in said
    directory = DataDirectory(tmp_path / ".holdfast")
    assert running(directory.path) is None
    assert [each for each in directory.recall().processes if each.alive()] == []

    hint = next(line for line in said.splitlines() if "Attach again" in line).partition("holdfast jobs ")[2].split()
    watched = holdfast("jobs", *hint, cwd=tmp_path)

    assert (watched.returncode, watched.stderr) == (0, "")
    assert "1,000 records in" in watched.stdout
    assert running(directory.path) is None
