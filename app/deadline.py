"""A time limit for calls, at the price of a dictionary entry.

`asyncio.timeout` makes and cancels a timer for every call; on uvloop that was 5 % of a worker's CPU. Calls that all
have the same limit expire in the order in which they began, and one timer does for all of them.
"""

import asyncio
from types import TracebackType


class Deadline:
    """``with deadline.running():`` around what may take `seconds`; then it is cancelled and TimeoutError is raised.

    One object serves any number of tasks of one event loop.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # By beginning, and so by deadline: dictionaries keep the order.
        self._running: dict[_Block, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def running(self) -> "_Block":
        """A block that begins now, to be entered at once."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is None:
            raise RuntimeError("a deadline needs a task")
        block = _Block(self._running, task, loop.time() + self.seconds)
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._expire, loop)
        return block

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for block in list(self._running):
            if block.due > loop.time():
                self._timer = loop.call_at(block.due, self._expire, loop)
                return
            del self._running[block]
            block.task.cancel()


class _Block:
    __slots__ = ("_running", "due", "task")

    def __init__(self, running: "dict[_Block, None]", task: asyncio.Task[object], due: float) -> None:
        self._running = running
        self.task = task
        self.due = due

    def __enter__(self) -> None:
        self._running[self] = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self in self._running:
            del self._running[self]
        # Cancelled by somebody else as well: then it is their cancellation that counts.
        elif self.task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error
