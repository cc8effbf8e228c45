"""The command that starts a job's workflow: written with the job, and again by the reconciler."""

from uuid import UUID

from app.db import Session
from app.outbox import service as outbox
from workflows import ids


async def start_job(session: Session, workspace_id: UUID, job_id: UUID, *, total: int) -> None:
    """Start EnrichRecords for the job once the transaction commits."""
    await outbox.start_workflow(
        session,
        workspace_id,
        workflow="EnrichRecords",
        workflow_id=ids.enrichment_job(str(job_id)),
        argument={"workspace_id": str(workspace_id), "job_id": str(job_id)},
        summary=f"job {str(job_id)[-8:]} · {total} records",
        process="enrichment",
    )
