"""A breaker to steer: with clocks to turn."""

import asyncio
from collections.abc import Iterable

from app.provider_settings import BreakerSettings
from app.providers.breaker import Breaker
from app.providers.errors import Outage, ProviderError
from app.providers.ports import CircuitView
from tests.providers.stubs import Clock

SETTINGS = BreakerSettings(fail_max=5, failure_rate=0.5, window_calls=20, min_keys=5, reset_seconds=30)


class Circuit:
    """A breaker with clocks to turn and the transitions that it told."""

    def __init__(self, settings: BreakerSettings = SETTINGS) -> None:
        self.clock, self.wall = Clock(), Clock(1_700_000_000.0)
        self.transitions: list[CircuitView] = []
        self.breaker = Breaker(
            "vendor", settings, on_transition=self.transitions.append, clock=self.clock, wall_clock=self.wall
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.wall.now += seconds

    def call(self, key: str, error: BaseException | None = None) -> None:
        try:
            with self.breaker.admit(key):
                if error is not None:
                    raise error
        except (ProviderError, asyncio.CancelledError, LookupError) as raised:
            if raised is not error:
                raise

    def fail(self, keys: Iterable[object], kind: type[ProviderError] = Outage) -> None:
        for key in keys:
            self.call(str(key), kind("vendor", "is away"))

    @property
    def state(self) -> str:
        return self.breaker.view().state
