"""The SQL of how a job stands with its providers, for who looks at its workflow."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from app.db import Session


class StandingRow(NamedTuple):
    """`waiting_until`: None where the job does not wait for the provider."""

    provider: str
    calls: int
    found: int
    waiting_until: datetime | None


# A wait for recovery; what is throttled comes back by itself. And only a running job waits.
_STANDINGS = text("""
    SELECT p.provider, p.calls, p.matches, CASE WHEN j.status = 'running' AND p.parked_since IS NOT NULL
                                          THEN p.waiting_until END
    FROM enrichment_job_providers AS p JOIN enrichment_jobs AS j ON j.id = p.job_id
    WHERE p.job_id = :job_id
    ORDER BY p.position
""")


async def standings(session: Session, job_id: UUID) -> list[StandingRow]:
    """In the order in which the providers are asked."""
    return [StandingRow(*row) for row in await session.execute(_STANDINGS, {"job_id": job_id})]
