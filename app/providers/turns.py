"""A queue that workspaces pass in turn: a small job of one is not behind a hundred thousand calls of another."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from app.providers.ports import always

Who = UUID | None


class Turns:
    """Callers that wait, each with a future. Of the workspaces that wait each has its turn (those without a workspace
    together count as one); inside of one it is first come, first served. Adding, taking and removing cost the same
    however many wait.

    It never sets a future that `next` has not taken out: whoever takes one out sets it at once.
    """

    def __init__(self) -> None:
        # Ordered dictionaries and not plain ones, where taking the first one again and again looks at all that were
        # taken before.
        self._queues: OrderedDict[Who, OrderedDict[asyncio.Future[None], Callable[[], bool]]] = OrderedDict()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def join(self, who: Who, is_wanted: Callable[[], bool] = always) -> asyncio.Future[None]:
        """Wait from now on. `is_wanted` says whether it is still worth it; see `take_unwanted`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._queues.get(who)
        if queue is None:
            queue = self._queues[who] = OrderedDict()
        queue[future] = is_wanted
        self._waiting += 1
        return future

    def leave(self, who: Who, future: asyncio.Future[None]) -> bool:
        """Wait no longer. False where it was taken out before: then it has what it waited for."""
        queue = self._queues.get(who)
        if queue is None or future not in queue:
            return False
        del queue[future]
        self._waiting -= 1
        if not queue:
            del self._queues[who]
        return True

    def next(self) -> asyncio.Future[None] | None:
        """Take out whose turn it is; None where nobody waits."""
        while self._queues:
            who, queue = self._queues.popitem(last=False)
            future, _ = queue.popitem(last=False)
            self._waiting -= 1
            if queue:
                self._queues[who] = queue
            # Cancelled in this very moment, and so about to leave.
            if not future.done():
                return future
        return None

    def take_unwanted(self) -> list[asyncio.Future[None]]:
        """Take out those that are no longer wanted."""
        unwanted = [
            (who, future)
            for who, queue in self._queues.items()
            for future, is_wanted in queue.items()
            if not is_wanted()
        ]
        return [future for who, future in unwanted if self.leave(who, future) and not future.done()]
