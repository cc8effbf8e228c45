"""The only way to a provider."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, time
from typing import Protocol, TypeVar, runtime_checkable
from uuid import UUID

from pydantic import SecretStr

from app.deadline import Deadline
from app.providers.bulkhead import Bulkhead
from app.providers.circuit import Circuit
from app.providers.errors import (
    CircuitOpen,
    CredentialRejected,
    KeyRefusal,
    ProviderError,
    RateLimited,
    SwitchedOff,
    Throttled,
    Transient,
)
from app.providers.metrics import ProviderMetrics
from app.providers.ports import Answer, Capabilities, CircuitView, Query, RateInfo
from app.providers.quota import INSTALLATION, Quota

# Calls that success rate and p95 look back on.
RECENT_CALLS = 1000

_VERIFICATION = Query("company", "verify", {})

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
class BulkAdapter(Adapter, Protocol):
    """The adapter of a vendor that takes several subjects in one call."""

    async def look_up_many(self, queries: Sequence[Query]) -> Sequence[Answer | ProviderError]:
        """One call for all of these queries, of one entity, which it `can_look_up` and none of which has a handle: in
        their order the answer, or what keeps this one from having one.

        Raises a ProviderError for the call as a whole.
        """


@runtime_checkable
class KeyedAdapter(Adapter, Protocol):
    """The adapter of a vendor that knows its callers by a key."""

    async def verify(self, api_key: SecretStr) -> None:
        """One free call with this key. Raises a ProviderError: of a KeyRefusal where the vendor does not take it."""


@runtime_checkable
class AnnouncingAdapter(Adapter, Protocol):
    """The adapter of a vendor whose answers say how many calls are left; the gate sets `announce`."""

    announce: Callable[[Query, Sequence[RateInfo]], None]


@dataclass(frozen=True, slots=True)
class SourceStats:
    """The last calls, at most RECENT_CALLS: the share that got an answer, and the time that 95 % of them stayed below.
    None before the first call. Calls whose key was refused say nothing about the vendor and are not among them."""

    success_rate: float | None
    p95_seconds: float | None


class Turn(Protocol):
    """What the gate wants to know of a call that waits for its turn."""

    @property
    def key(self) -> str:
        """What it is about: circuits count evidence by it."""

    @property
    def workspace_id(self) -> UUID | None:
        """Whose call it is: where calls wait, workspaces take turns."""

    @property
    def is_wanted(self) -> Callable[[], bool]:
        """Asked once more after a wait, before the call is made."""


class Gate:
    """The gate of one provider. What is behind it is for its subclasses to say; every call passes in this order:

    1. **availability**: switched off, by the settings or an operator, nothing is asked (SwitchedOff), nor without the
       credential it needs, neither the installation's nor one that the call brings (CredentialRejected).
    2. **circuit**: while it is open a call is refused at once (CircuitOpen, `retry_after` the time until the next
       probe) and takes no place in the queue.
    3. **bulkhead**: at most `concurrency` calls are under way; the others wait here, workspaces in turn, and inside of
       one first come, first served.
    4. **quota**: the call takes a token of its credential, of all processes together. Where the next one is less than
       a second away it waits, with its place; else it is put off (Throttled, `retry_after` the time until there may be
       one). So it is while the provider has asked for time, and during the slow start after an outage. Whoever waited,
       here or before, and is no longer wanted, is put off too.
    5. **circuit** again, for what changed during the wait: the call is admitted, or it is the one probe that all
       processes together may make.
    6. **adapter**, for at most its `timeout_seconds`; then it is cancelled and the call failed (Transient).
    7. **verdict**: the answer or the class of the error goes to the circuit, the quota, the metrics and the statistics.
       A cancelled call is no verdict.
    """

    def __init__(
        self,
        name: str,
        circuit: Circuit,
        metrics: ProviderMetrics,
        *,
        timeout_seconds: float,
        concurrency: int,
        quota: Quota | None = None,
        is_enabled: bool = True,
        has_credential: bool = True,
    ) -> None:
        self._name = name
        self._circuit = circuit
        self._deadline = Deadline(timeout_seconds)
        self._bulkhead = Bulkhead(concurrency)
        self._quota = quota or Quota(name)
        circuit.on_recovery = self._quota.recover
        self._in_flight = 0
        self._is_enabled = is_enabled
        self._is_available = is_enabled and has_credential
        self._last_answer_at: float | None = None
        self._recent: deque[tuple[float, bool]] = deque(maxlen=RECENT_CALLS)
        self._metrics = metrics.of(
            name,
            in_flight=lambda: self._in_flight,
            queued=lambda: self._bulkhead.waiting,
            circuit=circuit.view,
        )

    @property
    def name(self) -> str:
        """The registry name."""
        return self._name

    @property
    def is_available(self) -> bool:
        """Whether it is switched on, by the settings and by the operators, and the installation has the credential that
        it needs."""
        return self._is_available and not self._circuit.is_disabled

    @property
    def last_answer_at(self) -> float | None:
        """When the provider last answered anything in this process (a miss too), as a Unix time; None: never."""
        return self._last_answer_at

    def circuit(self) -> CircuitView:
        """The circuit as people see it."""
        return self._circuit.view()

    def stats(self) -> SourceStats:
        """How the last calls went."""
        if not self._recent:
            return SourceStats(None, None)
        seconds = sorted(each for each, _ in self._recent)
        answered = sum(is_answered for _, is_answered in self._recent)
        return SourceStats(answered / len(seconds), seconds[int(0.95 * (len(seconds) - 1))])

    def _refuse_unavailable(self, *, brings_credential: bool = False) -> None:
        if not self._is_enabled:
            raise SwitchedOff(self._name, "is switched off")
        if not self._is_available and not brings_credential:
            raise CredentialRejected(self._name, "has no credential")

    async def _pass(
        self, turn: Turn, credential: str | None, call: Callable[[Given], Awaitable[Got]], given: Given
    ) -> Got:
        try:
            self._circuit.check()
            is_late = not self._bulkhead.enter()
            if is_late:
                await self._bulkhead.wait(turn.workspace_id)
            try:
                if is_late and not turn.is_wanted():
                    raise Throttled(self._name, "is no longer to be asked", retry_after=1.0)
                if credential is not None and not self._quota.take(credential):
                    await self._quota.wait(credential, turn.workspace_id, turn.is_wanted)
                circuit, key = self._circuit, turn.key
                with circuit.admit(key) if circuit.is_closed else await circuit.probe(key):
                    return await self._call(credential, call, given)
            finally:
                self._bulkhead.leave()
        except (CircuitOpen, Throttled) as error:
            self._metrics.refused(type(error))
            raise

    async def _call(self, credential: str | None, call: Callable[[Given], Awaitable[Got]], given: Given) -> Got:
        outcome: type | None = None
        self._in_flight += 1
        started = perf_counter()
        try:
            with self._deadline.running():
                answer = await call(given)
        except TimeoutError:
            outcome = Transient
            raise Transient(self._name, f"no answer within {self._deadline.seconds:g} s") from None
        except ProviderError as error:
            outcome = type(error)
            if isinstance(error, RateLimited) and credential is not None:
                self._quota.refused(credential, error.retry_after, perf_counter() - started)
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


class GatedSource(Gate):
    """A source of facts behind its gate.

    The check of a key (`verify`) goes the same way, but for the quota: it is no workspace's yet, and a call that most
    vendors do not count.
    """

    def __init__(
        self,
        adapter: Adapter,
        circuit: Circuit,
        metrics: ProviderMetrics,
        *,
        concurrency: int,
        quota: Quota | None = None,
        is_enabled: bool = True,
        has_credential: bool = True,
    ) -> None:
        super().__init__(
            adapter.name,
            circuit,
            metrics,
            timeout_seconds=adapter.timeout_seconds,
            concurrency=concurrency,
            quota=quota,
            is_enabled=is_enabled,
            has_credential=has_credential or not adapter.capabilities.requires_credential,
        )
        self._adapter = adapter
        if isinstance(adapter, AnnouncingAdapter):
            adapter.announce = self._announced

    @property
    def capabilities(self) -> Capabilities:
        """What the provider can do."""
        return self._adapter.capabilities

    @property
    def credit_cost(self) -> int:
        """Credits that a workspace pays for a found result."""
        return self._adapter.credit_cost

    async def look_up(self, query: Query) -> Answer:
        """Make one call to the provider; see the class for the way to it.

        Raises a ProviderError. Cancellation aborts the call, or leaves the queue.
        """
        self._refuse_unavailable(brings_credential=query.api_key is not None)
        return await self._pass(query, _credential(query), self._adapter.look_up, query)

    async def look_up_many(self, queries: Sequence[Query]) -> Sequence[Answer | ProviderError]:
        """Make one call to the provider for all of these queries, of one entity and one workspace and at most as many
        as its `capabilities.bulk` says: one place, one token of the quota, one verdict.

        Returns in their order the answers, and where one of them has none its ProviderError. Raises a ProviderError
        where the call as a whole failed. Cancellation aborts the call, or leaves the queue.
        """
        first, adapter = queries[0], self._adapter
        if len(queries) == 1 or not isinstance(adapter, BulkAdapter):
            return [await self.look_up(query) for query in queries]
        self._refuse_unavailable(brings_credential=first.api_key is not None)
        return await self._pass(first, _credential(first), adapter.look_up_many, queries)

    async def verify(self, api_key: SecretStr) -> None:
        """Ask the provider whether it takes this key, by one free call that goes the same way as every other.

        Raises a ProviderError; of a KeyRefusal where it does not or takes none, SwitchedOff where that cannot be asked.
        """
        adapter = self._adapter
        if not self._is_enabled:
            raise SwitchedOff(self.name, "is switched off")
        if not isinstance(adapter, KeyedAdapter):
            raise CredentialRejected(self.name, "takes no credential")
        await self._pass(_VERIFICATION, None, adapter.verify, api_key)

    async def close(self) -> None:
        """Close every connection."""
        await self._adapter.close()

    def _announced(self, query: Query, rates: Sequence[RateInfo]) -> None:
        self._quota.announced(_credential(query), rates)


def _credential(query: Query) -> str:
    return INSTALLATION if query.api_key is None else str(query.workspace_id)
