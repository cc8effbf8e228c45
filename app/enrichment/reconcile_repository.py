"""The SQL of jobs that have given no sign of life."""

from uuid import UUID

from sqlalchemy import text

from app.db import Session

# A command on its way is a sign of life of its own: the relay has it.
_CLAIM_SILENT = text("""
    UPDATE enrichment_jobs SET alive_at = now()
    WHERE id IN (
        SELECT j.id FROM enrichment_jobs AS j
        WHERE j.finished_at IS NULL AND j.alive_at < now() - make_interval(secs => :seconds)
          AND NOT EXISTS (SELECT FROM outbox_commands AS c
                          WHERE c.workflow_id = 'enrichment-job/' || j.id AND c.dead_at IS NULL)
        ORDER BY j.alive_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING workspace_id, id
""")
_UNFINISHED_TOTAL = text("SELECT total FROM enrichment_jobs WHERE id = :job_id AND finished_at IS NULL")


async def claim_silent_jobs(session: Session, *, seconds: float, limit: int) -> list[tuple[UUID, UUID]]:
    """(workspace, job) of unfinished jobs that were silent for so long; each counts as alive from now on."""
    rows = await session.execute(_CLAIM_SILENT, {"seconds": seconds, "limit": limit})
    return [(row.workspace_id, row.id) for row in rows]


async def unfinished_total(session: Session, job_id: UUID) -> int | None:
    """How many records the job has; None once it is finished."""
    return (await session.execute(_UNFINISHED_TOTAL, {"job_id": job_id})).scalar_one_or_none()
