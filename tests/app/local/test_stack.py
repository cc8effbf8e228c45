import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from app.local.errors import StackError
from app.local.process import ProcessRecord
from app.local.stack import StackOptions, up
from app.local.state import running
from tests.app.local.stacks import PARTS, get, mark, marks, stack_in


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture(params=["that anyone may enter", "closed to other users"])
def data_dir(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A data directory below a directory like that: as root, PostgreSQL runs as another user."""
    with tempfile.TemporaryDirectory(prefix="holdfast-stack-") as directory:
        Path(directory).chmod(0o755 if request.param == "that anyone may enter" else 0o700)
        yield Path(directory) / "data"


async def test_a_first_start_serves(data_dir: Path):
    async with stack_in(data_dir) as stack:
        assert running(data_dir) == stack.state
        assert get(stack.state.api_url)
        mark(stack.state, "first")
        assert marks(stack.state) == ["first"]
    assert running(data_dir) is None


async def test_a_second_start_goes_on_where_the_first_was(used: Path):
    before = json.loads((used / "state.json").read_text())
    async with stack_in(used) as stack:
        assert marks(stack.state) == ["kept"]
        assert stack.state.api_key == before["api_key"] == "the-key"
        after = json.loads((used / "state.json").read_text())
        assert (after["ports"], after["passwords"]) == (before["ports"], before["passwords"])


async def test_the_stop_goes_from_the_api_to_the_database(used: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOLDFAST_TEST_ENDS", str(used / "ends"))
    async with stack_in(used, options=StackOptions(sandbox=False)) as stack:
        assert (stack.state.sandbox_url, stack.state.pids["sandbox"]) == (None, [])
        assert b"HOLDFAST_PROVIDERS" not in get(f"{stack.state.api_url}/environment")
        processes = [pid for pids in stack.state.pids.values() for pid in pids]
    assert (used / "ends").read_text().splitlines() == ["api with temporal", "worker with temporal"]
    assert "database system is shut down" in (used / "logs/postgres.log").read_text()
    assert not any(psutil.pid_exists(pid) for pid in processes)


async def test_servers_that_are_killed_come_back_where_they_were(used: Path):
    said: list[str] = []
    async with stack_in(used, say=said.append) as stack:
        before = stack.state.pids
        for role in ("postgres", "temporal", "api", "worker"):
            os.kill(before[role][0], signal.SIGKILL)
        await _until(lambda: sum("is ready again" in line for line in said) == 4)
        for role in ("postgres", "temporal", "api", "worker"):
            assert stack.state.pids[role] != before[role]
        assert running(used) == stack.state
        assert marks(stack.state) == ["kept"]
        assert get(stack.state.api_url)
    assert "postgres was ended by signal 9 (Killed); starting it again in 0.2 s." in said


async def test_a_port_that_is_taken_is_avoided_and_refused_where_it_was_asked_for(used: Path):
    port = json.loads((used / "state.json").read_text())["ports"]["api"]
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(StackError, match=f"Port {port} is taken"):
            await up(StackOptions(used, port=port), say=print, parts=PARTS)
        async with stack_in(used) as stack:
            assert stack.state.api_url != f"http://127.0.0.1:{port}"
            assert get(stack.state.api_url)


async def test_what_an_earlier_stack_left_running_is_ended_and_nobody_else(used: Path):
    said: list[str] = []
    with _sleeping() as orphan, _sleeping() as bystander:
        record = ProcessRecord.of("worker", orphan.pid)
        assert record is not None
        state = json.loads((used / "state.json").read_text())
        state["processes"] = [
            {"name": "worker", "pid": record.pid, "created": record.created},
            {"name": "api", "pid": bystander.pid, "created": record.created - 3600},
        ]
        (used / "state.json").write_text(json.dumps(state))
        async with stack_in(used, say=said.append):
            assert orphan.wait(timeout=5) == -signal.SIGTERM
        assert bystander.poll() is None
    assert said[0] == "Ended the worker that an earlier stack left behind."


async def test_a_program_that_cannot_start_takes_the_whole_stack_down_with_its_reason(used: Path):
    broken = replace(PARTS, api=("/bin/sh", "-c", "echo HOLDFAST_LOG_LEVEL: Input should be DEBUG; exit 2"))
    with pytest.raises(StackError, match=r"api ended with exit code 2.*HOLDFAST_LOG_LEVEL: Input should be DEBUG"):
        await up(StackOptions(used), say=lambda _: None, parts=broken)
    assert json.loads((used / "state.json").read_text())["processes"] == []
    assert running(used) is None


async def test_a_database_that_cannot_be_prepared_takes_the_whole_stack_down_with_its_reason(used: Path):
    broken = replace(PARTS, prepare=("/bin/sh", "-c", "echo of another version >&2; exit 1"))
    with pytest.raises(StackError, match=r"prepare ended with exit code 1.*of another version"):
        await up(StackOptions(used), say=lambda _: None, parts=broken)
    assert json.loads((used / "state.json").read_text())["processes"] == []


async def test_a_key_that_a_crash_swallowed_is_made_anew(used: Path):
    state = json.loads((used / "state.json").read_text())
    (used / "state.json").write_text(json.dumps({**state, "api_key": None}))
    async with stack_in(used) as stack:
        assert stack.state.api_key == "the-key"


async def test_a_lost_or_damaged_state_file_is_named(used: Path):
    (used / "state.json").write_text("{")
    with pytest.raises(StackError, match=r"state\.json is damaged"):
        await up(StackOptions(used), say=print, parts=PARTS)
    (used / "state.json").unlink()
    with pytest.raises(StackError, match=r"state\.json is gone"):
        await up(StackOptions(used), say=print, parts=PARTS)


@pytest.mark.parametrize("path", ["a file/data", "n" * 300], ids=["below a file", "too long a name"])
async def test_a_data_directory_that_cannot_be_is_refused_in_one_line(tmp_path: Path, path: str):
    (tmp_path / "a file").touch()
    with pytest.raises(StackError, match=r"Cannot use .* as data directory") as refusal:
        await up(StackOptions(tmp_path / path), say=print, parts=PARTS)
    assert "\n" not in str(refusal.value)


@contextlib.contextmanager
def _sleeping() -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(["sleep", "60"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()
