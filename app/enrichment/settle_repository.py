"""The SQL of the end of a job.

Lock order as in every transaction of a job: job, answers, records, dead letters, job's provider, balance last.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app.db import Session

_SETTLE_LOCK = text("""
    SELECT status, desired_state, held, charged, finished_at IS NOT NULL AS finished, retry_of IS NOT NULL AS is_retry,
           run_id
    FROM enrichment_jobs WHERE id = :job_id FOR NO KEY UPDATE
""")
_END_OPEN_RECORDS = text("""
    UPDATE enrichment_records SET status = :status, reason = :reason WHERE job_id = :job_id AND status = 'pending'
""")
_FINISH = text("""
    UPDATE enrichment_jobs
    SET status = :status, error = :error, finished_at = now(), alive_at = now(),
        cancelled = cancelled + CASE WHEN :records = 'cancelled' THEN :ended ELSE 0 END,
        failed = failed + CASE WHEN :records = 'failed' THEN :ended ELSE 0 END
    WHERE id = :job_id
    RETURNING total, matched, partial, not_found, failed, cancelled, created_at, finished_at
""")
_DROP_RESERVATIONS = text("DELETE FROM enrichment_reservations WHERE job_id = :job_id")
_DROP_CLAIMS = text("DELETE FROM enrichment_claims WHERE job_id = :job_id")


@dataclass(frozen=True, slots=True)
class Settling:
    status: str
    desired_state: str
    held: int
    charged: int
    finished: bool
    is_retry: bool
    run_id: UUID | None


async def lock_for_settling(session: Session, job_id: UUID) -> Settling:
    return Settling(**(await session.execute(_SETTLE_LOCK, {"job_id": job_id})).mappings().one())


async def end_open_records(session: Session, job_id: UUID, status: str, reason: str | None) -> int:
    """Give every record without a final status this one; return how many there were."""
    ended = await session.execute(_END_OPEN_RECORDS, {"job_id": job_id, "status": status, "reason": reason})
    return ended.rowcount


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """How many records of the job ended how, and when."""

    total: int
    matched: int
    partial: int
    not_found: int
    failed: int
    cancelled: int
    created_at: datetime
    finished_at: datetime


async def finish(
    session: Session, job_id: UUID, *, status: str, error: str | None, records: str, ended: int
) -> FinishedJob:
    """Mark the job finished, `ended` of whose records were just ended as `records` says."""
    finished = await session.execute(
        _FINISH, {"job_id": job_id, "status": status, "error": error, "records": records, "ended": ended}
    )
    await session.execute(_DROP_RESERVATIONS, {"job_id": job_id})
    await session.execute(_DROP_CLAIMS, {"job_id": job_id})
    return FinishedJob(**finished.mappings().one())
