"""Where a job stands and how to go on, for its workflow."""

from uuid import UUID

from app.db import Sessions
from app.enrichment import lookup_repository as repository
from app.enrichment import waiting
from app.enrichment.standing import standings
from app.enrichment.start import hand_on
from app.settings import EnrichmentSettings
from workflows.contracts.enrichment import JobPlan, JobRef


async def plan(sessions: Sessions, job: JobRef, settings: EnrichmentSettings, *, run_id: str | None) -> JobPlan:
    """Read the plan, and mark the job running, or paused where that is wanted, or queued where its turn has not come;
    `run_id` is the workflow run that asks, None where no workflow does."""
    job_id = UUID(job.job_id)
    async with sessions.for_workspace(UUID(job.workspace_id)) as session:
        begun = await repository.begin(
            session,
            job_id,
            run_id=UUID(run_id) if run_id else None,
            most=settings.jobs_per_workspace,
            small=settings.small_job,
        )
        if begun is None:
            return JobPlan("finished", 1, 0, (), 1, 1, 1)
        if begun.desired == "paused":
            await waiting.stop(session, UUID(job.workspace_id), job_id)
            await hand_on(session, UUID(job.workspace_id))
        position = await repository.first_open_position(session, job_id)
        providers = await repository.providers(session, job_id)
        standing = await standings(session, job_id)
    return JobPlan(
        desired=begun.desired,
        first=begun.total + 1 if position is None else position,
        last=begun.total,
        providers=providers,
        chunk=begun.chunk,
        window=begun.window,
        chunks_per_run=settings.chunks_per_run,
        smallest_chunk=settings.smallest_chunk,
        standings=standing,
    )
