"""The commands that start a job's workflow, and that tell it that its turn may have come."""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from app.db import Session
from app.enrichment import lookup_repository as repository
from app.outbox import service as outbox
from workflows import ids
from workflows.contracts.enrichment import JobPlan, JobRef


async def start_job(
    session: Session, workspace_id: UUID, job_id: UUID, *, total: int, only_ask: Sequence[str] = ()
) -> None:
    """Start EnrichRecords for the job once the transaction commits: written with the job, and again by the
    reconciler.

    `only_ask`: the providers of a job of one record, which has no end yet. Such a job waits for no turn, and somebody
    may be waiting for it: its plan goes with the command, which spares an activity before the call.
    """
    plan = JobPlan("running", 1, 1, tuple(only_ask), chunk=1, window=1, chunks_per_run=1) if only_ask else None
    await outbox.start_workflow(
        session,
        workspace_id,
        workflow="EnrichRecords",
        workflow_id=ids.enrichment_job(str(job_id)),
        argument=asdict(JobRef(str(workspace_id), str(job_id), plans_at_hand=True, plan=plan)),
        summary=f"job {str(job_id)[-8:]} · {total} records",
        process="enrichment",
    )


async def hand_on(session: Session, workspace_id: UUID) -> None:
    """A job of the workspace is no longer under way: wake those whose turn comes next, once the transaction commits."""
    for job_id in await repository.next_in_turn(session):
        await outbox.wake(session, workspace_id, ids.enrichment_job(str(job_id)))
