"""Events of security: log lines with a stable name that an operator can alert on, and their counts."""

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256

import structlog
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

_log = structlog.get_logger("security")
# Of this process, as the metrics of a process are; who logs an event need not be handed anything for it.
_counts: Counter[str] = Counter()


def security_event(kind: str, **ids: object) -> None:
    """Log that something happened which bears on security: `kind` as ``sign_in.failed``, the line's ``event`` is
    ``security.sign_in.failed``.

    `ids` say of whom, without a secret and without an address in clear (`digest_of`). The client's address and the
    request's id come from the request that is being answered.
    """
    _counts[kind] += 1
    _log.warning(f"security.{kind}", **{name: str(value) for name, value in ids.items() if value is not None})


def digest_of(address: str) -> str:
    """The same for the same address, so that lines about one can be found, also by who knows the address alone."""
    return sha256(address.encode()).hexdigest()[:16]


class SecurityEvents(Collector):
    """How many events of each kind this process has logged, for a registry."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily("holdfast_security_events", "Events of security.", labels=("kind",))
        for kind, count in sorted(_counts.items()):
            family.add_metric((kind,), count)
        yield family
