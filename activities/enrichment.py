"""The activities of enrichment: each calls one function of app/enrichment."""

from collections.abc import Mapping
from uuid import UUID

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.credentials.opening import Opener
from app.db import Sessions
from app.enrichment.lookup import look_up
from app.enrichment.places import Places
from app.enrichment.plan import plan
from app.enrichment.settle import settle
from app.enrichment.standing import waits
from app.providers.ports import EnrichmentSource
from app.settings import EnrichmentSettings
from workflows.contracts.enrichment import (
    EnrichmentActivities,
    JobPlan,
    JobRef,
    Lookup,
    LookupDone,
    Settle,
    Settled,
    Waits,
)


class Enrichment(EnrichmentActivities):
    def __init__(
        self,
        sessions: Sessions,
        sources: Mapping[str, EnrichmentSource],
        opener: Opener,
        settings: EnrichmentSettings,
        *,
        keeps_raw: bool,
    ) -> None:
        self._sessions = sessions
        self._sources = sources
        self._opener = opener
        self._settings = settings
        self._keeps_raw = keeps_raw
        self._places = Places(
            settings.calls_per_workspace,
            settings.lookups_per_workspace,
            shared_calls=settings.shared_calls_per_workspace,
        )

    @activity.defn(name="plan_enrichment")
    @mapped
    async def plan(self, job: JobRef) -> JobPlan:
        self._places.see(UUID(job.workspace_id))
        async with beating():
            return await plan(self._sessions, job, self._settings, run_id=activity.info().workflow_run_id)

    @activity.defn(name="lookup")
    @mapped
    async def lookup(self, command: Lookup) -> LookupDone:
        run_id = activity.info().workflow_run_id
        async with beating(), self._places.lookups(UUID(command.workspace_id), command.provider):
            return await look_up(
                self._sessions,
                self._sources,
                command,
                self._settings,
                opener=self._opener,
                places=self._places,
                stopping=activity.is_worker_shutdown,
                run_id=UUID(run_id) if run_id else None,
                keeps_raw=self._keeps_raw,
            )

    @activity.defn(name="enrichment_waits")
    @mapped
    async def waits(self, job: JobRef) -> Waits:
        async with beating():
            return await waits(self._sessions, job)

    @activity.defn(name="settle_enrichment")
    @mapped
    async def settle(self, command: Settle) -> Settled:
        async with beating():
            return await settle(
                self._sessions,
                UUID(command.workspace_id),
                UUID(command.job_id),
                interrupted=command.interrupted,
            )
