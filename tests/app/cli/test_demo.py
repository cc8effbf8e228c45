import time
from pathlib import Path

from app.local.state import DataDirectory, running
from tests.app.cli.commands import holdfast, started, wait_for_stack


def test_the_demo_shows_an_outage_and_a_kill_and_everything_adds_up(tmp_path: Path):
    """After one that was killed, which must leave nothing behind that lives or disturbs."""
    directory = DataDirectory(tmp_path.absolute() / ".holdfast" / "demo")
    with started("demo", cwd=tmp_path) as process:
        wait_for_stack(directory.path, process)
        left = directory.recall().processes
        process.kill()
    assert len(left) == 5
    deadline = time.monotonic() + 10
    while any(each.alive() for each in left):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    ended = holdfast("demo", cwd=tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    for words in (
        "OUTAGE",
        "circuit is open",
        "The job is `waiting`",
        "Hunter is back",
        "KILL -9",
        "529  = records out 529",
        "All adds up.",
    ):
        assert words in ended.stdout
    assert len((directory.path / "companies.enriched.csv").read_text().splitlines()) == 530
    assert running(directory.path) is None
    assert [each for each in directory.recall().processes if each.alive()] == []
