"""What people see of the providers, written to PostgreSQL by the process that calls them: circuits, success, speed."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, Protocol

import structlog
from sqlalchemy import text

from app.db import Sessions
from app.errors import Unavailable
from app.providers.gate import SourceStats
from app.providers.ports import CircuitView

log = structlog.get_logger(__name__)

_EVERY_SECONDS = 5.0

_WRITE = text("""
    INSERT INTO provider_health AS h (provider, circuit, opened_at, opens_until, success_rate, p95_seconds)
    VALUES (:provider, :circuit, CASE WHEN :circuit <> 'closed' THEN now() END, :opens_until, :success_rate,
            :p95_seconds)
    ON CONFLICT (provider) DO UPDATE
    SET circuit = excluded.circuit, opens_until = excluded.opens_until, updated_at = now(),
        opened_at = CASE WHEN excluded.circuit <> 'closed' THEN coalesce(h.opened_at, now()) END,
        success_rate = coalesce(excluded.success_rate, h.success_rate),
        p95_seconds = coalesce(excluded.p95_seconds, h.p95_seconds)
""")
_READ = text("SELECT provider, circuit, extract(epoch FROM opens_until)::float8 AS opens_until FROM provider_health")


class ObservedSource(Protocol):
    """What the report needs of a source behind the gate."""

    def circuit(self) -> CircuitView: ...

    def stats(self) -> SourceStats: ...

    def restore_circuit(self, state: Literal["closed", "open", "half_open"], opens_until: float | None) -> None: ...


class HealthReport:
    """Writes a change of a circuit at once, and everything that changed every few seconds."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._changed = asyncio.Event()
        self._written: dict[str, tuple[CircuitView, SourceStats]] = {}

    def on_transition(self, view: CircuitView) -> None:
        """For the breakers: log the change and have it written."""
        log.warning("circuit changed", provider=view.provider, state=view.state, opens_until=view.opens_until)
        self._changed.set()

    async def restore(self, sources: Mapping[str, ObservedSource]) -> None:
        """Before the first call: a circuit that was open when a process ended is still open.

        Raises Unavailable without a database.
        """
        async with self._sessions.unscoped() as session:
            for row in await session.execute(_READ):
                if row.provider in sources and row.circuit != "closed":
                    sources[row.provider].restore_circuit(row.circuit, row.opens_until)

    async def run(self, sources: Mapping[str, ObservedSource]) -> None:
        """Report until cancelled. Without a database it tries again later: calls do not wait for reports."""
        while True:
            self._changed.clear()
            try:
                await self._write(sources)
            except Unavailable as error:
                log.warning("provider health not written", error=error.message)
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_SECONDS):
                    await self._changed.wait()

    async def _write(self, sources: Mapping[str, ObservedSource]) -> None:
        now = {name: (source.circuit(), source.stats()) for name, source in sources.items()}
        changed = {name: state for name, state in now.items() if self._written.get(name) != state}
        if not changed:
            return
        async with self._sessions.unscoped() as session:
            await session.execute(_WRITE, [_row(view, stats) for _, (view, stats) in sorted(changed.items())])
        self._written.update(changed)


def _row(view: CircuitView, stats: SourceStats) -> dict[str, object]:
    return {
        "provider": view.provider,
        "circuit": view.state,
        "opens_until": datetime.fromtimestamp(view.opens_until, UTC) if view.opens_until else None,
        "success_rate": stats.success_rate,
        "p95_seconds": stats.p95_seconds,
    }
