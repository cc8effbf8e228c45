"""The times in which customers live: the real one, moved on at will, or one of their own that stands still between two
moves. Moving on lets happen what is due, in order of time."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

WORLD = ""
"""The key of the clock that runs by itself."""


class Clock:
    """One time. `frozen` is None for the one that runs."""

    __slots__ = ("_due", "_number", "_passing", "_wall", "frozen", "offset")

    def __init__(self, wall: Callable[[], float], frozen: int | None = None, offset: int = 0) -> None:
        self.frozen = frozen
        self.offset = offset
        self._wall = wall
        self._passing: int | None = None
        self._due: list[tuple[int, int, str]] = []
        self._number = 0

    def now(self) -> int:
        """Unix seconds. While what was due is made up for: the moment when it was."""
        if self._passing is not None:
            return self._passing
        return int(self._wall()) + self.offset if self.frozen is None else self.frozen

    def schedule(self, at: int, identifier: str) -> None:
        """Name it when `at` has come."""
        self._number += 1
        heappush(self._due, (at, self._number, identifier))

    def pass_until(self, until: int, happen: Callable[[str], None]) -> None:
        """Name what is due until then, one after the other, each at its moment."""
        if not self._due or self._due[0][0] > until:
            return
        try:
            while self._due and self._due[0][0] <= until:
                at, _, identifier = heappop(self._due)
                self._passing = max(at, self._passing or at)
                happen(identifier)
        finally:
            self._passing = None

    def passing(self, moment: int | None) -> None:
        """Pretend that it is then, None: that it is now."""
        self._passing = moment


class Clocks:
    """All clocks by their keys."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._clocks: dict[str, Clock] = {}
        self.clear()

    def clear(self) -> None:
        self._clocks = {WORLD: Clock(self._wall)}

    def get(self, key: str) -> Clock:
        return self._clocks[key]

    def make(self, key: str, frozen: int) -> Clock:
        """A clock that stands still at a moment."""
        self._clocks[key] = Clock(self._wall, frozen)
        return self._clocks[key]

    def drop(self, key: str) -> None:
        self._clocks.pop(key, None)

    def dump(self) -> dict[str, Any]:
        """What `load` takes: nothing of what is due, which the objects themselves tell."""
        return {key: [clock.frozen, clock.offset] for key, clock in self._clocks.items()}

    def load(self, dumped: dict[str, Any]) -> None:
        self._clocks = {
            key: Clock(self._wall, frozen, offset) for key, (frozen, offset) in {WORLD: [None, 0], **dumped}.items()
        }
