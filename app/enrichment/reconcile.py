"""Enrichment jobs that went silent, for the reconciler."""

from collections.abc import Sequence

from app.db import Sessions
from app.enrichment import reconcile_repository as repository
from app.enrichment.settle import settle
from app.enrichment.start import start_job
from app.outbox.reconciler import SilentWork
from workflows import ids


class EnrichmentJobs:
    """`platform_sessions` find jobs of every workspace; what is done about one is done in its own workspace."""

    def __init__(self, sessions: Sessions, platform_sessions: Sessions) -> None:
        self._sessions = sessions
        self._platform_sessions = platform_sessions

    async def claim_silent(self, seconds: float, limit: int) -> Sequence[SilentWork]:
        async with self._platform_sessions.unscoped() as session:
            jobs = await repository.claim_silent_jobs(session, seconds=seconds, limit=limit)
        return [SilentWork(workspace_id, ids.enrichment_job(str(job_id)), job_id) for workspace_id, job_id in jobs]

    async def start_again(self, work: SilentWork) -> None:
        async with self._sessions.for_workspace(work.workspace_id) as session:
            total = await repository.unfinished_total(session, work.reference)
            if total is not None:
                await start_job(session, work.workspace_id, work.reference, total=total)

    async def end(self, work: SilentWork) -> None:
        await settle(
            self._sessions,
            work.workspace_id,
            work.reference,
            interrupted="failed",
            error="workflow_terminated",
        )
