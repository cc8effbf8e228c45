"""How a job stands with its providers, for its workflow, which shows it to operators."""

from datetime import UTC
from uuid import UUID

from app.db import Session, Sessions
from app.enrichment import waiting_repository as repository
from workflows.contracts.enrichment import JobRef, Standing, Waits


async def waits(sessions: Sessions, job: JobRef) -> Waits:
    """Whom the job waits for now, and what each of its providers gave so far. Raises Unavailable."""
    async with sessions.for_workspace(UUID(job.workspace_id)) as session:
        return Waits(await standings(session, UUID(job.job_id)))


async def standings(session: Session, job_id: UUID) -> tuple[Standing, ...]:
    """In the order in which the providers are asked."""
    return tuple(
        Standing(
            row.provider,
            row.calls,
            row.found,
            row.waiting_until.astimezone(UTC).isoformat(timespec="seconds") if row.waiting_until else None,
        )
        for row in await repository.standings(session, job_id)
    )
