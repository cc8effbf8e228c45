"""How fast one provider may be called: its quotas, what it says of them, and the slow start after an outage.

Quotas are of the whole cluster, by credential, and PostgreSQL keeps them (`app.providers.quotas`). This process takes
tokens in small blocks and spends them from memory; what it does not spend soon lapses. A provider without a quota, that
has not refused anybody lately and whose circuit has been closed for a while, is one whose tokens never end: then a call
costs a look into a dictionary and two comparisons.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

import structlog

from app.errors import Unavailable
from app.provider_settings import QuotaWindow
from app.providers.errors import Throttled
from app.providers.ports import RateInfo
from app.providers.turns import Turns, Who
from app.tasks import BackgroundTasks

log = structlog.get_logger(__name__)

# The credential of the installation. That of a workspace is named by the workspace's id.
INSTALLATION = ""

# Where the next token is no further away a call waits for it here; else its lookup waits, and frees what it holds.
LONGEST_WAIT_SECONDS = 1.0
# A block is what lasts for so long, and at most this share of a window; it lapses after as long.
BLOCK_SECONDS = 0.25
BLOCK_SHARE = 0.025
# After a refusal without a hint, until the others have agreed on how long it is.
_FIRST_BLOCK_SECONDS = 1.0
_LONGEST_BLOCK_SECONDS = 86_400.0
# What a provider says is left holds for as long as an answer is under way.
_ANNOUNCED_SECONDS = 1.0
# So long at the most a close of the circuit may take to be stored.
_RECOVERY_SECONDS = 5.0
_RETRY_SECONDS = 1.0
# Tokens that come one by one are asked for together.
_SHORTEST_PAUSE_SECONDS = 0.01
_CREDENTIALS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Lease:
    """`granted` tokens; where it is none, there may be some in `resets_in` seconds. `ramps_for`: for so many seconds
    more the provider is called slowly after an outage, 0 where it is not."""

    granted: int
    resets_in: float
    ramps_for: float


class Leases(Protocol):
    """Where the quotas of all processes are kept: see `app.providers.quotas`."""

    async def lease(
        self,
        provider: str,
        credential: str,
        wanted: int,
        windows: Sequence[QuotaWindow],
        announced: Mapping[int, int],
        *,
        is_recovering: bool,
    ) -> Lease:
        """Take up to `wanted` tokens. `announced` is what the provider says is left, by the window's seconds;
        `is_recovering`: its circuit has closed, which may not be stored yet. Raises Unavailable."""

    async def block(self, provider: str, credential: str, hint: float | None, *, began_ago: float) -> float:
        """The provider has refused a call that began so many seconds ago, and named `hint` seconds or no time: nobody
        calls it for the returned number of seconds. Raises Unavailable."""


class Quota:
    """The pace of one provider, of one event loop. `windows` are its quotas, per credential; `leases` None: nobody
    keeps them, and all is free but for what the provider itself refuses."""

    def __init__(
        self,
        provider: str,
        windows: Sequence[QuotaWindow] = (),
        leases: Leases | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self._windows = windows
        self._leases = leases
        self._clock = clock
        self._purses: dict[str, _Purse] = {}
        self._recovers_until = -inf
        # What was asked before something changed is asked again.
        self._epoch = 0
        self._blocks = BackgroundTasks(1)
        shares = [w.calls * min(BLOCK_SHARE, BLOCK_SECONDS / w.seconds) for w in windows]
        self._most = max(1, int(min(shares))) if shares else None
        self._lapse_seconds = min((BLOCK_SECONDS, *(BLOCK_SHARE * w.seconds for w in windows)))

    def take(self, credential: str) -> bool:
        """Take a token from memory; False, and none taken, where there is none: then `wait`."""
        purse = self._purses.get(credential)
        if purse is None or purse.tokens < 1 or purse.lapses_at < self._clock():
            return False
        purse.tokens -= 1
        return True

    async def wait(self, credential: str, who: Who, is_wanted: Callable[[], bool]) -> None:
        """Wait for a token and take it; workspaces that wait for the same one are served in turn.

        Raises Throttled, `retry_after` the time until there may be one, where that is more than a second away or nobody
        can be asked; also where it is no longer wanted. Cancelled, it has taken none.
        """
        purse = self._purse(credential)
        future = purse.turns.join(who, is_wanted)
        if purse.leasing is None:
            purse.leasing = asyncio.create_task(self._serve(credential, purse))
        try:
            await future
        except asyncio.CancelledError:
            if not purse.turns.leave(who, future) and not future.cancelled() and future.exception() is None:
                purse.tokens += 1
                purse.serve()
            raise

    def recover(self) -> None:
        """The circuit has just closed: from now on ask before each call, until the ramp is over."""
        self._recovers_until = self._clock() + _RECOVERY_SECONDS
        self.forget()

    def forget(self) -> None:
        """Something may have changed unheard: ask before the next call."""
        self._epoch += 1
        for purse in self._purses.values():
            purse.tokens = 0

    def refused(self, credential: str, hint: float | None, seconds: float) -> None:
        """The provider has refused a call for its pace, after so many seconds: nobody calls it before `hint` seconds
        are over, a day at most, or where it gives none, for a time that grows from one second to sixty while it goes on
        refusing."""
        purse = self._purse(credential)
        now = self._clock()
        hint = min(hint, _LONGEST_BLOCK_SECONDS) if hint else None
        # The others that were under way with it say the same.
        if now - seconds < purse.blocked_until and (hint is None or now + hint <= purse.blocked_until):
            return
        purse.block(now + (_FIRST_BLOCK_SECONDS if hint is None else hint))
        leases = self._leases
        if leases is None:
            return

        async def tell() -> None:
            try:
                left = await leases.block(self.provider, credential, hint, began_ago=self._clock() - now + seconds)
            except Unavailable as error:
                log.warning("a refusal was not told to other processes", provider=self.provider, error=error.message)
            else:
                purse.block(self._clock() + left)

        self._blocks.start(tell)

    def blocked(self, credential: str, seconds: float) -> None:
        """Another process has been refused."""
        if credential in self._purses:
            self._purses[credential].block(self._clock() + seconds)

    def announced(self, credential: str, rates: Sequence[RateInfo]) -> None:
        """What the provider says is left. It is asked for with the next block, and shrinks what others may take."""
        if not self._windows:
            return
        purse, now = self._purse(credential), self._clock()
        for rate in rates:
            purse.announce(rate, now)

    async def close(self) -> None:
        """End what is under way. Whoever waits for a token is told to come back later."""
        leasing = [purse.leasing for purse in self._purses.values() if purse.leasing is not None]
        for task in leasing:
            task.cancel()
        await asyncio.gather(*leasing, return_exceptions=True)
        await self._blocks.close(_RETRY_SECONDS)

    def _purse(self, credential: str) -> "_Purse":
        purse = self._purses.get(credential)
        if purse is None:
            if len(self._purses) >= _CREDENTIALS_KEPT:
                now = self._clock()
                self._purses = {name: each for name, each in self._purses.items() if each.is_in_use(now)}
            purse = self._purses[credential] = _Purse()
        return purse

    async def _serve(self, credential: str, purse: "_Purse") -> None:
        """Get tokens for as long as somebody waits."""
        try:
            while purse.turns:
                for future in purse.turns.take_unwanted():
                    future.set_exception(Throttled(self.provider, "is no longer to be asked", retry_after=1.0))
                left = purse.blocked_until - self._clock()
                if left <= 0 and purse.turns:
                    left = await self._lease(credential, purse)
                if left > LONGEST_WAIT_SECONDS:
                    self._put_off(purse, left)
                elif left > 0:
                    await asyncio.sleep(left)
        finally:
            # Whoever waits from now on has another task serve it.
            purse.leasing = None
            self._put_off(purse, _RETRY_SECONDS)

    async def _lease(self, credential: str, purse: "_Purse") -> float:
        """Get one block and hand it out; seconds until there may be another."""
        if self._leases is None:
            purse.open()
            purse.serve()
            return 0.0
        asked_at, epoch = self._clock(), self._epoch
        wanted = purse.wanted(asked_at, self._most)
        try:
            lease = await self._leases.lease(
                self.provider,
                credential,
                wanted,
                self._windows,
                purse.take_announced(asked_at - _ANNOUNCED_SECONDS),
                is_recovering=asked_at < self._recovers_until,
            )
        except Unavailable as error:
            log.warning("no quota can be leased", provider=self.provider, error=error.message)
            if self._windows or asked_at < self._recovers_until:
                self._put_off(purse, _RETRY_SECONDS)
            # Else nothing is known to hold it back, and a provider without a quota needs nobody's leave.
            purse.let_all_go()
            return 0.0
        now = self._clock()
        if purse.blocked_until > now or epoch != self._epoch:
            return max(purse.blocked_until - now, 0.0)
        purse.is_ramping = lease.ramps_for > 0
        if not lease.granted:
            return max(lease.resets_in, _SHORTEST_PAUSE_SECONDS)
        if self._windows or purse.is_ramping:
            purse.fill(lease.granted, now + self._lapse_seconds)
        else:
            purse.open()
        purse.serve()
        return 0.0 if lease.granted == wanted else _SHORTEST_PAUSE_SECONDS

    def _put_off(self, purse: "_Purse", seconds: float) -> None:
        while (future := purse.turns.next()) is not None:
            future.set_exception(Throttled(self.provider, "waits for its quota", retry_after=seconds))


class _Purse:
    """What this process may spend with one credential."""

    __slots__ = (
        "_announced", "_block", "_filled_at", "blocked_until", "is_ramping", "lapses_at", "leasing", "tokens", "turns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.tokens = 0.0
        self.lapses_at = -inf
        self.blocked_until = -inf
        self.is_ramping = False
        self.turns = Turns()
        self.leasing: asyncio.Task[None] | None = None
        self._block = 1
        self._filled_at = -inf
        self._announced: dict[int, tuple[int, float]] = {}

    def is_in_use(self, now: float) -> bool:
        return self.leasing is not None or self.blocked_until > now

    def wanted(self, now: float, most: int | None) -> int:
        """How many tokens to ask for: for all that wait, and where the last block did not last, for those that come
        after them. What is left of a block has lapsed, for everybody, so that of the next one less is left."""
        if self.tokens >= 1:
            self._block = max(1, self._block // 2)
        elif now - self._filled_at < BLOCK_SECONDS:
            self._block *= 2
        else:
            self._block = 1
        if most is None or self.is_ramping:
            return len(self.turns) if most is None else min(len(self.turns), most)
        self._block = min(self._block, most)
        return min(max(self._block, len(self.turns)), most)

    def fill(self, tokens: int, lapses_at: float) -> None:
        self.tokens = tokens
        self.lapses_at = lapses_at
        self._filled_at = lapses_at - BLOCK_SECONDS

    def open(self) -> None:
        self.tokens = self.lapses_at = inf

    def block(self, until: float) -> None:
        self.blocked_until = max(self.blocked_until, until)
        self.tokens = 0

    def serve(self) -> None:
        """Hand tokens to those that wait."""
        while self.tokens >= 1 and (future := self.turns.next()) is not None:
            self.tokens -= 1
            future.set_result(None)

    def let_all_go(self) -> None:
        """Without a token."""
        while (future := self.turns.next()) is not None:
            future.set_result(None)

    def announce(self, rate: RateInfo, now: float) -> None:
        self._announced[rate.seconds] = (rate.remaining, now)

    def take_announced(self, since: float) -> dict[int, int]:
        """What was said since then, by the window's seconds."""
        recent = {seconds: left for seconds, (left, at) in self._announced.items() if at >= since}
        self._announced.clear()
        return recent
