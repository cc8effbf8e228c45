"""How much of one workspace is under way in this process."""

import asyncio
from uuid import UUID
from weakref import WeakValueDictionary


class Places:
    """Lookups have phases without calls: a bound over all of a workspace at a provider lets more lookups run than a
    bound on each, and so keeps the places filled. It is one for each provider: one that hangs holds none of another's.

    The lookups themselves are bound as well, and the others wait before they read: those of a hundred jobs at once
    would share its turn among them, each with a trickle of answers and a transaction for every few of them.
    """

    def __init__(self, calls: int, lookups: int) -> None:
        self._most_calls = calls
        self._most_lookups = lookups
        self._calls: WeakValueDictionary[tuple[UUID, str], asyncio.Semaphore] = WeakValueDictionary()
        self._lookups: WeakValueDictionary[tuple[UUID, str], asyncio.Semaphore] = WeakValueDictionary()

    def calls(self, workspace_id: UUID, provider: str) -> asyncio.Semaphore:
        """The calls of this workspace at this provider, for as long as one of its lookups holds on to them."""
        return self._calls.setdefault((workspace_id, provider), asyncio.Semaphore(self._most_calls))

    def lookups(self, workspace_id: UUID, provider: str) -> asyncio.Semaphore:
        """The lookups of this workspace at this provider, for as long as one of them holds on to it."""
        return self._lookups.setdefault((workspace_id, provider), asyncio.Semaphore(self._most_lookups))
