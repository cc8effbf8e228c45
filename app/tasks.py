"""Tasks that nobody awaits."""

import asyncio
from collections.abc import Awaitable, Callable


class BackgroundTasks:
    """Holds its tasks until they are done, and lets `at_a_time` of them run: so many of a pool's connections they may
    take from the requests. What they raise is lost: they say themselves what went wrong."""

    def __init__(self, at_a_time: int) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(at_a_time)

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Callable[[], Awaitable[None]], *, after_seconds: float = 0) -> None:
        """Have the work done, some time after this call, and after so many seconds at the earliest."""
        task = asyncio.create_task(self._run(work, after_seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until all are done."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self, seconds: float) -> None:
        """Give those that are left this long, and end the others."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()

    async def _run(self, work: Callable[[], Awaitable[None]], after_seconds: float) -> None:
        if after_seconds:
            await asyncio.sleep(after_seconds)
        async with self._slots:
            await work()
