"""The SQL of what running lookups may still charge of a job's hold."""

from uuid import UUID

from sqlalchemy import text

from app.db import Session
from app.enrichment.lookup_repository import lock_job

# A lookup's row is replaced, not added to: it always says what that lookup may still charge.
_RESERVE = text("""
    WITH job AS (
        SELECT workspace_id, held - charged AS left_over FROM enrichment_jobs WHERE id = :job_id
    ), others AS (
        SELECT coalesce(sum(credits), 0) AS credits FROM enrichment_reservations
        WHERE job_id = :job_id AND (provider, first) <> (:provider, :first)
    ), own AS (
        INSERT INTO enrichment_reservations (workspace_id, job_id, provider, first, credits)
        SELECT job.workspace_id, :job_id, :provider, :first,
               greatest(least(:wanted, job.left_over - others.credits), 0)
        FROM job, others
        ON CONFLICT (job_id, provider, first) DO UPDATE SET credits = excluded.credits
        RETURNING credits
    )
    SELECT own.credits, others.credits FROM own, others
""")
_SPEND = text("""
    UPDATE enrichment_reservations SET credits = credits - :credits
    WHERE job_id = :job_id AND provider = :provider AND first = :first
""")
_DROP = text("""
    DELETE FROM enrichment_reservations WHERE job_id = :job_id AND provider = :provider AND first = :first
""")


async def reserve(session: Session, job_id: UUID, provider: str, first: int, wanted: int) -> tuple[int, int]:
    """Make this lookup's reservation up to `wanted` credits; return it, and what other lookups have reserved."""
    await lock_job(session, job_id)
    key = {"job_id": job_id, "provider": provider, "first": first}
    own, others = (await session.execute(_RESERVE, {**key, "wanted": wanted})).one()
    return int(own), int(others)


async def spend_reserved(session: Session, job_id: UUID, provider: str, first: int, credits: int) -> None:
    await session.execute(_SPEND, {"job_id": job_id, "provider": provider, "first": first, "credits": credits})


async def drop_reservation(session: Session, job_id: UUID, provider: str, first: int) -> None:
    await session.execute(_DROP, {"job_id": job_id, "provider": provider, "first": first})
