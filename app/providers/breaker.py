"""The circuit of one provider: pybreaker's state machine, fed with evidence, admitting one probe when half open.

pybreaker counts, trips and changes state; it never wraps an await, where it would take a cancelled call for an outage,
let a stampede through when half open and be tripped by the late failures of calls that began before (each was tried).
Instead a call is admitted (`admit`), made by the caller, and its verdict is replayed to the machine when it is over.

What counts:

    answered, or refused for our input or pace  the vendor lives: a success for the circuit
    Outage, Transient                           a failure, in a row and in the rate
    Malformed                                   a failure in the rate only: one odd record is no outage
    answered after more than `slow_seconds`     the same: the answer counts for the caller, not for the vendor
    refused for the key (KeyRefusal)            no verdict: a tenant's bad key must neither open a circuit for the
                                                others nor hide, as a success, what they run into
    cancelled, or an error of our own code      no verdict

The probe is judged alone: whatever is a failure in the rate keeps the circuit open.

A circuit opens on `fail_max` failures in a row, or on `failure_rate` of the last `window_calls` calls once half of that
window is filled; in both cases the failures must come from `min_keys` different looked-up keys, so that a poison record
tried again and again, or a handful of them, never opens it for everybody.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from types import TracebackType
from typing import Literal

from pybreaker import (
    STATE_CLOSED,
    STATE_HALF_OPEN,
    STATE_OPEN,
    CircuitBreaker,
    CircuitBreakerState,
    CircuitMemoryStorage,
)

from app.provider_settings import BreakerSettings
from app.providers.errors import CircuitOpen, KeyRefusal, Malformed, ProviderError
from app.providers.ports import CircuitView, JsonValue

# What a refused caller is told while the one probe is under way: its verdict is a call away.
PROBE_SECONDS = 1.0

# What a refused caller is told while somebody holds the circuit open: nobody knows for how long.
HELD_SECONDS = 30.0

# In the evidence, the class of a call that was answered late.
SLOW = "slow"

State = Literal["closed", "open", "half_open"]


class Breaker:
    """Not thread-safe: it belongs to one event loop, and none of its methods awaits.

    `on_transition` hears of every change of state, except of one that `restore` made; it must not raise. `clock` gives
    monotonic seconds, `wall_clock` Unix time for what people see.
    """

    def __init__(
        self,
        provider: str,
        settings: BreakerSettings,
        *,
        on_transition: Callable[[CircuitView], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.provider = provider
        self._settings = settings
        self._on_transition = on_transition
        self._clock = clock
        self._wall_clock = wall_clock
        self._in_a_row = _FailuresInARow(settings.min_keys)
        self._window = _Window(settings)
        self._sample: str | None = None
        self._machine = CircuitBreaker(
            fail_max=settings.fail_max,
            reset_timeout=settings.reset_seconds,
            state_storage=self._in_a_row,
            name=provider,
            throw_new_error_on_trip=False,
        )
        self._half_opens_at = self._opens_until = 0.0  # the same moment, by either clock
        self._probe: Admission | None = None
        self._cause: Mapping[str, JsonValue] = {}

    @property
    def is_closed(self) -> bool:
        """Whether calls go through, and the next one is no probe."""
        return bool(self._machine.current_state == STATE_CLOSED)

    @property
    def cause(self) -> Mapping[str, JsonValue]:
        """What opened it last: ``errors``, the failures that it looked back on by code of their error (`SLOW` among
        them), and a ``sample`` message, that of the last error. Empty where no error has opened it here."""
        return self._cause

    @property
    def state(self) -> State:
        """``half_open`` also from the moment at which the next call would be the probe."""
        if self._machine.current_state == STATE_OPEN:
            return "open" if self._clock() < self._half_opens_at else "half_open"
        return "half_open" if self._machine.current_state == STATE_HALF_OPEN else "closed"

    def view(self) -> CircuitView:
        """The circuit as people see it."""
        state = self.state
        is_timed = state == "open" and self._opens_until != inf
        return CircuitView(self.provider, state, self._opens_until if is_timed else None)

    def check(self) -> None:
        """Raise CircuitOpen where `admit` would, and change nothing: for refusing before waiting in a queue."""
        if self._machine.current_state == STATE_OPEN:
            left = self._half_opens_at - self._clock()
            if left > 0:
                if left == inf:
                    raise CircuitOpen(self.provider, "circuit held open by an operator", retry_after=HELD_SECONDS)
                raise CircuitOpen(self.provider, "circuit open", retry_after=left)
        elif self._probe is not None:
            raise CircuitOpen(self.provider, "a probe is under way", retry_after=PROBE_SECONDS)

    def admit(self, key: str) -> "Admission":
        """Let one call through: a context manager to be entered at once, around the call for `key`.

        Leaving it gives the verdict: the answer, the ProviderError that is being raised, or none. Raises CircuitOpen,
        whose `retry_after` is the time until the next probe.
        """
        self.check()
        if self._machine.current_state == STATE_OPEN:
            self._machine.half_open()
            self._changed()
        admission = Admission(self, self._machine.state, key, self._clock())
        if self._machine.current_state == STATE_HALF_OPEN:
            self._probe = admission
        return admission

    def restore(self, state: State, opens_until: float | None) -> None:
        """Take over a circuit as it was persisted: `opens_until` is a Unix time.

        An open one stays open for what is left, at most `reset_seconds` (clocks of machines differ); one whose time is
        over, or that was half open, admits a probe.
        """
        self._probe = None
        self._forget()
        if state == "closed":
            self._machine.close()
            return
        left = (opens_until or 0.0) - self._wall_clock() if state == "open" else 0.0
        self._machine.open()
        self._stay_open(min(max(left, 0.0), self._settings.reset_seconds))

    def hold(self) -> None:
        """Open it until `restore` says otherwise: no probe is admitted."""
        self._probe = None
        self._forget()
        self._machine.open()
        self._stay_open(inf)

    def settle(self, admission: "Admission", error: BaseException | None) -> None:
        """Take the verdict of an admitted call: None for an answer. `Admission` calls it, exactly once."""
        if self._probe is admission:
            self._probe = None
        if self._machine.state is not admission.epoch:
            return  # it began before a transition and says nothing about the vendor of now
        if isinstance(error, KeyRefusal):
            return
        if error is None and self._is_slow(admission):
            self._fail(admission.key, None)
        elif error is None or (isinstance(error, ProviderError) and not error.is_outage):
            self._window.succeeded()
            # While closed all that the machine does with a success is to forget failures in a row.
            if self._in_a_row.any or admission.epoch.name != STATE_CLOSED:
                self._machine.call(_succeed)
        elif isinstance(error, ProviderError):
            self._fail(admission.key, error)
        if self._machine.state is not admission.epoch:
            self._changed()

    def _is_slow(self, admission: "Admission") -> bool:
        limit = self._settings.slow_seconds
        return limit is not None and self._clock() - admission.began > limit

    def _fail(self, key: str, error: ProviderError | None) -> None:
        """`error` is None for an answer that came late."""
        self._window.failed(key, SLOW if error is None else error.code)
        if error is not None:
            self._sample = error.message
        is_probe = self._machine.current_state == STATE_HALF_OPEN
        if is_probe or not (error is None or isinstance(error, Malformed)):
            self._in_a_row.keys.add(key)
            with suppress(_Failure):
                self._machine.call(_fail)
        if self._machine.current_state == STATE_CLOSED and self._window.is_bad():
            self._machine.open()

    def _changed(self) -> None:
        if self._machine.current_state == STATE_OPEN:
            self._stay_open(self._settings.reset_seconds)
            self._cause = {"errors": dict(self._window.errors()), "sample": self._sample}
        self._forget()
        self._on_transition(self.view())

    def _forget(self) -> None:
        self._window.clear()
        self._sample = None
        self._in_a_row.reset_counter()

    def _stay_open(self, seconds: float) -> None:
        self._half_opens_at = self._clock() + seconds
        self._opens_until = self._wall_clock() + seconds


class Admission:
    """The right to make one call. Enter it at once, leave it when the call is over."""

    __slots__ = ("_breaker", "began", "epoch", "key")

    def __init__(self, breaker: Breaker, epoch: CircuitBreakerState, key: str, began: float) -> None:
        self._breaker = breaker
        # pybreaker makes a new state object for every transition: identity tells the epochs apart.
        self.epoch = epoch
        self.key = key
        self.began = began

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._breaker.settle(self, error)


class _FailuresInARow(CircuitMemoryStorage):
    """pybreaker's memory, whose count of failures holds only once enough different keys vouch for it.

    `keys` stays small: once it has `min_keys` members, `fail_max` failures in a row open the circuit and clear it.
    """

    def __init__(self, min_keys: int) -> None:
        super().__init__(STATE_CLOSED)
        self.keys: set[str] = set()
        self._min_keys = min_keys

    @property
    def counter(self) -> int:
        """Failures in a row, 0 while they come from too few keys."""
        return super().counter if len(self.keys) >= self._min_keys else 0

    @property
    def any(self) -> bool:
        """Whether there is something to forget."""
        return super().counter > 0

    def reset_counter(self) -> None:
        """An answer came, or the circuit closed."""
        super().reset_counter()
        self.keys.clear()


class _Window:
    """The last calls, and among them the failures by key and by code. A success costs one append."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._size = settings.window_calls
        self._rate = settings.failure_rate
        self._min_keys = settings.min_keys
        # With fewer calls a vendor that fails now and then looks like one that is away: at a failure rate of 0.2 a
        # half of 10 calls fails in 3 of 100 cases, a half of 25 calls in 4 of 10,000.
        self._enough = (self._size + 1) // 2
        self._calls: deque[tuple[str, str] | None] = deque()
        self._failures: Counter[str] = Counter()

    def succeeded(self) -> None:
        self._push(None)

    def failed(self, key: str, code: str) -> None:
        self._push((key, code))
        self._failures[key] += 1

    def errors(self) -> Counter[str]:
        """The failures by their code."""
        return Counter(call[1] for call in self._calls if call is not None)

    def is_bad(self) -> bool:
        """Whether the share of failures opens the circuit."""
        return (
            len(self._calls) >= self._enough
            and len(self._failures) >= self._min_keys
            and self._failures.total() >= self._rate * len(self._calls)
        )

    def clear(self) -> None:
        self._calls.clear()
        self._failures.clear()

    def _push(self, call: tuple[str, str] | None) -> None:
        if len(self._calls) == self._size:
            oldest = self._calls.popleft()
            if oldest is not None:
                key, _ = oldest
                self._failures[key] -= 1
                if not self._failures[key]:
                    del self._failures[key]
        self._calls.append(call)


class _Failure(Exception):
    """Stands for a failed call in the machine: raising the real error there would lengthen its traceback."""


def _succeed() -> None:
    return None


def _fail() -> None:
    raise _Failure
