"""What the gate costs around a call: with an adapter that answers at once, and the quotas in PostgreSQL."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from uuid import UUID

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from app.db import Sessions, create_engine
from app.provider_settings import BreakerSettings, QuotaWindow
from app.providers.circuit import Circuit
from app.providers.gate import GatedSource
from app.providers.metrics import ProviderMetrics
from app.providers.ports import Answer, Capabilities, Missed, Query
from app.providers.quota import Quota
from app.providers.quotas import SharedQuotas
from app.settings import DatabaseSettings
from benchmarks.measure import Row
from benchmarks.rig import running_rig

CALLS = 50_000
RUNS = 5
MOST_MICROSECONDS = 30.0
# So wide that no call waits for it: what is measured is the leasing, and the spending from memory.
WIDE = (QuotaWindow(calls=1_000_000, seconds=1), QuotaWindow(calls=1_000_000, seconds=10))


class NoVendor:
    """Answers at once."""

    name = "none"
    capabilities = Capabilities({}, {}, requires_credential=False)
    credit_cost = 0
    timeout_seconds = 10.0

    async def look_up(self, query: Query) -> Answer:  # noqa: ARG002
        return _MISSED

    async def close(self) -> None:
        """There is nothing to close."""


_MISSED = Missed()
_QUERY = Query("company", "domain:example.com", {"domain": "example.com"}, workspace_id=UUID(int=1))


async def gate(directory: Path) -> list[Row]:
    """Microseconds a call, over those of the adapter alone."""
    async with running_rig(directory) as rig:
        engine = create_engine(SecretStr(rig.state.database_url), DatabaseSettings(), application="benchmark")
        shared = SharedQuotas(Sessions(engine), engine)
        try:
            return [
                await _row("a call through the gate", (), shared),
                await _row("a call through the gate, with a quota", WIDE, shared),
            ]
        finally:
            await engine.dispose()


async def _row(name: str, windows: Sequence[QuotaWindow], shared: SharedQuotas) -> Row:
    adapter = NoVendor()
    quota = Quota(adapter.name, windows, shared)
    circuit = Circuit(adapter.name, BreakerSettings())
    source = GatedSource(adapter, circuit, ProviderMetrics(CollectorRegistry()), concurrency=100, quota=quota)
    own = median([await _microseconds(source) - await _microseconds(adapter) for _ in range(RUNS)])
    await quota.close()
    return Row(name, own, "µs", target=f"below {MOST_MICROSECONDS:g} µs", met=own < MOST_MICROSECONDS)


async def _microseconds(source: GatedSource | NoVendor) -> float:
    begun = perf_counter()
    for _ in range(CALLS):
        await source.look_up(_QUERY)
    return (perf_counter() - begun) / CALLS * 1e6
