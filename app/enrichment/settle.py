"""The end of a job: every record has a status, the rest of the hold is released, nothing is charged any more."""

from typing import Literal
from uuid import UUID

from app.credits import service as credits
from app.db import Sessions
from app.enrichment import lookup_repository as repository
from workflows.contracts.enrichment import Settled

# How records end that have no status of their own when the job ends: status and reason.
_NO_LONGER_WANTED = ("cancelled", "job_cancelled")
_ABANDONED = ("failed", "job_failed")


async def settle(
    sessions: Sessions,
    workspace_id: UUID,
    job_id: UUID,
    *,
    interrupted: Literal["", "cancelled", "failed"],
    error: str | None = None,
) -> Settled:
    """End the job, once. `interrupted` says what stopped it from outside; `error` is the code that callers read when
    it failed."""
    async with sessions.for_workspace(workspace_id) as session:
        job = await repository.lock_for_settling(session, job_id)
        if job.finished:
            return Settled(job.status, job.charged)
        cancelled = interrupted == "cancelled" or job.desired_state == "cancelled"
        record_status, reason = _NO_LONGER_WANTED if cancelled else _ABANDONED
        ended = await repository.end_open_records(session, job_id, record_status, reason)
        if cancelled:
            status, error = "cancelled", None
        elif interrupted or ended:
            status, error = "failed", error or "workflow_failed"
        else:
            status, error = "completed", None
        await repository.finish(session, job_id, status=status, error=error, records=record_status, ended=ended)
        await credits.release(
            session,
            workspace_id,
            job.held - job.charged,
            key=f"release:{job_id}",
            reason="the job has ended",
            reference=("enrichment_job", str(job_id)),
        )
    return Settled(status, job.charged)
