"""Keeps child processes running: start, wait until ready, restart with backoff, stop in order."""

import asyncio
import contextlib
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.local.errors import StackError
from app.local.process import Command, ProcessRecord, kill_group, send, stand_back

_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 10.0
# A child that lived so long is not in a loop of failures: the backoff begins anew.
_STABLE_SECONDS = 30.0
# A child that ends so often before it was ever ready will not do better by itself.
_FIRST_ATTEMPTS = 3
_POLL_SECONDS = 0.03
_LOG_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Child:
    """A program to keep running.

    `role` groups children that are alike; the log is called after `name`; `ready` asks once whether it serves;
    `before` runs in a thread before every start. `stop_by` is when it is killed, in seconds since the shutdown began:
    later roles get what earlier ones did not need. `nice`: how far it stands back where the processor is short, as
    nice(1) has it.
    """

    role: str
    name: str
    command: Command
    ready: Callable[[], Awaitable[bool]]
    stop_by: float
    before: Callable[[], None] | None = None
    ready_within: float = 60.0
    nice: int = 0


class Supervisor:
    """Runs children until `stop`.

    `say` gets one line for people at a time; `changed` runs after each start and each end of a process.
    """

    def __init__(self, logs: Path, *, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._logs = logs
        self._say = say
        self._changed = changed
        self._children: dict[str, Child] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._records: dict[str, ProcessRecord] = {}
        self._stopping = asyncio.Event()

    def records(self) -> list[ProcessRecord]:
        """The processes that run now."""
        return list(self._records.values())

    def pids(self) -> dict[str, list[int]]:
        """The process ids that run now, by role."""
        pids: dict[str, list[int]] = defaultdict(list)
        for name, process in self._processes.items():
            pids[self._children[name].role].append(process.pid)
        return dict(pids)

    async def start(self, child: Child) -> None:
        """Start `child`, keep it running from now on, and return when it is ready for the first time.

        Raises StackError, with the last line of its log, when it does not become so.
        """
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._children[child.name] = child
        self._tasks[child.name] = asyncio.create_task(self._keep(child, ready))
        await ready

    async def run(self, name: str, command: Command) -> str:
        """Run `command` to its end and return what it printed.

        Raises StackError with the last line of its log when it fails.
        """
        with self._open_log(name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command.arguments(), stdout=asyncio.subprocess.PIPE, stderr=log, **command.options()
            )
        try:
            output, _ = await process.communicate()
        finally:
            kill_group(process.pid)
            await process.wait()
        if process.returncode:
            raise StackError(f"{name} {_describe(process.returncode)}; {self._last_words(name)}")
        return output.decode()

    async def stop(self, order: Sequence[Sequence[str]]) -> None:
        """Stop all children, role after role; the roles of one group together. A cancellation waits for the end."""
        await _to_the_end(self._stop(order))

    async def _stop(self, order: Sequence[Sequence[str]]) -> None:
        self._stopping.set()
        began = asyncio.get_running_loop().time()
        for roles in order:
            children = [child for child in self._children.values() if child.role in roles]
            await asyncio.gather(*(self._end(child, began + child.stop_by) for child in children))

    async def _end(self, child: Child, deadline: float) -> None:
        process = self._processes.get(child.name)
        if process is not None:
            send(process.pid, child.command.stop_signal)
            try:
                async with asyncio.timeout_at(deadline):
                    await process.wait()
            except TimeoutError:
                kill_group(process.pid)
        await asyncio.wait([self._tasks[child.name]])

    async def _keep(self, child: Child, ready: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + child.ready_within
        failures = 0
        while not self._stopping.is_set():
            began = loop.time()
            try:
                how = await self._live(child, ready)
            except (StackError, OSError) as error:
                how = f"could not be started: {error}"
            if self._stopping.is_set():
                break
            failures = 1 if loop.time() - began >= _STABLE_SECONDS else failures + 1
            if not ready.done() and (failures == _FIRST_ATTEMPTS or loop.time() > give_up):
                ready.set_exception(StackError(f"{child.name} {how}; {self._last_words(child.name)}"))
                return
            delay = min(_FIRST_DELAY_SECONDS * 2 ** (failures - 1), _LONGEST_DELAY_SECONDS)
            self._say(f"{child.name} {how}; starting it again in {delay:g} s.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
        ready.cancel()

    async def _live(self, child: Child, ready: asyncio.Future[None]) -> str:
        """One life of the process; how it ended."""
        process = await self._launch(child)
        in_time = await self._becomes_ready(child, process)
        if in_time and not ready.done():
            ready.set_result(None)
        elif in_time and not self._stopping.is_set():
            self._say(f"{child.name} is ready again.")
        code = await process.wait()
        kill_group(process.pid)  # what it may have left behind
        del self._processes[child.name]
        self._records.pop(child.name, None)
        self._changed()
        return _describe(code)

    async def _launch(self, child: Child) -> asyncio.subprocess.Process:
        if child.before is not None:
            await asyncio.to_thread(child.before)
        with self._open_log(child.name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *child.command.arguments(), stdout=log, stderr=log, **child.command.options()
            )
        self._processes[child.name] = process
        if record := ProcessRecord.of(child.role, process.pid):
            self._records[child.name] = record
        self._changed()
        if self._stopping.is_set():  # it was not there yet when the others were asked to end
            kill_group(process.pid)
        if child.nice:
            await stand_back(process.pid, child.nice)
        return process

    async def _becomes_ready(self, child: Child, process: asyncio.subprocess.Process) -> bool:
        """False when it ended before it was ready; it is killed when it takes too long."""
        deadline = asyncio.get_running_loop().time() + child.ready_within
        while process.returncode is None:
            if await child.ready():
                return True
            if asyncio.get_running_loop().time() > deadline:
                self._say(f"{child.name} was not ready within {child.ready_within:g} s.")
                kill_group(process.pid)
                await process.wait()
            await asyncio.sleep(_POLL_SECONDS)
        return False

    def _open_log(self, name: str) -> Path:
        path = self._logs / f"{name}.log"
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def _last_words(self, name: str) -> str:
        path = self._logs / f"{name}.log"
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
        return f"{path} ends with: {lines[-1].strip()}" if lines else f"{path} is empty"


def _describe(code: int) -> str:
    return f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with exit code {code}"


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work`; a cancellation in between is passed on only when it is done."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
