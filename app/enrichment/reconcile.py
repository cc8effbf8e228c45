"""Enrichment jobs that went silent, for the reconciler."""

from collections.abc import Sequence
from uuid import UUID

from app.db import Session
from app.enrichment import reconcile_repository as repository
from app.enrichment.settle import settle
from app.enrichment.start import start_job
from app.outbox.reconciler import ReconciledProcess, SilentWork
from workflows import ids


class EnrichmentJobs(ReconciledProcess):
    """A job whose workflow was ended has failed: somebody wanted that."""

    async def _claim(self, session: Session, *, seconds: float, limit: int) -> Sequence[tuple[UUID, UUID]]:
        return await repository.claim_silent_jobs(session, seconds=seconds, limit=limit)

    def _workflow_id(self, reference: str) -> str:
        return ids.enrichment_job(reference)

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
