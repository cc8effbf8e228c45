"""Faults on demand: what goes wrong at a provider, for which share of its requests and for how long."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from app.sandbox.checks import RefusedError, checked, milliseconds, one_of, optional, seconds, share


class FaultMode(StrEnum):
    """The ways in which a provider fails. How a vendor words each is the emulator's business."""

    OUTAGE = "outage"
    FLAKY = "flaky"
    SLOW = "slow"
    HANG = "hang"
    RATE_LIMITED = "rate_limited"
    RATE_LIMITED_UNANNOUNCED = "rate_limited_unannounced"
    """Rate limited without a word about when that is over."""
    QUOTA_EXHAUSTED = "quota_exhausted"
    AUTH = "auth"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    """The head promises the whole body, half of it comes, and the connection closes."""
    DROP_AFTER_EFFECT = "drop_after_effect"


DEFAULT_RATE = {FaultMode.FLAKY: 0.5}
DEFAULT_LATENCY_MS = {FaultMode.SLOW: 3000.0}

_CHECKS = {
    "mode": one_of(*(mode.value for mode in FaultMode)),
    "rate": optional(share),
    "latency_ms": optional(milliseconds),
    "seconds": optional(seconds),
}


@dataclass(slots=True)
class Fault:
    """A fault in force. `ends_at` is a reading of the sandbox's clock, None for one without end."""

    mode: FaultMode
    rate: float
    latency_ms: float
    ends_at: float | None
    sequence: Random
    turns: int = field(default=0)

    def strikes(self) -> bool:
        """Whether the next request is hit: a sequence that provider, mode and seed decide."""
        return self.rate >= 1 or self.sequence.random() < self.rate

    def turn(self) -> int:
        """The number of this hit, from 0: by it a mode rotates through its forms."""
        self.turns += 1
        return self.turns - 1

    def as_json(self, now: float) -> dict[str, object]:
        """The fault as the control interface shows it; `seconds` is what is left of it."""
        left = None if self.ends_at is None else round(self.ends_at - now, 3)
        return {
            "mode": self.mode,
            "rate": self.rate,
            "latency_ms": self.latency_ms,
            "seconds": left,
            "struck": self.turns,
        }


def read_fault(body: object, *, provider: str, seed: int, clock: Callable[[], float]) -> Fault:
    """The fault that a control request asks for; raises `RefusedError`.

    `rate` defaults to 1 (0.5 for flaky). `latency_ms` comes on top of every answer that is hit; 0 or none
    stands for the mode's own, which is 3000 for slow and nothing for the others. `seconds` counts from now.
    """
    asked = checked(body, _CHECKS)
    if "mode" not in asked:
        raise RefusedError(f"mode: is missing; there are {', '.join(FaultMode)}")
    mode = FaultMode(asked["mode"])
    rate, lasting = asked.get("rate"), asked.get("seconds")
    return Fault(
        mode=mode,
        rate=DEFAULT_RATE.get(mode, 1.0) if rate is None else rate,
        latency_ms=asked.get("latency_ms") or DEFAULT_LATENCY_MS.get(mode, 0.0),
        ends_at=None if lasting is None else clock() + lasting,
        # Random seeds itself from a text by SHA-512, so the sequence does not depend on PYTHONHASHSEED.
        sequence=Random(f"{seed} {provider} {mode}"),  # noqa: S311 - chance, not secrecy
    )
