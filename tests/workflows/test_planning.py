"""A workflow's plan is made by the worker that has the workflow, where that is possible."""

import asyncio

import pytest
from temporalio.api.enums.v1 import EventType

from tests.builders import make_job, violations, wish
from tests.fakes import FakeSource
from tests.servers import Database
from tests.stack import Stack, open_stack
from tests.workflows.planning import is_looked_up_again, is_started, lock, no_plan_at_hand, start_and_wake

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
            async with asyncio.timeout(60):
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


async def test_a_job_of_one_record_is_started_with_its_plan(database: Database, temporal_server: str):
    async with open_stack(database, temporal_server, [FakeSource()]) as stack, stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, ["a.com"], [FakeSource()])
        job = await stack.until_finished(job_id)
        run = await stack.workflow(job_id).describe()
        await stack.workflow(job_id).result()
        assert await events(stack, job_id) == ["lookup", "settle_enrichment"]
        assert await violations(stack.sessions, stack.workspace_id) == []
    assert (job["status"], job["matched"], str(job["run_id"])) == ("completed", 1, run.run_id)
    assert job["created_at"] <= job["started_at"] <= job["answered_at"]


async def test_it_runs_from_the_begin_of_its_lookup(database: Database, temporal_server: str):
    source = FakeSource()
    source.gate.clear()
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, ["a.com"], [source])
        await stack.until(job_id, lambda job: job["status"] == "running" and job["started_at"] is not None)
        source.gate.set()
        await stack.until_finished(job_id)


@pytest.mark.parametrize("state", ["cancelled", "paused"])
async def test_what_is_wanted_before_its_start_is_heeded(database: Database, temporal_server: str, state: str):
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        job_id = await make_job(stack.sessions, stack.workspace_id, ["a.com"], [source])
        await stack.wake(job_id, state)
        await start_and_wake(stack)
        async with stack.worker():
            await stack.until(job_id, lambda job: job["status"] == state)
            assert source.calls.total() == 0
            if state == "paused":
                await stack.wake(job_id, "running")
            job = await stack.until_finished(job_id)
            await stack.workflow(job_id).result()
        assert (await events(stack, job_id))[0] == "at hand", "the plan that it was given is not of now"
    assert job["matched"] == source.calls.total() == (1 if state == "paused" else 0)


async def test_what_is_wanted_before_its_lookup_begins_is_heeded(database: Database, temporal_server: str):
    """The wake comes after the workflow's first task."""
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        job_id = await make_job(stack.sessions, stack.workspace_id, ["a.com"], [source])
        await wish(stack.sessions, stack.workspace_id, job_id, "cancelled")
        async with stack.worker():
            async with asyncio.timeout(60):
                while not await is_looked_up_again(stack, job_id):
                    await asyncio.sleep(0.05)
            await stack.wake(job_id, "cancelled")
            job = await stack.until_finished(job_id)
        assert await violations(stack.sessions, stack.workspace_id) == []
    assert (job["status"], source.calls.total()) == ("cancelled", 0)
