"""How the calls to providers go, written to PostgreSQL by the process that makes them: for people to see."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog
from sqlalchemy import text

from app.db import Sessions
from app.errors import Unavailable
from app.providers.gate import SourceStats

log = structlog.get_logger(__name__)

_EVERY_SECONDS = 5.0

_WRITE = text("""
    INSERT INTO provider_health AS h (provider, circuit, success_rate, p95_seconds)
    VALUES (:provider, 'closed', :success_rate, :p95_seconds)
    ON CONFLICT (provider) DO UPDATE
    SET success_rate = excluded.success_rate, p95_seconds = excluded.p95_seconds, updated_at = now()
""")


class ObservedSource(Protocol):
    """What the report needs of a source behind the gate."""

    def stats(self) -> SourceStats: ...


async def report_health(sessions: Sessions, sources: Mapping[str, ObservedSource]) -> None:
    """Write what changed every few seconds, until cancelled. Without a database it tries again later."""
    written: dict[str, SourceStats] = {name: SourceStats(None, None) for name in sources}
    while True:
        try:
            await _write(sessions, sources, written)
        except Unavailable as error:
            log.warning("provider health not written", error=error.message)
        await asyncio.sleep(_EVERY_SECONDS)


async def _write(sessions: Sessions, sources: Mapping[str, ObservedSource], written: dict[str, SourceStats]) -> None:
    changed = {name: stats for name, source in sources.items() if (stats := source.stats()) != written[name]}
    if not changed:
        return
    rows = [
        {"provider": name, "success_rate": stats.success_rate, "p95_seconds": stats.p95_seconds}
        for name, stats in sorted(changed.items())
    ]
    async with sessions.unscoped() as session:
        await session.execute(_WRITE, rows)
    written.update(changed)
