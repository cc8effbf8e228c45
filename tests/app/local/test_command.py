import contextlib
import json
import os
import pwd
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import typer
from temporalio.client import WorkflowExecutionStatus
from typer.testing import CliRunner

from app.local.command import up
from app.local.process import Command, Identity
from app.local.state import LocalState, running
from app.settings import TemporalSettings
from app.temporal import connect
from tests.app.local.stacks import mark, marks

_ROOT = Path(__file__).parents[3]
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_ROOT)}


class Foreground:
    """`holdfast up` as a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir

    def ready(self) -> LocalState:
        """Wait for the curl line, the last that is printed."""
        said = self.read_until("curl -sS")
        assert "Holdfast is ready after" in said
        state = running(self.data_dir)
        assert state is not None
        return state

    def read_until(self, word: str) -> str:
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if word in line:
                return "".join(lines)
        raise AssertionError(f"{word!r} was never said: {lines}")

    def stop_listening(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def _foreground(data_dir: Path) -> Iterator[Foreground]:
    process = subprocess.Popen(
        _command(data_dir), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_ENVIRONMENT
    )
    with process:
        try:
            yield Foreground(process, data_dir)
        finally:
            process.terminate()


def _command(data_dir: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.app.local.stacks", str(data_dir))


def _processes(state: LocalState) -> list[psutil.Process]:
    return [psutil.Process(pid) for pids in state.pids.values() for pid in pids]


async def test_it_prints_a_curl_line_that_works_and_ends_when_asked_even_twice(used: Path):
    with _foreground(used) as stack:
        line = stack.read_until("curl -sS").splitlines()[-1]
        state = running(used)
        assert state is not None
        assert "Authorization: Bearer the-key" in shlex.split(line)
        assert json.loads(shlex.split(line)[-1])["entity"] == "company"
        children = _processes(state)
        stack.process.send_signal(signal.SIGINT)
        stack.read_until("Stopping")
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(timeout=15) == 0
        assert not any(_lives(child) for child in children)


async def test_it_goes_on_when_nobody_reads_what_it_says(used: Path):
    with _foreground(used) as stack:
        before = stack.ready()
        stack.stop_listening()
        os.kill(before.pids["api"][0], signal.SIGKILL)
        while (after := running(used)) is None or not after.pids["api"] or after.pids["api"] == before.pids["api"]:
            assert stack.process.poll() is None
        stack.process.terminate()
        assert stack.process.wait(timeout=15) == 0


async def test_ending_it_while_it_starts_leaves_nothing_behind(tmp_path: Path):
    with _foreground(tmp_path) as stack:
        while not (tmp_path / "logs/temporal.log").exists():
            assert stack.process.poll() is None
        stack.process.send_signal(signal.SIGTERM)
        assert stack.process.wait(timeout=15) == 0
    assert _using(tmp_path) == []


@pytest.mark.parametrize("victims", ["the supervisor alone", "everything at once"])
async def test_after_a_kill_nothing_is_lost_and_nothing_lives_twice(used: Path, victims: str):
    with _foreground(used) as stack:
        state = stack.ready()
        mark(state, "before the kill")
        client = await connect(TemporalSettings(address=state.temporal_address), lazy=False)
        await client.start_workflow("Anything", id="before-the-kill", task_queue="nobody")
        children = _processes(state)
        for process in [stack.process, *(children if victims == "everything at once" else [])]:
            with contextlib.suppress(psutil.NoSuchProcess):  # the kernel is as quick as we are
                process.send_signal(signal.SIGKILL)
        stack.process.wait()
    with _foreground(used) as stack:
        state = stack.ready()
        assert not any(_lives(child) for child in children)
        assert marks(state) == ["kept", "before the kill"]
        client = await connect(TemporalSettings(address=state.temporal_address), lazy=False)
        description = await client.get_workflow_handle("before-the-kill").describe()
        assert description.status == WorkflowExecutionStatus.RUNNING
        assert state.api_key == "the-key"


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests are this one then")
def test_it_runs_as_somebody_who_is_not_root(tmp_path: Path):
    nobody = pwd.getpwnam("nobody")
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)
    # The capability opens the directories of the tests, which are root's; the stack itself needs none.
    somebody = Identity(nobody.pw_uid, nobody.pw_gid, "dac_read_search")
    command = Command(_command(tmp_path / "data"), environment=_ENVIRONMENT, identity=somebody)
    with command.start(output=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert any(b"curl -sS" in line for line in process.stdout)
        state = running(tmp_path / "data")
        process.terminate()
        assert process.wait(timeout=15) == 0
    assert state is not None
    assert (tmp_path / "data/postgres").stat().st_uid == nobody.pw_uid


def test_the_command_itself_ends_with_one_line_and_exit_code_1(tmp_path: Path):
    (tmp_path / "file").touch()
    application = typer.Typer()
    application.command()(up)
    result = CliRunner().invoke(application, ["--data-dir", str(tmp_path / "file/data")])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"holdfast up: Cannot use {tmp_path}/file/data as data directory: Not a directory.")


def test_a_directory_without_permission_is_refused_in_one_line(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    # Root may write anywhere, so it is another user who may read what we may, but write nowhere.
    nobody = pwd.getpwnam("nobody")
    identity = Identity(nobody.pw_uid, nobody.pw_gid, "dac_read_search") if os.geteuid() == 0 else Identity()
    done = Command(_command(closed / "data"), environment=_ENVIRONMENT, identity=identity).run(timeout=30)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Cannot use {closed}/data as data directory: Permission denied. Choose another with --data-dir."
    ]


def _lives(process: psutil.Process) -> bool:
    """A zombie has ended; only its new parent has not noticed yet."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _using(directory: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if str(directory) in " ".join(_arguments(process))]


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
