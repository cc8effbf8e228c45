"""How much of one workspace is under way in this process."""

import asyncio
from collections import deque
from time import monotonic
from types import TracebackType
from uuid import UUID
from weakref import WeakValueDictionary

# Who was seen working so lately is still at work.
_LATELY_SECONDS = 3.0


class Places:
    """Lookups have phases without calls: a bound over all of a workspace at a provider lets more lookups run than a
    bound on each, and so keeps the places filled. It is one for each provider: one that hangs holds none of another's.

    Alone in the process a workspace has `calls` at a provider, which is as many as the process can work off. Beside
    others it has `shared_calls`: each call that is under way makes every step of everybody else's work wait.

    The lookups themselves are bound as well, and the others wait before they read: those of a hundred jobs at once
    would share its turn among them, each with a trickle of answers and a transaction for every few of them.
    """

    def __init__(self, calls: int, lookups: int, *, shared_calls: int) -> None:
        self._most_calls = calls
        self._most_shared_calls = min(calls, shared_calls)
        self._most_lookups = lookups
        self._calls: WeakValueDictionary[tuple[UUID, str], Calls] = WeakValueDictionary()
        self._lookups: WeakValueDictionary[tuple[UUID, str], asyncio.Semaphore] = WeakValueDictionary()
        self._seen: tuple[UUID | None, float] = None, 0.0
        self._shared_until = 0.0

    def calls(self, workspace_id: UUID, provider: str) -> "Calls":
        """The calls of this workspace at this provider, for as long as one of its lookups holds on to them."""
        return self._calls.setdefault((workspace_id, provider), Calls(self, workspace_id))

    def lookups(self, workspace_id: UUID, provider: str) -> asyncio.Semaphore:
        """The lookups of this workspace at this provider, for as long as one of them holds on to it."""
        return self._lookups.setdefault((workspace_id, provider), asyncio.Semaphore(self._most_lookups))

    def see(self, workspace_id: UUID) -> None:
        """The workspace has work here."""
        now = monotonic()
        last, at = self._seen
        if last != workspace_id and now - at < _LATELY_SECONDS:
            self._shared_until = now + _LATELY_SECONDS
        self._seen = workspace_id, now

    @property
    def most_calls(self) -> int:
        """How many calls one workspace may have under way at one provider now."""
        return self._most_shared_calls if monotonic() < self._shared_until else self._most_calls


class Calls:
    """Places for the calls of one workspace at one provider: ``async with`` takes one, in the order of asking."""

    def __init__(self, places: Places, workspace_id: UUID) -> None:
        self._places = places
        self._workspace_id = workspace_id
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        self._places.see(self._workspace_id)
        if not self._waiting and self._taken < self._places.most_calls:
            self._taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._taken -= 1
        most = self._places.most_calls
        while self._waiting and self._taken < most:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
