"""A provider as the sandbox runs it: the emulator, what disturbs it at the moment, and what it counted."""

import re
from collections.abc import Callable
from typing import Generic, TypeVar

from app.sandbox.calls import Calls
from app.sandbox.emulator import DROPPED, WITHHELD, Answer, Emulator, Fate
from app.sandbox.faults import Fault, FaultMode
from app.sandbox.options import Options

RequestT = TypeVar("RequestT")

_HINTS = re.compile(rb"(?:retry-after|x-ratelimit-[a-z]+):[^\r]*\r\n", re.IGNORECASE)


class Station(Generic[RequestT]):
    """The one place that decides whether an answer counts, costs, waits or gets lost."""

    def __init__(self, emulator: Emulator[RequestT], calls: Calls, clock: Callable[[], float]) -> None:
        self.calls = calls
        self._emulator = emulator
        self._clock = clock
        self._fault: Fault | None = None
        self._latency = emulator.options.latency_ms / 1000

    @property
    def options(self) -> Options:
        """The options in force."""
        return self._emulator.options

    def configure(self, options: Options) -> None:
        """Put other options into force."""
        self._emulator.configure(options)
        self._latency = options.latency_ms / 1000

    @property
    def fault(self) -> Fault | None:
        """The fault in force; one whose time is up is gone."""
        fault = self._fault
        if fault is not None and fault.ends_at is not None and self._clock() >= fault.ends_at:
            fault = self._fault = None
        return fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._fault = fault

    def receive(self, request: RequestT) -> tuple[Answer, float]:
        """The answer to a request, and the seconds to wait before it goes out.

        Every request counts; only what is given, or was given and got lost on the way, costs.
        """
        fault = self._striking()
        answer = self._answered(request, fault)
        self.calls.receive(answer.keys)
        answer, delay = self._disturbed(request, answer, fault)
        # A status line is `HTTP/1.1 200 OK`; what is never answered, or not over HTTP, has none.
        self.calls.log.append((self._clock(), int(answer.head[9:12] or 0)))
        return answer, delay

    def _striking(self) -> Fault | None:
        """The fault that this request is hit by."""
        fault = self.fault if self._fault is not None else None
        return fault if fault is not None and fault.strikes() else None

    def _answered(self, request: RequestT, _fault: Fault | None) -> Answer:
        return self._emulator.answer(request)

    def _disturbed(self, request: RequestT, answer: Answer, fault: Fault | None) -> tuple[Answer, float]:
        calls = self.calls
        delay = self._latency + answer.delay
        if fault is not None:
            turn = fault.turn()
            delay += fault.latency_ms / 1000
            if fault.mode is FaultMode.HANG:
                return WITHHELD, 0.0
            if fault.mode is FaultMode.DROP_AFTER_EFFECT:
                calls.charge(answer.charges)
                return DROPPED, delay
            if fault.mode is FaultMode.TRUNCATED:
                calls.charge(answer.charges)
                return answer._replace(fate=Fate.TRUNCATED), delay
            if fault.mode is FaultMode.RATE_LIMITED_UNANNOUNCED:
                answer = self._emulator.failure(FaultMode.RATE_LIMITED, turn, request, answer)
                return answer._replace(head=_HINTS.sub(b"", answer.head)), delay
            if fault.mode is not FaultMode.SLOW:
                return self._emulator.failure(fault.mode, turn, request, answer), delay
        if answer.charges:
            calls.charge(answer.charges)
        return answer, delay


# What is not done, because it is refused or never read; other faults strike the answer of what was done.
_REFUSING = frozenset(
    {
        FaultMode.OUTAGE,
        FaultMode.FLAKY,
        FaultMode.HANG,
        FaultMode.RATE_LIMITED,
        FaultMode.RATE_LIMITED_UNANNOUNCED,
        FaultMode.QUOTA_EXHAUSTED,
        FaultMode.AUTH,
    }
)


class LastingStation(Station[RequestT]):
    """The station of a vendor whose answers have effects: a request that is refused has none."""

    def _answered(self, request: RequestT, fault: Fault | None) -> Answer:
        if fault is not None and fault.mode in _REFUSING:
            return Answer(b"")
        return super()._answered(request, fault)
