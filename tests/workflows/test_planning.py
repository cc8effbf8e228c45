"""A workflow's plan is made by the worker that has the workflow, where that is possible."""

import asyncio

from temporalio.api.enums.v1 import EventType

from tests.builders import make_job, violations
from tests.fakes import FakeSource
from tests.servers import Database
from tests.stack import Stack, open_stack
from tests.workflows.planning import is_started, lock, no_plan_at_hand

DOMAINS = ["a.com", "b.com"]


async def events(stack: Stack, job_id: object) -> list[str]:
    """What the job's workflow did, without the tasks of the workflow itself."""
    found = []
    async for event in stack.workflow(job_id).fetch_history_events():  # type: ignore[arg-type]
        name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
        if name == "MARKER_RECORDED":
            found.append("at hand")
        elif name == "ACTIVITY_TASK_SCHEDULED":
            found.append(event.activity_task_scheduled_event_attributes.activity_type.name)
    return found


async def test_a_plan_takes_no_task_of_its_own(database: Database, temporal_server: str):
    async with open_stack(database, temporal_server, [FakeSource()]) as stack, stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [FakeSource()])
        job = await stack.until_finished(job_id)
        await stack.workflow(job_id).result()
        assert await events(stack, job_id) == ["at hand", "lookup", "settle_enrichment"]
    assert (job["status"], job["matched"]) == ("completed", 2)


async def test_a_job_that_is_cancelled_meanwhile_is_settled(database: Database, temporal_server: str):
    """In the Temporal UI, while its row is locked."""
    async with open_stack(database, temporal_server, [FakeSource()]) as stack, stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [FakeSource()])
        async with stack.owner.unscoped() as session:
            await lock(session, job_id)
            async with asyncio.timeout(20):
                while not await is_started(stack, job_id):
                    await asyncio.sleep(0.02)
            await stack.workflow(job_id).cancel()
        job = await stack.until_finished(job_id)
        assert await violations(stack.sessions, stack.workspace_id) == []
    assert job["status"] == "cancelled"


async def test_one_that_cannot_be_made_at_hand_is_made_elsewhere(database: Database, temporal_server: str):
    """The row of the job is locked for as long as a plan may take at hand."""
    async with open_stack(database, temporal_server, [FakeSource()]) as stack, stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [FakeSource()])
        await no_plan_at_hand(stack, job_id)
        job = await stack.until_finished(job_id)
        await stack.workflow(job_id).result()
        assert await events(stack, job_id) == ["at hand", "plan_enrichment", "lookup", "settle_enrichment"]
        assert await violations(stack.sessions, stack.workspace_id) == []
    assert (job["status"], job["matched"]) == ("completed", 2)
