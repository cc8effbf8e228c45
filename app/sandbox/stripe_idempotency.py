"""What an idempotency key was answered: the first request that was executed decides it for a day, a 500 too."""

from collections.abc import Callable
from typing import NamedTuple

from app.sandbox.stripe_errors import key_in_use, key_reused

_KEPT_FOR = 24 * 3_600


class Stored(NamedTuple):
    """An answer, the request that it was for, and when it was on its way: until `busy_until`."""

    fingerprint: str
    status: int
    body: bytes
    request_id: str
    at: float
    busy_until: float


class Idempotency:
    """Answers by key, oldest first. `wall` is the real time: no test clock moves it."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.stored: dict[str, Stored] = {}

    def find(self, key: str, fingerprint: str) -> Stored | None:
        """What this key was answered. Raises StripeError where it belongs to another request, or its answer is still
        on the way."""
        self._expire()
        stored = self.stored.get(key)
        if stored is None:
            return None
        if stored.fingerprint != fingerprint:
            raise key_reused(key)
        if stored.busy_until > self._wall():
            raise key_in_use()
        return stored

    def store(self, key: str, fingerprint: str, status: int, body: bytes, request_id: str, *, busy_for: float) -> None:
        """Answer this key so from now on."""
        now = self._wall()
        self.stored[key] = Stored(fingerprint, status, body, request_id, now, now + busy_for)

    def clear(self) -> None:
        """A day has passed."""
        self.stored.clear()

    def _expire(self) -> None:
        oldest = self._wall() - _KEPT_FOR
        while self.stored:
            key, stored = next(iter(self.stored.items()))
            if stored.at >= oldest:
                return
            del self.stored[key]
