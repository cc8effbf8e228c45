"""The SQL of a job's waits for its providers. Whoever parks or stops holds the lock of the job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text

from app.db import Session


@dataclass(frozen=True, slots=True)
class UnfinishedJob:
    """What waits when a job waits: its `records` without an end, and the credits held for them."""

    records: int
    credits_held: int


@dataclass(frozen=True, slots=True)
class Park:
    """How a job waits for a provider. `waited_seconds` counts against its max_wait_seconds; `since` is when this wait
    began, `seconds` ago: None where it only waits for quota."""

    waited_seconds: float
    since: datetime | None
    seconds: float


# It locks the job, which every transaction does first.
_ALIVE = text("""
    UPDATE enrichment_jobs SET alive_at = now() WHERE id = :job_id AND finished_at IS NULL
    RETURNING total - matched - partial - not_found - failed - cancelled AS records, held - charged AS credits_held
""")
# Who is throttled is not kept waiting by an outage: that clock stops. The wait goes on until an answer ends it.
_PARK = text("""
    UPDATE enrichment_job_providers
    SET parked_since = CASE WHEN :counts THEN coalesce(parked_since, now()) ELSE parked_since END,
        waited_seconds = waited_seconds
            + CASE WHEN :counts THEN 0 ELSE coalesce(extract(epoch FROM now() - waiting_since), 0) END,
        waiting_since = CASE WHEN :counts THEN coalesce(waiting_since, now()) END,
        waiting_until = now() + make_interval(secs => :delay_seconds), last_error = :error
    WHERE job_id = :job_id AND provider = :provider
    RETURNING waited_seconds + coalesce(extract(epoch FROM now() - waiting_since), 0) AS waited_seconds,
              parked_since AS since, coalesce(extract(epoch FROM now() - parked_since), 0)::float8 AS seconds
""")
_STOP = text("""
    UPDATE enrichment_job_providers AS p
    SET waited_seconds = p.waited_seconds + coalesce(extract(epoch FROM now() - p.waiting_since), 0),
        parked_since = NULL, waiting_since = NULL, waiting_until = NULL
    FROM enrichment_job_providers AS before
    WHERE p.job_id = :job_id AND p.parked_since IS NOT NULL
      AND before.job_id = p.job_id AND before.provider = p.provider
      AND (CAST(:provider AS text) IS NULL OR p.provider = :provider)
    RETURNING p.provider, before.parked_since
""")


# A wait for recovery; what is throttled comes back by itself. And only a running job waits.
_STANDINGS = text("""
    SELECT p.provider, p.calls, p.matches AS found, CASE WHEN j.status = 'running' AND p.parked_since IS NOT NULL
                                                   THEN p.waiting_until END AS waiting_until
    FROM enrichment_job_providers AS p JOIN enrichment_jobs AS j ON j.id = p.job_id
    WHERE p.job_id = :job_id
    ORDER BY p.position
""")


async def note_alive(session: Session, job_id: UUID) -> UnfinishedJob | None:
    """Lock the job and give a sign of life; None for one that is finished."""
    row = (await session.execute(_ALIVE, {"job_id": job_id})).one_or_none()
    return UnfinishedJob(*row) if row else None


async def park(
    session: Session, job_id: UUID, provider: str, *, delay_seconds: float, error: str, counts: bool
) -> Park:
    """Note that the job waits for the provider for so long.

    `counts`: the wait is an outage, which is limited by the job's max_wait_seconds; a throttle is not.
    """
    parked = await session.execute(
        _PARK,
        {
            "job_id": job_id,
            "provider": provider,
            "delay_seconds": delay_seconds,
            "error": error,
            "counts": counts,
        },
    )
    row = parked.one()
    return Park(float(row.waited_seconds), row.since, row.seconds)


async def stop(session: Session, job_id: UUID, provider: str | None = None) -> dict[str, datetime]:
    """End the job's wait for the provider, or for all; by provider, since when it waited."""
    rows = await session.execute(_STOP, {"job_id": job_id, "provider": provider})
    return {row.provider: row.parked_since for row in rows}


async def standings(session: Session, job_id: UUID) -> Sequence[Row[tuple[str, int, int, datetime | None]]]:
    """Of each provider its name, calls, what it found, and until when the job waits for it (None: it does not), in the
    order in which they are asked."""
    return (await session.execute(_STANDINGS, {"job_id": job_id})).all()
