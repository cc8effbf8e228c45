import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app.local.errors import StackError
from app.local.process import Command
from app.local.supervisor import Child, Supervisor


async def _at_once() -> bool:
    return True


async def _never() -> bool:
    return False


def _child(
    script: str,
    *,
    name: str = "child",
    ready: Callable[[], Awaitable[bool]] = _at_once,
    stop_by: float = 5.0,
    ready_within: float = 5.0,
    nice: int = 0,
) -> Child:
    command = Command(("/bin/sh", "-c", script))
    return Child(name, name, command, ready, stop_by=stop_by, ready_within=ready_within, nice=nice)


class Watched(Supervisor):
    """A supervisor that keeps what it said."""

    def __init__(self, logs: Path) -> None:
        self.said: list[str] = []
        super().__init__(logs, say=self.said.append, changed=lambda: None)


@pytest.fixture
def supervisor(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_child_that_dies_is_started_again_later_each_time_and_said_so(supervisor: Watched):
    await supervisor.start(_child("exit 7"))
    await _until(lambda: len(_restarts(supervisor)) == 3)
    await supervisor.stop([["child"]])
    assert _restarts(supervisor) == [
        "child ended with exit code 7; starting it again in 0.2 s.",
        "child ended with exit code 7; starting it again in 0.4 s.",
        "child ended with exit code 7; starting it again in 0.8 s.",
    ]


async def test_a_child_stands_back_where_the_processor_is_short(supervisor: Watched):
    await supervisor.start(_child("exec sleep 60", nice=7))
    (pid,) = supervisor.pids()["child"]
    assert os.getpriority(os.PRIO_PROCESS, pid) == 7
    session = Path(f"/proc/{pid}/autogroup")
    if session.exists():
        assert session.read_text().endswith("nice 7\n")
    await supervisor.stop([["child"]])


def _restarts(supervisor: Watched) -> list[str]:
    return [line for line in supervisor.said if "starting it again" in line]


async def test_a_child_that_was_never_ready_is_given_up_with_its_last_words(supervisor: Watched):
    with pytest.raises(StackError, match=r"child ended with exit code 3.*ends with: HOLDFAST_PORT is wrong"):
        await supervisor.start(_child("echo HOLDFAST_PORT is wrong; exit 3", ready=_never))
    await supervisor.stop([["child"]])


async def test_a_child_that_hangs_before_it_is_ready_is_given_up_in_time(supervisor: Watched):
    with pytest.raises(StackError, match="child"):
        await supervisor.start(_child("sleep 60", ready=_never, ready_within=0.1))
    assert "child was not ready within 0.1 s." in supervisor.said
    assert supervisor.records() == []
    await supervisor.stop([["child"]])


async def test_a_program_that_is_not_there_is_given_up_with_its_name(supervisor: Watched):
    missing = Child("child", "child", Command(("/nonexistent/program",)), _never, stop_by=1)
    with pytest.raises(StackError, match="child"):
        await supervisor.start(missing)
    await supervisor.stop([["child"]])


async def test_stopping_goes_in_order(supervisor: Watched, tmp_path: Path):
    for name in ("first", "second"):
        await supervisor.start(_child(_noting(name, tmp_path), name=name, ready=_noted(name, tmp_path)))
    await supervisor.stop([["first"], ["second"]])
    assert (tmp_path / "ends").read_text().split() == ["first", "second"]


def _noting(name: str, directory: Path) -> str:
    return (
        f"trap 'sleep 0.1; echo {name} >> {directory}/ends; exit' TERM; touch {directory}/{name}; "
        "while :; do sleep 0.01; done"
    )


def _noted(name: str, directory: Path) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return (directory / name).exists()

    return ready


async def test_a_child_that_will_not_stop_is_killed_when_its_time_is_up(supervisor: Watched, tmp_path: Path):
    stubborn = f"trap '' TERM; touch {tmp_path}/stubborn; while :; do sleep 0.01; done"
    await supervisor.start(_child(stubborn, name="stubborn", ready=_noted("stubborn", tmp_path), stop_by=0.3))
    async with asyncio.timeout(3):
        await supervisor.stop([["stubborn"]])
    assert supervisor.records() == []


async def test_what_a_dead_child_leaves_in_its_process_group_ends_with_it(supervisor: Watched, tmp_path: Path):
    left_behind = f"sleep 60 & echo $! > {tmp_path}/pid.new && mv {tmp_path}/pid.new {tmp_path}/pid; wait"
    await supervisor.start(_child(left_behind, ready=_noted("pid", tmp_path)))
    await supervisor.stop([["child"]])
    await _until(lambda: not _runs(int((tmp_path / "pid").read_text())))


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_a_cancelled_stop_is_carried_through(supervisor: Watched, tmp_path: Path):
    await supervisor.start(_child(_noting("child", tmp_path), ready=_noted("child", tmp_path)))
    stopping = asyncio.create_task(supervisor.stop([["child"]]))
    await asyncio.sleep(0)
    for _ in range(2):
        stopping.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert (tmp_path / "ends").read_text().split() == ["child"]
    assert supervisor.records() == []


async def test_a_long_log_is_put_aside_at_the_start(supervisor: Watched, tmp_path: Path):
    (tmp_path / "child.log").write_bytes(b"x" * 10_000_001)
    await supervisor.start(_child("echo fresh; sleep 60"))
    await _until(lambda: (tmp_path / "child.log").read_text() == "fresh\n")
    assert (tmp_path / "child.log.1").stat().st_size == 10_000_001
    await supervisor.stop([["child"]])
