"""The SQL by which records are found that dead letters are about."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from app.db import Session

# A record is known by its key in both jobs.
_RETRIED = text("""
    SELECT earlier.position AS earlier, r.position
    FROM enrichment_records AS r
         JOIN enrichment_records AS earlier ON earlier.job_id = :retry_of AND earlier.key = r.key
    WHERE r.job_id = :job_id AND earlier.status = 'failed'
    ORDER BY r.position
""")
# The reason that nothing but the end of the job gives.
_ABANDONED = text("""
    SELECT position FROM enrichment_records WHERE job_id = :job_id AND status = 'failed' AND reason = 'job_failed'
    ORDER BY position
""")
_CANCELLED = text("""
    SELECT position FROM enrichment_records WHERE job_id = :job_id AND status = 'cancelled' ORDER BY position
""")
_FAILED_OF = text("""
    SELECT position FROM enrichment_records
    WHERE job_id = :job_id AND status = 'failed'
      AND (position = ANY(CAST(:leaders AS int[])) OR leader = ANY(CAST(:leaders AS int[])) AND leader <> position)
""")


async def retried(session: Session, job_id: UUID, *, retry_of: UUID) -> list[tuple[int, int]]:
    """(position in the job that is retried, position in this one) of what had failed there."""
    rows = await session.execute(_RETRIED, {"job_id": job_id, "retry_of": retry_of})
    return [(row.earlier, row.position) for row in rows]


async def abandoned(session: Session, job_id: UUID) -> Sequence[int]:
    """The positions of the records that failed because the job ended."""
    return (await session.execute(_ABANDONED, {"job_id": job_id})).scalars().all()


async def cancelled(session: Session, job_id: UUID) -> Sequence[int]:
    """The positions of the records that were cancelled."""
    return (await session.execute(_CANCELLED, {"job_id": job_id})).scalars().all()


async def failed_of(session: Session, job_id: UUID, leaders: Sequence[int]) -> Sequence[int]:
    """The positions of failed records among these, and those that share their answers."""
    return (await session.execute(_FAILED_OF, {"job_id": job_id, "leaders": list(leaders)})).scalars().all()
