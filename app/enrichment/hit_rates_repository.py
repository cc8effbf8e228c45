"""The SQL of hit rates: what the answers of all workspaces say of each provider. No more of a job is kept than these
counts."""

from uuid import UUID

from sqlalchemy import text

from app.db import Session
from app.enrichment.ordering import HitRates
from app.providers.ports import Entity

# Of a job those records alone, so that the end of a large one takes no longer.
_SAMPLE = 10_000
# Beyond so many both counts are halved: what a provider knew last year says little of it.
_MOST_ASKED = 100_000
# The default of `min_confidence`: the same for all jobs, or one that wants certainty would speak ill of everybody.
_CONFIDENT = 0.5

# Whoever finds another job learning leaves it at that: it is a sample, and no job waits for another one's end.
# What the provider cannot fill is counted too, and never asked for.
_LEARN = text("""
    INSERT INTO provider_hit_rates AS r (provider, entity, field, asked, filled)
    SELECT a.provider, j.entity, wanted.field, count(*),
           count(*) FILTER (WHERE CAST(a.found -> wanted.field ->> 1 AS float8) >= :confident)
    FROM enrichment_jobs AS j
         JOIN enrichment_job_providers AS p ON p.job_id = j.id AND NOT p.verifies
         JOIN enrichment_answers AS a ON a.job_id = j.id AND a.provider = p.provider AND a.position <= :sample
                                     AND a.outcome IN ('found', 'missed') AND a.reused_at IS NULL
         CROSS JOIN LATERAL unnest(j.fields) AS wanted(field)
    WHERE j.id = :job_id
      AND (SELECT pg_try_advisory_xact_lock(CAST(CAST('provider_hit_rates' AS regclass) AS int), 0))
    GROUP BY a.provider, j.entity, wanted.field
    ORDER BY a.provider, j.entity, wanted.field
    ON CONFLICT (provider, entity, field) DO UPDATE
    SET asked = (r.asked + excluded.asked) / CASE WHEN r.asked + excluded.asked > :most THEN 2 ELSE 1 END,
        filled = (r.filled + excluded.filled) / CASE WHEN r.asked + excluded.asked > :most THEN 2 ELSE 1 END
""")
_READ = text("SELECT provider, field, asked, filled FROM provider_hit_rates WHERE entity = :entity")


async def learn(session: Session, job_id: UUID) -> None:
    """Count what the job's providers filled, of what was bought for the first ten thousand of its records. Once a job,
    when its answers are final."""
    await session.execute(_LEARN, {"job_id": job_id, "sample": _SAMPLE, "most": _MOST_ASKED, "confident": _CONFIDENT})


async def hit_rates(session: Session, entity: Entity) -> HitRates:
    """What was measured of every provider."""
    rows = await session.execute(_READ, {"entity": entity})
    return HitRates({(row.provider, row.field): (row.asked, row.filled) for row in rows})
