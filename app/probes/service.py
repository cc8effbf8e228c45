"""Whether this process can do its work. Each check takes a second at the most."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from app.cache import Cache
from app.db import Sessions
from app.errors import Unavailable
from app.probes import repository
from app.temporal import reaching_temporal

CHECK_SECONDS = 1.0

CheckState = Literal["ok", "down", "disabled"]
HealthState = Literal["ok", "degraded", "down"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """`status`: ``degraded`` serves reads and takes work that starts later; ``down`` can serve nothing."""

    database: CheckState
    temporal: CheckState
    cache: CheckState

    @property
    def status(self) -> HealthState:
        if self.database == "down":
            return "down"
        return "degraded" if "down" in (self.temporal, self.cache) else "ok"


async def health(sessions: Sessions, temporal: Client, cache: Cache) -> HealthReport:
    """Ask the database, Temporal and, where there is one, Redis, all at once."""
    return HealthReport(*await asyncio.gather(_database(sessions), _temporal(temporal), cache.state()))


async def check_readiness(sessions: Sessions) -> None:
    """Raises Unavailable unless the database can be reached and is migrated far enough for this version."""
    try:
        async with asyncio.timeout(CHECK_SECONDS), sessions.unscoped() as session:
            missing = await repository.missing_columns(session)
    except TimeoutError as error:
        raise Unavailable("The database does not answer.", retry_after=1) from error
    if missing:
        raise Unavailable("The database is not migrated to this version.", retry_after=1)


async def _database(sessions: Sessions) -> CheckState:
    try:
        async with asyncio.timeout(CHECK_SECONDS), sessions.unscoped() as session:
            await repository.ping(session)
    except (Unavailable, TimeoutError) as error:
        _log.warning("database check failed", error=str(error))
        return "down"
    return "ok"


async def _temporal(client: Client) -> CheckState:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            with reaching_temporal():
                await client.service_client.check_health(timeout=timedelta(seconds=CHECK_SECONDS))
    except (Unavailable, RPCError, TimeoutError) as error:
        _log.warning("temporal check failed", error=str(error))
        return "down"
    return "ok"
