"""Jobs that Temporal lost, or that somebody ended there: PostgreSQL decides, and the money comes back."""

import asyncio
from uuid import UUID

from sqlalchemy import text
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from app.enrichment.reconcile import EnrichmentJobs
from tests.builders import make_job, violations
from tests.fakes import FakeSource
from tests.servers import Database, running_temporal
from tests.stack import Stack, open_stack

DOMAINS = [f"company-{n}.com" for n in range(1, 41)]


async def start(stack: Stack, source: FakeSource) -> UUID:
    return await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source], chunk=10, window=2)


async def test_a_job_terminated_in_the_temporal_ui_fails_and_releases_its_hold(
    database: Database, temporal_server: str
) -> None:
    source = FakeSource(latency=0.1)
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await start(stack, source)
        await stack.until(job_id, lambda job: job["matched"] > 0)

        await stack.workflow(job_id).terminate("an operator")
        job = await stack.until_finished(job_id)

        assert (job["status"], job["error"]) == ("failed", "workflow_terminated")
        assert job["matched"] + job["failed"] == len(DOMAINS)
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_a_job_that_was_reset_goes_on_and_buys_nothing_twice(database: Database, temporal_server: str) -> None:
    source = FakeSource(latency=0.05)
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await start(stack, source)
        await stack.until(job_id, lambda job: job["matched"] > 0)
        history = await stack.workflow(job_id).fetch_history()
        first_task = next(e for e in history.events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
        await stack.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace="default",
                workflow_execution=WorkflowExecution(workflow_id=stack.workflow(job_id).id),
                reason="an operator",
                workflow_task_finish_event_id=first_task.event_id,
                request_id="reset",
            )
        )

        job = await stack.until_finished(job_id)

        assert (job["status"], job["matched"], job["charged"]) == ("completed", len(DOMAINS), 2 * len(DOMAINS))
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_jobs_of_a_temporal_that_lost_its_database_are_started_again(database: Database) -> None:
    source = FakeSource(latency=0.05)
    with running_temporal() as address:
        async with open_stack(database, address, [source]) as stack, stack.worker():
            job_id = await start(stack, source)
            await stack.until(job_id, lambda job: job["matched"] > 0)
            workspace_id = stack.workspace_id
    with running_temporal() as address:
        async with open_stack(database, address, [source]) as other, other.worker():
            stack = Stack(other.resources, other.owner, workspace_id)

            job = await stack.until_finished(job_id)

            assert (job["status"], job["matched"]) == ("completed", len(DOMAINS))
            assert source.calls.total() == len(DOMAINS)
            assert await violations(stack.sessions, workspace_id) == []


async def test_a_silent_job_is_looked_at_by_one_reconciler_only(database: Database, temporal_server: str) -> None:
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        job_id = await start(stack, source)
        jobs = EnrichmentJobs(stack.sessions, stack.resources.platform_sessions)
        async with stack.resources.platform_sessions.unscoped() as session:
            await session.execute(text("UPDATE enrichment_jobs SET alive_at = now() - interval '1 h'"))
        assert list(await jobs.claim_silent(60, 10)) == [], "its start is still on its way"
        async with stack.resources.platform_sessions.unscoped() as session:
            await session.execute(text("DELETE FROM outbox_commands"))

        claims = await asyncio.gather(*(jobs.claim_silent(60, 10) for _ in range(4)))

        assert [work.reference for claim in claims for work in claim] == [job_id]
