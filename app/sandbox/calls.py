"""What reached a provider and what it would have billed: the figures that an audit is held against."""

from collections import deque
from typing import NamedTuple

LOGGED = 100_000
"""Calls that a log looks back on: some 10 MB."""


class Charge(NamedTuple):
    """What a vendor bills for one found key.

    Charges with the same `once` are billed a single time until the counters are reset.
    """

    key: str
    credits: int = 1
    once: str = ""


class Calls:
    """Counters of one provider, and its log: when each call came, by the sandbox's clock, and the status of its answer,
    0 where none was sent. Two dictionary updates and an append a request, nothing that a measurement would see."""

    __slots__ = ("_billed", "by_key", "charged", "charged_by_key", "log", "total")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Back to zero, as a new billing period begins: what was free as a repeat costs again."""
        self.total = 0
        self.by_key: dict[str, int] = {}
        self.charged = 0
        self.charged_by_key: dict[str, int] = {}
        self._billed: set[str] = set()
        self.log: deque[tuple[float, int]] = deque(maxlen=LOGGED)

    def receive(self, keys: tuple[str, ...]) -> None:
        """A request came in that asked for these keys: one mostly, several in bulk, none in a free call."""
        self.total += 1
        for key in keys:
            self.by_key[key] = self.by_key.get(key, 0) + 1

    def charge(self, charges: tuple[Charge, ...]) -> None:
        """The vendor bills these."""
        for key, price, once in charges:
            if once:
                if once in self._billed:
                    continue
                self._billed.add(once)
            self.charged += price
            self.charged_by_key[key] = self.charged_by_key.get(key, 0) + price

    def as_json(self) -> dict[str, object]:
        """The counters as the control interface shows them."""
        return {
            "total": self.total,
            "by_key": self.by_key,
            "charged": self.charged,
            "charged_by_key": self.charged_by_key,
        }
