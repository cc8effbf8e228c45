"""Where a job stands and how to go on, for its workflow."""

from uuid import UUID

from app.db import Sessions
from app.enrichment import lookup_repository as repository
from app.settings import EnrichmentSettings
from workflows.contracts.enrichment import JobPlan, JobRef


async def plan(sessions: Sessions, job: JobRef, settings: EnrichmentSettings) -> JobPlan:
    """Read the plan, and mark the job running, or paused where that is wanted."""
    job_id = UUID(job.job_id)
    async with sessions.for_workspace(UUID(job.workspace_id)) as session:
        begun = await repository.begin(session, job_id)
        if begun is None:
            return JobPlan("finished", 1, 0, (), 1, 1, 1)
        if begun.desired_state == "paused":
            await repository.stop_waiting(session, job_id)
        position = await repository.first_open_position(session, job_id)
        providers = await repository.providers_in_order(session, job_id)
    return JobPlan(
        desired=begun.desired_state,
        first=begun.total + 1 if position is None else position,
        last=begun.total,
        providers=providers,
        chunk=begun.chunk,
        window=begun.window,
        chunks_per_run=settings.chunks_per_run,
        smallest_chunk=settings.smallest_chunk,
    )
