"""The end of a job: every record has a status, the rest of the hold is released, nothing is charged any more."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal
from uuid import UUID

from app.credits import service as credits
from app.db import Session, Sessions
from app.enrichment import hit_rates_repository as hit_rates
from app.enrichment import letters, waiting
from app.enrichment import repository as jobs
from app.enrichment import settle_repository as repository
from app.enrichment.settle_repository import FinishedJob
from app.enrichment.standing import standings
from app.enrichment.start import hand_on
from app.webhooks import service as webhooks
from app.webhooks.service import EventType
from workflows.contracts.enrichment import Settled

# How records end that have no status of their own when the job ends: status and reason.
_NO_LONGER_WANTED = ("cancelled", "job_cancelled")
_ABANDONED = ("failed", "job_failed")

_EVENTS: Mapping[str, EventType] = {
    "completed": "enrichment.job.completed",
    "failed": "enrichment.job.failed",
    "cancelled": "enrichment.job.cancelled",
}


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
            return Settled(job.status, job.charged, await standings(session, job_id))
        cancelled = interrupted == "cancelled" or job.desired_state == "cancelled"
        record_status, reason = _NO_LONGER_WANTED if cancelled else _ABANDONED
        ended = await repository.end_open_records(session, job_id, record_status, reason)
        if cancelled:
            status, error = "cancelled", None
        elif interrupted or ended:
            status, error = "failed", error or "workflow_failed"
        else:
            status, error = "completed", None
        job_ended = await repository.finish(
            session, job_id, status=status, error=error, records=record_status, ended=ended
        )
        await letters.job_ended(
            session,
            workspace_id,
            job_id,
            unfinished=record_status if ended else None,
            is_retry=job.is_retry,
            run_id=job.run_id,
        )
        await waiting.stop(session, workspace_id, job_id)
        await _tell(session, workspace_id, job_id, status, error, job.charged, job_ended)
        standing = await standings(session, job_id)
        await hand_on(session, workspace_id)
        await hit_rates.learn(session, job_id)
        await jobs.announce_end(session, job_id)
        await credits.release(
            session,
            workspace_id,
            job.held - job.charged,
            key=f"release:{job_id}",
            reason="the job has ended",
            reference=("enrichment_job", str(job_id)),
        )
    return Settled(status, job.charged, standing)


async def _tell(
    session: Session,
    workspace_id: UUID,
    job_id: UUID,
    status: str,
    error: str | None,
    charged: int,
    ended: FinishedJob,
) -> None:
    counts = asdict(ended)
    created_at, finished_at = counts.pop("created_at"), counts.pop("finished_at")
    await webhooks.publish(
        session,
        workspace_id,
        _EVENTS[status],
        {
            "job_id": str(job_id),
            "status": status,
            "error": error,
            "counts": counts,
            "credits": {"charged": charged},
            "created_at": created_at.isoformat(),
            "finished_at": finished_at.isoformat(),
        },
        key=str(job_id),
    )
