"""The only way to a provider."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter, time
from typing import Literal, Protocol, TypeVar, runtime_checkable

from pydantic import SecretStr

from app.deadline import Deadline
from app.providers.breaker import Breaker
from app.providers.errors import CircuitOpen, CredentialRejected, KeyRefusal, ProviderError, Transient
from app.providers.metrics import ProviderMetrics
from app.providers.ports import Answer, Capabilities, CircuitView, Query

# Calls that success rate and p95 look back on.
RECENT_CALLS = 1000

Given = TypeVar("Given")
Got = TypeVar("Got")


class Adapter(Protocol):
    """A vendor's wire format behind the gate: an EnrichmentSource that makes one attempt a call and knows no circuit,
    no limit and no history."""

    @property
    def name(self) -> str:
        """The registry name."""

    @property
    def capabilities(self) -> Capabilities:
        """What the provider can do."""

    @property
    def credit_cost(self) -> int:
        """Credits that a workspace pays for a found result."""

    async def look_up(self, query: Query) -> Answer:
        """One call to the provider, for a query that it `can_look_up`. Raises a ProviderError."""

    @property
    def timeout_seconds(self) -> float:
        """After so long the gate takes a call for failed."""

    async def close(self) -> None:
        """Close every connection."""


@runtime_checkable
class KeyedAdapter(Adapter, Protocol):
    """The adapter of a vendor that knows its callers by a key."""

    async def verify(self, api_key: SecretStr) -> None:
        """One free call with this key. Raises a ProviderError: of a KeyRefusal where the vendor does not take it."""


@dataclass(frozen=True, slots=True)
class SourceStats:
    """The last calls, at most RECENT_CALLS: the share that got an answer, and the time that 95 % of them stayed below.
    None before the first call. Calls whose key was refused say nothing about the vendor and are not among them."""

    success_rate: float | None
    p95_seconds: float | None


class GatedSource:
    """A provider behind its gate, in this order:

    1. **availability**: switched off, or without the credential it needs, neither the installation's nor one that the
       query brings, nothing is asked (CredentialRejected).
    2. **circuit**: while it is open a call is refused at once (CircuitOpen, `retry_after` the time until the next
       probe) and takes no place in the queue.
    3. **bulkhead**: at most `concurrency` calls are under way; the others wait here, first come, first served.
    4. **circuit** again, for what changed during the wait: the call is admitted, or it is the one probe.
    5. **adapter**, for at most its `timeout_seconds`; then it is cancelled and the call failed (Transient).
    6. **verdict**: the answer or the class of the error goes to the circuit, the metrics and the statistics. A
       cancelled call is no verdict.
    """

    def __init__(
        self,
        adapter: Adapter,
        breaker: Breaker,
        metrics: ProviderMetrics,
        *,
        concurrency: int,
        is_enabled: bool = True,
        has_credential: bool = True,
    ) -> None:
        self._adapter = adapter
        self._breaker = breaker
        self._deadline = Deadline(adapter.timeout_seconds)
        self._bulkhead = asyncio.Semaphore(concurrency)
        self._in_flight = 0
        self._is_enabled = is_enabled
        self._is_available = is_enabled and (has_credential or not adapter.capabilities.requires_credential)
        self._last_answer_at: float | None = None
        self._recent: deque[tuple[float, bool]] = deque(maxlen=RECENT_CALLS)
        self._metrics = metrics.of(adapter.name, in_flight=lambda: self._in_flight, circuit=breaker.view)

    @property
    def name(self) -> str:
        """The registry name."""
        return self._adapter.name

    @property
    def capabilities(self) -> Capabilities:
        """What the provider can do."""
        return self._adapter.capabilities

    @property
    def credit_cost(self) -> int:
        """Credits that a workspace pays for a found result."""
        return self._adapter.credit_cost

    @property
    def is_available(self) -> bool:
        """Whether it is switched on and the installation has the credential that it needs."""
        return self._is_available

    @property
    def last_answer_at(self) -> float | None:
        """When the provider last answered anything in this process (a miss too), as a Unix time; None: never."""
        return self._last_answer_at

    async def look_up(self, query: Query) -> Answer:
        """Make one call to the provider; see the class for the way to it.

        Raises a ProviderError. Cancellation aborts the call, or leaves the queue.
        """
        if not self._is_available and (query.api_key is None or not self._is_enabled):
            raise CredentialRejected(self.name, "is switched off or has no credential")
        return await self._pass(query.key, self._adapter.look_up, query)

    async def verify(self, api_key: SecretStr) -> None:
        """Ask the provider whether it takes this key, by one free call that goes the same way as every other.

        Raises a ProviderError; of a KeyRefusal where it does not, where it takes none, or is switched off.
        """
        adapter = self._adapter
        if not self._is_enabled or not isinstance(adapter, KeyedAdapter):
            raise CredentialRejected(self.name, "is switched off or takes no credential")
        await self._pass("verify", adapter.verify, api_key)

    async def _pass(self, key: str, call: Callable[[Given], Awaitable[Got]], given: Given) -> Got:
        try:
            self._breaker.check()
            async with self._bulkhead:
                with self._breaker.admit(key):
                    return await self._call(call, given)
        except CircuitOpen:
            self._metrics.refused()
            raise

    def circuit(self) -> CircuitView:
        """The circuit as people see it."""
        return self._breaker.view()

    def restore_circuit(self, state: Literal["closed", "open", "half_open"], opens_until: float | None) -> None:
        """Take over a persisted circuit, before the first call; see `Breaker.restore`."""
        self._breaker.restore(state, opens_until)

    def stats(self) -> SourceStats:
        """How the last calls went."""
        if not self._recent:
            return SourceStats(None, None)
        seconds = sorted(each for each, _ in self._recent)
        answered = sum(is_answered for _, is_answered in self._recent)
        return SourceStats(answered / len(seconds), seconds[int(0.95 * (len(seconds) - 1))])

    async def close(self) -> None:
        """Close every connection."""
        await self._adapter.close()

    async def _call(self, call: Callable[[Given], Awaitable[Got]], given: Given) -> Got:
        outcome: type | None = None
        self._in_flight += 1
        started = perf_counter()
        try:
            with self._deadline.running():
                answer = await call(given)
        except TimeoutError:
            outcome = Transient
            raise Transient(self.name, f"no answer within {self._deadline.seconds:g} s") from None
        except ProviderError as error:
            outcome = type(error)
            raise
        else:
            outcome = type(answer)
            self._last_answer_at = time()
            return answer
        finally:
            seconds = perf_counter() - started
            self._in_flight -= 1
            self._metrics.ended(outcome, seconds)
            if outcome is not None and not issubclass(outcome, KeyRefusal):
                self._recent.append((seconds, not issubclass(outcome, ProviderError)))
