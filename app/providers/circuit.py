"""The circuit of one provider in one process: a breaker that acts together with those of all other processes."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from app.errors import Unavailable
from app.provider_settings import BreakerSettings
from app.providers.breaker import PROBE_SECONDS, Admission, Breaker, State
from app.providers.circuit_rows import CircuitRow
from app.providers.errors import CircuitOpen, SwitchedOff
from app.providers.ports import CircuitView, JsonValue

# The lease of a probe lasts so much longer than its call may take.
LEASE_MARGIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A change that this process made and that is not stored yet. `opens_until` is a Unix time by its own clock."""

    state: State
    opens_until: float | None
    cause: Mapping[str, JsonValue]


class Shared(Protocol):
    """What circuits need of the others: see `app.providers.circuits`."""

    async def lease(self, circuit: "Circuit") -> CircuitRow:
        """Ask for the one probe of the cluster: the circuit as it is stored then, `is_ours` where it was granted.

        Raises Unavailable.
        """

    def free(self, circuit: "Circuit") -> None:
        """Have the probe given back, without a verdict."""

    def save(self) -> None:
        """Have what is `unsaved` stored."""


class Circuit:
    """Decides about each call from memory; what it decides is told to the others, and theirs is adopted.

    A change is stored under the `version` that this process knows: where another process was first, that one's change
    is adopted and ours forgotten. Half open, one process of all is granted the probe (`shared.lease`); where the
    others cannot be asked, each decides for itself until they can.
    """

    def __init__(
        self,
        provider: str,
        settings: BreakerSettings,
        *,
        shared: Shared | None = None,
        call_seconds: float = 10.0,
        on_transition: Callable[[CircuitView], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.provider = provider
        self.lease_seconds = call_seconds + LEASE_MARGIN_SECONDS
        # Switched off by an operator: nothing is asked, whatever the circuit says.
        self.is_disabled = False
        self.version = -1
        self.unsaved: Unsaved | None = None
        # Called when it has closed, here or in another process.
        self.on_recovery: Callable[[], None] = lambda: None
        self._shared = shared
        self._on_transition = on_transition
        self._clock = clock
        self._wall_clock = wall_clock
        self._breaker = Breaker(provider, settings, on_transition=self._changed, clock=clock, wall_clock=wall_clock)
        self._is_asking = False
        self._others_probe_until = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether the next call is admitted at once; where not, it is for `probe` to say."""
        return self._breaker.is_closed

    def view(self) -> CircuitView:
        """The circuit as people see it."""
        return self._breaker.view()

    def check(self) -> None:
        """Raise what `admit` or `probe` would, as far as this process knows: for refusing before waiting in a queue.

        Raises CircuitOpen, SwitchedOff where it is disabled.
        """
        if self.is_disabled:
            raise SwitchedOff(self.provider, "was switched off by an operator")
        self._breaker.check()
        if self._is_asking or (self._others_probe_until and self._clock() < self._others_probe_until):
            raise CircuitOpen(self.provider, "a probe is under way", retry_after=PROBE_SECONDS)

    def admit(self, key: str) -> AbstractContextManager[None]:
        """Let one call through while it `is_closed`; see `Breaker.admit`. Raises as `check` does."""
        if self.is_disabled:
            self.check()
        return self._breaker.admit(key)

    async def probe(self, key: str) -> AbstractContextManager[None]:
        """Let the one probe through where it is not closed: as `admit`, but the other processes are asked first.

        Raises CircuitOpen where another call is the probe. A cancelled probe frees its place.
        """
        self.check()
        if self._shared is None:
            return self._breaker.admit(key)
        self._is_asking = True
        try:
            row = await self._shared.lease(self)
        except Unavailable:
            return self._breaker.admit(key)
        except BaseException:
            # It may have been granted all the same.
            self._shared.free(self)
            raise
        finally:
            self._is_asking = False
        if row.version >= self.version:
            # Also what is known here: by the database's clock its time may not be over.
            self._take(row)
        if row.is_ours:
            return _Probe(self._breaker.admit(key), self._gave_back)
        if not self._breaker.is_closed:
            self.check()
            raise CircuitOpen(self.provider, "a probe is not due yet", retry_after=PROBE_SECONDS)
        return self._breaker.admit(key)

    def adopt(self, row: CircuitRow) -> None:
        """Take over what is stored, unless it is no newer than what is known here."""
        self.is_disabled = row.is_disabled
        if row.version > self.version:
            self._take(row)

    def _take(self, row: CircuitRow) -> None:
        self.is_disabled = row.is_disabled
        self.version = row.version
        self.unsaved = None
        is_probed = row.probe_ends_in is not None and not row.is_ours
        self._others_probe_until = self._clock() + (row.probe_ends_in or 0.0) if is_probed else 0.0
        if row.is_held:
            self._breaker.hold()
        elif row.state != "closed":
            self._breaker.restore(row.state, self._wall_clock() + (row.opens_in or 0.0))
        elif not self._breaker.is_closed:
            self._breaker.restore("closed", None)
            self.on_recovery()

    def saved(self, unsaved: Unsaved, row: CircuitRow) -> None:
        """`unsaved` was stored, as `row`; what others have changed since may be known already."""
        self.version = max(self.version, row.version)
        self.is_disabled = row.is_disabled
        if self.unsaved is unsaved:
            self.unsaved = None

    def seconds_until(self, moment: float | None) -> float | None:
        """From now until a Unix time by this process's clock."""
        return None if moment is None else max(0.0, moment - self._wall_clock())

    def _changed(self, view: CircuitView) -> None:
        # That it is half open was stored with the lease.
        if self._shared is not None and view.state != "half_open":
            cause = self._breaker.cause if view.state == "open" else {}
            self.unsaved = Unsaved(view.state, view.opens_until, cause)
            self._shared.save()
        if view.state == "closed":
            self.on_recovery()
        self._on_transition(view)

    def _gave_back(self) -> None:
        if self._shared is not None and self.view().state == "half_open":
            self._shared.free(self)


class _Probe:
    """The right to make the one call, which is given back where it ends without a verdict."""

    __slots__ = ("_admission", "_ended")

    def __init__(self, admission: Admission, ended: Callable[[], None]) -> None:
        self._admission = admission
        self._ended = ended

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._admission.__exit__(kind, error, traceback)
        self._ended()
