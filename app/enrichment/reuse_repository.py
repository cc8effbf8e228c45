"""The SQL of answers that were bought before, and of claims on those that are about to be bought."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import text

from app.db import Session
from app.enrichment.lookup_repository import OpenRecord, RunningJob
from app.enrichment.waterfall import StoredAnswer

# A host that was dead a day ago may live.
UNREACHABLE_SECONDS = 86_400

# An older job that wanted more fields was told all that this one wants. Subject by subject: of a fresh job there are no
# statistics, and a join as a whole read everything that was ever asked, for each chunk.
_EARLIER = text("""
    SELECT w.position, a.outcome, a.answered_at, a.found, a.reason
    FROM unnest(CAST(:positions AS int[]), CAST(:keys AS text[])) AS w(position, subject_key)
         CROSS JOIN LATERAL (
             SELECT a.outcome, a.answered_at, a.found, a.reason
             FROM enrichment_records AS e
                  JOIN enrichment_jobs AS j ON j.id = e.job_id
                  JOIN enrichment_answers AS a ON a.job_id = e.job_id AND a.position = e.position
             WHERE e.workspace_id = :workspace_id AND e.subject_key = w.subject_key AND e.leader = e.position
               AND e.job_id <> :job_id AND j.entity = :entity AND j.fields @> CAST(:fields AS text[])
               AND a.provider = :provider AND a.outcome IN ('found', 'missed', 'unreachable')
               AND a.answered_at > now() - make_interval(secs => :within)
               AND (a.outcome <> 'unreachable' OR a.answered_at > now() - make_interval(secs => :unreachable))
             ORDER BY a.answered_at DESC LIMIT 1
         ) AS a
""")
# In the order of the key: two lookups that want the same subjects must not wait for each other.
_CLAIM = text("""
    INSERT INTO enrichment_claims AS c (workspace_id, provider, subject_key, job_id, position, until)
    SELECT workspace_id, :provider, subject_key, job_id, position, now() + make_interval(secs => :seconds)
    FROM enrichment_records
    WHERE job_id = :job_id AND position = ANY(CAST(:positions AS int[]))
    ORDER BY subject_key
    ON CONFLICT (workspace_id, provider, subject_key) DO UPDATE
    SET job_id = excluded.job_id, position = excluded.position, until = excluded.until
    WHERE c.job_id = excluded.job_id OR c.until < now()
    RETURNING position
""")
_RELEASE = text("""
    DELETE FROM enrichment_claims WHERE job_id = :job_id AND provider = :provider AND position BETWEEN :first AND :last
""")


async def earlier_answers(
    session: Session,
    workspace_id: UUID,
    job_id: UUID,
    job: RunningJob,
    provider: str,
    fields: Collection[str],
    records: Sequence[OpenRecord],
) -> dict[int, StoredAnswer]:
    """By position the newest answer of the provider that an earlier job of the workspace was given about the same
    subject, young enough for this job and to no fewer `fields`."""
    rows = await session.execute(
        _EARLIER,
        {
            "workspace_id": workspace_id,
            "job_id": job_id,
            "provider": provider,
            "entity": job.entity,
            "fields": list(fields),
            "within": job.reuse_within_seconds,
            "unreachable": UNREACHABLE_SECONDS,
            "positions": [record.position for record in records],
            "keys": [record.subject_key for record in records],
        },
    )
    return {
        row.position: StoredAnswer(provider, row.outcome, row.answered_at, row.found, reason=row.reason) for row in rows
    }


async def claim(session: Session, job_id: UUID, provider: str, positions: Sequence[int], *, seconds: float) -> set[int]:
    """Claim the subjects of these records for so long; the positions whose subjects no other job has claimed."""
    claimed = await session.execute(
        _CLAIM, {"job_id": job_id, "provider": provider, "positions": positions, "seconds": seconds}
    )
    return set(claimed.scalars())


async def release(session: Session, job_id: UUID, provider: str, first: int, last: int) -> None:
    """Give up the claims of this range."""
    await session.execute(_RELEASE, {"job_id": job_id, "provider": provider, "first": first, "last": last})
