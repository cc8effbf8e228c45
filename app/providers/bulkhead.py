"""How many calls one provider may have under way in this process, and who is next."""

import asyncio

from app.providers.turns import Turns, Who


class Bulkhead:
    """So many `places`, each held during a call; who finds none free waits, and workspaces that wait are served in turn
    (`Turns`). A provider that hangs holds its own places and nobody else's.

    It belongs to one event loop. To enter where nobody waits costs a comparison.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._turns = Turns()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._turns)

    def enter(self) -> bool:
        """Take a place; False, and none taken, where none is free."""
        # A place is free only where nobody waits: `leave` hands it on.
        if self._free:
            self._free -= 1
            return True
        return False

    async def wait(self, who: Who) -> None:
        """Wait for a place and take it. Cancelled, it has none."""
        future = self._turns.join(who)
        try:
            await future
        except asyncio.CancelledError:
            # It may have been given a place in the same moment, which then goes to the next one.
            if not self._turns.leave(who, future) and not future.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give back a place, to whose turn it is."""
        future = self._turns.next()
        if future is None:
            self._free += 1
        else:
            future.set_result(None)
