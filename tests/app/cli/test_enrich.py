import csv
import json
import signal
from pathlib import Path

import pytest

from tests.app.cli.commands import companies, holdfast, read_until, slow, started
from tests.app.cli.conftest import Up


def test_the_result_is_written_beside_the_file(up: Up, tmp_path: Path):
    file = companies(tmp_path / "leads.csv", 12)

    ended = holdfast("enrich", file, "--data-dir", up.data_dir, "--fields", "industry,city", cwd=tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    rows = list(csv.DictReader((tmp_path / "leads.enriched.csv").read_text().splitlines()))
    assert [row["domain"] for row in rows] == [f"company-{n}.com" for n in range(12)]
    assert set(rows[0]) == {"domain", "industry", "city", "status"}
    assert "12 records in" in ended.stdout


def test_the_name_of_the_result_says_its_format(up: Up, tmp_path: Path):
    file, out = companies(tmp_path / "leads.csv", 3), tmp_path / "out.jsonl"
    ended = holdfast("enrich", file, "--out", out, "--providers", "hunter", "--data-dir", up.data_dir, cwd=tmp_path)
    assert ended.returncode == 0
    assert [json.loads(line)["domain"] for line in out.read_text().splitlines()] == [
        f"company-{n}.com" for n in range(3)
    ]


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        (None, (), "No such file"),
        ("", (), "The file is empty"),
        ("domain\n", (), "no row below"),
        ("domain,domain\na.com,b.com\n", (), "the same name"),
        ("domain\na.com\n", ("--fields", "shoe_size"), "shoe_size"),
        ("domain\na.com\n", ("--providers", "nobody"), "nobody"),
        ("domain\na.com\n", ("--entity", "plane"), "plane|company"),
        ("domain\na.com\n", ("--out", "result.xls"), ".csv or .jsonl"),
        ("domain\na.com\n", ("--out", "nowhere/result.csv"), "Cannot write"),
        ("domain\na.com\n", ("--out", "leads.csv"), "is the input"),
    ],
)
def test_a_failure_is_one_line_and_leaves_no_file(
    up: Up, tmp_path: Path, content: str | None, options: tuple[str, ...], reason: str
):
    file = tmp_path / "leads.csv"
    if content is not None:
        file.write_text(content)

    ended = holdfast("enrich", file, *options, "--data-dir", up.data_dir, cwd=tmp_path)

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert any(each in line for each in reason.split("|"))
    assert [path.name for path in tmp_path.iterdir()] == ([] if content is None else ["leads.csv"])


def test_an_interrupted_command_says_how_to_come_back_and_the_job_goes_on(up: Up, tmp_path: Path):
    file = companies(tmp_path / "leads.csv", 250)
    with slow(up.state, "hunter"):
        arguments = ("enrich", file, "--providers", "hunter", "--data-dir", up.data_dir)
        with started(*arguments, cwd=tmp_path) as process:
            read_until(process, "running")
            process.send_signal(signal.SIGINT)
            said, complaint = process.communicate(timeout=20)
        assert (process.returncode, complaint) == (130, "")
    hint = said.splitlines()[-1].partition("Attach again: holdfast ")[2].split()
    assert hint[:2] == ["jobs", "watch"]
    assert not (tmp_path / "leads.enriched.csv").exists()

    watched = holdfast(*hint, cwd=tmp_path)

    assert watched.returncode == 0
    assert "250 records in" in watched.stdout


def test_a_job_that_somebody_cancels_is_a_failure(up: Up, tmp_path: Path):
    file = companies(tmp_path / "leads.csv", 3000)
    arguments = ("enrich", file, "--providers", "hunter", "--data-dir", up.data_dir)
    with slow(up.state, "hunter"), started(*arguments, cwd=tmp_path) as process:
        job_id = read_until(process, "Job ").split()[1]
        assert holdfast("jobs", "cancel", job_id, "--data-dir", up.data_dir, cwd=tmp_path).returncode == 0
        _, complaint = process.communicate(timeout=20)
    assert process.returncode == 1
    (line,) = complaint.splitlines()
    assert f"Job {job_id} cancelled" in line
    assert not (tmp_path / "leads.enriched.csv").exists()
