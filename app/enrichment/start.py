"""The commands that start a job's workflow, and that tell it that its turn may have come."""

from uuid import UUID

from app.db import Session
from app.enrichment import lookup_repository as repository
from app.outbox import service as outbox
from workflows import ids


async def start_job(session: Session, workspace_id: UUID, job_id: UUID, *, total: int) -> None:
    """Start EnrichRecords for the job once the transaction commits: written with the job, and again by the
    reconciler."""
    await outbox.start_workflow(
        session,
        workspace_id,
        workflow="EnrichRecords",
        workflow_id=ids.enrichment_job(str(job_id)),
        argument={"workspace_id": str(workspace_id), "job_id": str(job_id), "plans_at_hand": True},
        summary=f"job {str(job_id)[-8:]} · {total} records",
        process="enrichment",
    )


async def hand_on(session: Session, workspace_id: UUID) -> None:
    """A job of the workspace is no longer under way: wake those whose turn comes next, once the transaction commits."""
    for job_id in await repository.next_in_turn(session):
        await outbox.wake(session, workspace_id, ids.enrichment_job(str(job_id)))
