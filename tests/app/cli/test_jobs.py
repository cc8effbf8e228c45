import csv
import io
import json
from pathlib import Path

import pytest

from tests.app.cli.commands import companies, holdfast, read_until, slow, started
from tests.app.cli.conftest import Up


@pytest.fixture(scope="module")
def job_id(up: Up, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job that has ended."""
    directory = tmp_path_factory.mktemp("job")
    file = companies(directory / "leads.csv", 5)
    ended = holdfast("enrich", file, "--data-dir", up.data_dir, cwd=directory)
    return next(line for line in ended.stdout.splitlines() if line.startswith("Job ")).split()[1]


def test_jobs_are_listed(up: Up, tmp_path: Path, job_id: str):
    listed = holdfast("jobs", "list", "--status", "completed", "--data-dir", up.data_dir, cwd=tmp_path)
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith(job_id)]
    assert "completed" in line
    assert "5/5 records" in line


def test_a_result_can_be_taken_again(up: Up, tmp_path: Path, job_id: str):
    printed = holdfast("jobs", "export", job_id, "--data-dir", up.data_dir, cwd=tmp_path)
    assert [row["domain"] for row in csv.DictReader(io.StringIO(printed.stdout))] == [
        f"company-{n}.com" for n in range(5)
    ]
    lines = holdfast("jobs", "export", job_id, "--format", "jsonl", "--data-dir", up.data_dir, cwd=tmp_path).stdout
    assert len([json.loads(line) for line in lines.splitlines()]) == 5
    holdfast("jobs", "export", job_id, "--out", "again.jsonl", "--data-dir", up.data_dir, cwd=tmp_path)
    assert (tmp_path / "again.jsonl").read_text() == lines


def test_a_job_is_paused_resumed_and_watched_to_its_end(up: Up, tmp_path: Path):
    file = companies(tmp_path / "leads.csv", 1000)
    arguments = ("enrich", file, "--providers", "hunter", "--data-dir", up.data_dir)
    with slow(up.state, "hunter"), started(*arguments, cwd=tmp_path) as process:
        job_id = read_until(process, "Job ").split()[1]
        assert holdfast("jobs", "pause", job_id, "--data-dir", up.data_dir, cwd=tmp_path).returncode == 0
        read_until(process, "paused")
        assert holdfast("jobs", "resume", job_id, "--data-dir", up.data_dir, cwd=tmp_path).returncode == 0
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("watch", "nothing-like-it"), "There is nothing at this address"),
        (("cancel", "01a1fdb9-1814-739f-862b-c81f81b9881e"), "no such job"),
        (("export", "01a1fdb9-1814-739f-862b-c81f81b9881e"), "no such job"),
        (("list", "--status", "asleep"), "status"),
        (("list", "--api-url", "http://127.0.0.1:1"), "--workspace"),
        (("list", "--api-url", "http://127.0.0.1:1", "--api-key", "k", "--workspace", "w"), "cannot be reached"),
        (("list", "--api-url", "127.0.0.1:1", "--api-key", "k", "--workspace", "w"), "must begin with http"),
    ],
)
def test_a_failure_is_one_line(up: Up, tmp_path: Path, arguments: tuple[str, ...], reason: str):
    ended = holdfast("jobs", *arguments, "--data-dir", up.data_dir, cwd=tmp_path)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert reason in line


def test_what_has_ended_well_cannot_be_cancelled_or_retried(up: Up, tmp_path: Path, job_id: str):
    for verb in ("cancel", "retry"):
        ended = holdfast("jobs", verb, job_id, "--data-dir", up.data_dir, cwd=tmp_path)
        assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)


def test_another_installation_is_reached_by_its_address_and_key(up: Up, tmp_path: Path, job_id: str):
    api_key = up.state.api_key
    assert api_key is not None
    address = ("--api-url", up.state.api_url, "--api-key", api_key, "--workspace", up.state.workspace_id)
    assert job_id in holdfast("jobs", "list", *address, cwd=tmp_path).stdout


def test_the_audit_of_a_stack_adds_up(up: Up, tmp_path: Path, job_id: str):
    ended = holdfast("audit", "--data-dir", up.data_dir, cwd=tmp_path)
    assert job_id
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "All adds up." in ended.stdout


def test_where_there_is_no_stack_none_is_made(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    for data_dir in ("nowhere", "file", "file/below"):
        ended = holdfast("jobs", "list", "--data-dir", data_dir, cwd=tmp_path)
        assert ended.returncode == 1
        assert ended.stderr == f"holdfast: There is no stack in {data_dir}: `holdfast up` starts one.\n"
    assert list(tmp_path.iterdir()) == [file]
