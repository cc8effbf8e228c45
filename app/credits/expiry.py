"""The sweep that takes expired credits, in each worker process: as often and in as many of them as one likes."""

import asyncio
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Gauge

from app.credits import repository, service
from app.db import Sessions
from app.errors import Unavailable
from app.settings import CreditsSettings

log = structlog.get_logger(__name__)


class CreditSweep:
    """Runs every `expire_every_seconds`, until it is cancelled; its role sees the accounts of every workspace."""

    def __init__(self, platform_sessions: Sessions, settings: CreditsSettings, registry: CollectorRegistry) -> None:
        self._sessions = platform_sessions
        self._settings = settings
        self._low = Gauge(
            "holdfast_credits_low_workspaces",
            "Workspaces with fewer credits available than the threshold.",
            registry=registry,
        )

    async def run(self) -> None:
        while True:
            try:
                await self.sweep()
            except Unavailable as error:
                log.warning("credit sweep unavailable", error=error.message)
            await asyncio.sleep(self._settings.expire_every_seconds)

    async def sweep(self, *, batch: int = 200) -> int:
        """Take what has expired and is not held, in a transaction for each workspace; how many credits.

        Raises Unavailable; what was taken until then stays taken.
        """
        expired = 0
        after = UUID(int=0)
        while True:
            async with self._sessions.unscoped() as session:
                workspaces = await repository.workspaces_with_expired_lots(session, after=after, limit=batch)
            for workspace_id in workspaces:
                async with self._sessions.unscoped() as session:
                    expired += await service.expire(session, workspace_id, low_threshold=self._settings.low_threshold)
            if len(workspaces) < batch:
                break
            after = workspaces[-1]
        async with self._sessions.unscoped() as session:
            self._low.set(await repository.count_low(session, self._settings.low_threshold))
        return expired
