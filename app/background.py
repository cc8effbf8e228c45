"""What runs in each worker process beside the activities, for as long as it lives."""

from collections.abc import Coroutine
from typing import Any

from app.enrichment.reconcile import EnrichmentJobs
from app.outbox.reconciler import Reconciler
from app.outbox.relay import Relay
from app.resources import WorkerResources


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
        ).run(),
        Reconciler([jobs], resources.temporal, settings.outbox).run(),
    ]
