"""Rate-limit windows as the vendors keep them: fixed, of one minute mostly, opened by their first request."""

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

SECOND = 1.0
MINUTE = 60.0


class Usage(NamedTuple):
    """A window after a request was counted in it."""

    limit: int
    used: int
    resets_in: float

    @property
    def exceeded(self) -> bool:
        """Whether the counted request was one too many."""
        return self.used > self.limit

    @property
    def left(self) -> int:
        """Requests that still fit."""
        return max(0, self.limit - self.used)


class Windows:
    """One window per name, which is whatever the vendor limits by: key and endpoint, or host."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._open: dict[str, tuple[float, int]] = {}

    def take(self, name: str, limit: int, seconds: float = MINUTE) -> Usage:
        """Count a request in the window of that name, which is `seconds` long."""
        now = self._clock()
        opened, used = self._open.get(name, (now, 0))
        if now - opened >= seconds:
            opened, used = now, 0
        self._open[name] = (opened, used + 1)
        return Usage(limit, used + 1, opened + seconds - now)

    def clear(self) -> None:
        """Close every window: a new limit counts from its own beginning."""
        self._open.clear()
