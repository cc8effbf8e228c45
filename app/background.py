"""What runs in each worker process beside the activities, for as long as it lives."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from app.db import Sessions
from app.enrichment.reconcile import EnrichmentJobs
from app.errors import Unavailable
from app.idempotency import service as idempotency
from app.outbox.reconciler import Reconciler
from app.outbox.relay import Relay
from app.resources import WorkerResources

log = structlog.get_logger()


def loops(resources: WorkerResources) -> list[Coroutine[Any, Any, None]]:
    """The relay, the reconciler and the sweeps. One that fails ends the process, and so is seen and started again."""
    settings = resources.settings
    jobs = EnrichmentJobs(resources.sessions, resources.platform_sessions)
    return [
        Relay(
            resources.platform_sessions,
            resources.platform_engine,
            resources.temporal,
            settings.outbox,
            settings.temporal,
            resources.metrics,
        ).run(),
        Reconciler([jobs], resources.temporal, settings.outbox).run(),
        sweep_idempotency_keys(resources.platform_sessions),
        resources.reports(),
    ]


async def sweep_idempotency_keys(platform_sessions: Sessions) -> None:
    """Forget remembered answers that are older than promised, every hour."""
    while True:
        try:
            await idempotency.sweep(platform_sessions)
        except Unavailable as error:
            log.warning("sweep unavailable", error=error.message)
        await asyncio.sleep(3600)
