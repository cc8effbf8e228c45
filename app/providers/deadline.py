"""A time limit for calls, at the price of a dictionary entry.

`asyncio.timeout` makes and cancels a timer for every call; on uvloop that was 5 % of a worker's CPU. Calls of one
provider all have the same limit, so the first to begin is the first to expire, and one timer does for all of them.
"""

import asyncio
from types import TracebackType


class Deadline:
    """``with deadline:`` around what may take `seconds`; then it is cancelled and TimeoutError is raised.

    One object serves any number of tasks of one event loop, each with one block at a time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # By beginning, and so by deadline: dictionaries keep the order.
        self._due: dict[asyncio.Task[object], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        task, loop = _current_task(), asyncio.get_running_loop()
        self._due[task] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._expire, loop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = _current_task()
        has_expired = self._due.pop(task, None) is None
        # Cancelled by somebody else as well: then it is their cancellation that counts.
        if has_expired and task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for task, due in list(self._due.items()):
            if due > loop.time():
                self._timer = loop.call_at(due, self._expire, loop)
                return
            del self._due[task]
            task.cancel()


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a deadline needs a task")
    return task
