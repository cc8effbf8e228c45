"""The Prometheus metrics of providers. Children are bound once: a call pays for two additions and an observation."""

from collections.abc import Callable, Mapping
from types import NoneType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.providers.errors import (
    CircuitOpen,
    CredentialRejected,
    InvalidQuery,
    Malformed,
    Outage,
    PaymentRequired,
    RateLimited,
    StoredFailure,
    Throttled,
    Transient,
)
from app.providers.payments import HostedPage, Page, PayingCustomer
from app.providers.ports import CircuitView, Found, Missed, Pending, Unreachable

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_STATES = {"closed": 0, "half_open": 1, "open": 2}

_OUTCOMES: Mapping[type, str] = {
    Found: "found",
    Missed: "missed",
    Unreachable: "unreachable",
    Pending: "pending",
    # Of a call for several subjects, which came to something different for each.
    list: "bulk",
    # Of the payment provider.
    **dict.fromkeys((Page, PayingCustomer, HostedPage, int, NoneType), "answered"),
    InvalidQuery: "invalid_query",
    CredentialRejected: "credential_rejected",
    PaymentRequired: "payment_required",
    RateLimited: "rate_limited",
    Throttled: "throttled",
    Malformed: "malformed",
    StoredFailure: "stored_failure",
    Transient: "transient",
    Outage: "outage",
    CircuitOpen: "circuit_open",
}


class ProviderMetrics:
    """The metric families, registered once in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "holdfast_provider_calls",
            "Calls to a provider by what came of them; circuit_open and throttled were not made.",
            ("provider", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "holdfast_provider_call_seconds",
            "Duration of a call to a provider, without the wait for a free slot.",
            ("provider",),
            registry=registry,
            buckets=_SECONDS,
        )
        self._in_flight = Gauge(
            "holdfast_provider_calls_in_flight",
            "Calls to a provider under way.",
            ("provider",),
            registry=registry,
        )
        self._queued = Gauge(
            "holdfast_provider_calls_queued",
            "Calls to a provider that wait for a free slot.",
            ("provider",),
            registry=registry,
        )
        self._circuit = Gauge(
            "holdfast_provider_circuit_state",
            "Circuit of a provider: 0 closed, 1 half open, 2 open.",
            ("provider",),
            registry=registry,
        )

        self._transitions = Counter(
            "holdfast_provider_circuit_transitions",
            "Changes of a circuit that this process made; those that it learned from others are counted there.",
            ("provider", "state"),
            registry=registry,
        )

    def transition(self, view: CircuitView) -> None:
        """A circuit has become what `view` says."""
        self._transitions.labels(view.provider, view.state).inc()

    def of(
        self,
        provider: str,
        *,
        in_flight: Callable[[], int],
        queued: Callable[[], int],
        circuit: Callable[[], CircuitView],
    ) -> "CallMetrics":
        """The metrics of one provider. The gauges ask when they are scraped."""
        self._in_flight.labels(provider).set_function(in_flight)
        self._queued.labels(provider).set_function(queued)
        self._circuit.labels(provider).set_function(lambda: _STATES[circuit().state])
        outcomes = {kind: self._calls.labels(provider, label) for kind, label in _OUTCOMES.items()}
        return CallMetrics(outcomes, self._calls.labels(provider, "no_verdict"), self._seconds.labels(provider))


class CallMetrics:
    """Counts the calls of one provider."""

    __slots__ = ("_no_verdict", "_outcomes", "_seconds")

    def __init__(self, outcomes: Mapping[type, Counter], no_verdict: Counter, seconds: Histogram) -> None:
        self._outcomes = outcomes
        self._no_verdict = no_verdict
        self._seconds = seconds

    def refused(self, kind: type) -> None:
        """A call was not made: CircuitOpen or Throttled."""
        self._outcomes[kind].inc()

    def ended(self, outcome: type | None, seconds: float) -> None:
        """A call ended in an answer or error of this class; None for one that was cancelled or broke in our code."""
        counter = self._outcomes.get(outcome) if outcome else self._no_verdict
        (counter or self._nearest(outcome)).inc()
        self._seconds.observe(seconds)

    def _nearest(self, outcome: type | None) -> Counter:
        known = (self._outcomes[each] for each in getattr(outcome, "__mro__", ()) if each in self._outcomes)
        return next(known, self._no_verdict)
