"""CloseWorkspace on a real Temporal server and a real PostgreSQL: whatever runs ends, and nothing stays held."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowFailureError, WorkflowHandle

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.credits import service as credits
from app.enrichment.closing import cancel_unfinished
from app.providers.errors import CircuitOpen
from app.workspaces.service import delete_workspace
from tests.builders import make_job, make_workspace, violations
from tests.fakes import FakeSource
from tests.servers import Database
from tests.stack import Stack, open_stack
from workflows import ids

DOMAINS = [f"company-{n}.com" for n in range(1, 41)]


async def delete(stack: Stack) -> WorkflowHandle[Any, Any]:
    """Delete the workspace as the API does, and wait until its workflow is there."""
    owner = Caller(stack.workspace_id, ROLE_PERMISSIONS["owner"], "owner", user_id=uuid4())
    await delete_workspace(stack.sessions, owner)
    return stack.client.get_workflow_handle(ids.close_workspace(str(stack.workspace_id)))


async def closed(stack: Stack, *, seconds: float = 30) -> None:
    """Until the workspace is marked as closed."""
    async with asyncio.timeout(seconds):
        while True:
            async with stack.sessions.for_workspace(stack.workspace_id) as session:
                if (await session.execute(text("SELECT closed_at FROM workspaces"))).scalar_one():
                    return
            await asyncio.sleep(0.02)


async def held(stack: Stack) -> int:
    async with stack.sessions.for_workspace(stack.workspace_id) as session:
        return (await credits.balance(session, stack.workspace_id)).held


async def jobs(stack: Stack, job_ids: list[UUID]) -> list[str]:
    return [(await stack.job(job_id))["status"] for job_id in job_ids]


async def test_what_runs_waits_and_is_paused_ends_and_gives_back_what_it_held(
    database: Database, temporal_server: str
) -> None:
    slow = FakeSource("alpha", latency=0.2)
    away = FakeSource("beta", lambda _: CircuitOpen("beta", "the circuit is open", retry_after=20))
    async with open_stack(database, temporal_server, [slow, away]) as stack, stack.worker():
        running = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [slow], chunk=10, window=1)
        waiting = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [away])
        paused = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [slow], chunk=10, window=1)
        await stack.wake(paused, "paused")
        await stack.until(paused, lambda job: job["status"] == "paused")
        await stack.until_waiting(waiting)
        await stack.until(running, lambda job: job["matched"] > 0)
        assert await held(stack) > 0

        closing = await delete(stack)
        await closed(stack)

        assert await jobs(stack, [running, waiting, paused]) == ["cancelled"] * 3
        assert await held(stack) == 0
        assert await violations(stack.sessions, stack.workspace_id) == []
        assert await closing.result() == {"held": 0}


async def test_a_job_that_was_never_started_settles_without_a_call(database: Database, temporal_server: str) -> None:
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source])
        await delete(stack)
        async with stack.worker():
            await closed(stack)
        # The start came first, and read what is wanted of the job: nothing, or the first calls at the most.
        assert await jobs(stack, [job_id]) == ["cancelled"]
        assert await held(stack) == 0


async def test_other_workspaces_go_on(database: Database, temporal_server: str) -> None:
    source = FakeSource(latency=0.05)
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        other = await make_workspace(stack.owner)
        job_id = await make_job(stack.sessions, other, DOMAINS, [source])
        await delete(stack)
        await closed(stack)
        async with asyncio.timeout(20):
            while True:
                async with stack.sessions.for_workspace(other) as session:
                    query = text(
                        "SELECT status, matched FROM enrichment_jobs WHERE id = :id AND finished_at IS NOT NULL"
                    )
                    if job := (await session.execute(query, {"id": job_id})).one_or_none():
                        break
                await asyncio.sleep(0.02)
    assert tuple(job) == ("completed", 40)


async def test_an_empty_workspace_closes(database: Database, temporal_server: str) -> None:
    async with open_stack(database, temporal_server, [FakeSource()]) as stack, stack.worker():
        closing = await delete(stack)
        await closed(stack)
        assert await closing.result() == {"held": 0}


async def test_a_worker_that_dies_in_between_is_followed_by_another(database: Database, temporal_server: str) -> None:
    source = FakeSource(latency=0.1)
    async with open_stack(database, temporal_server, [source]) as stack:
        async with stack.worker():
            job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source], chunk=10, window=1)
            await stack.until(job_id, lambda job: job["matched"] > 0)
            await delete(stack)
        async with stack.worker():
            await closed(stack)
        assert await jobs(stack, [job_id]) == ["cancelled"]
        assert await held(stack) == 0


async def test_telling_the_jobs_twice_wakes_them_once(database: Database, temporal_server: str) -> None:
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        for _ in range(3):
            await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source], start=False)
        left = [await cancel_unfinished(stack.sessions, stack.workspace_id) for _ in range(2)]
        async with stack.owner.unscoped() as session:
            wakes = (
                await session.execute(text("SELECT count(*) FROM outbox_commands WHERE kind = 'signal'"))
            ).scalar_one()
    assert left == [3, 3]
    assert wakes == 3


async def test_credits_that_stay_held_without_a_job_are_told_and_not_hidden(
    database: Database, temporal_server: str
) -> None:
    async with open_stack(database, temporal_server, [FakeSource()]) as stack, stack.worker():
        async with stack.sessions.for_workspace(stack.workspace_id) as session:
            await credits.hold(
                session, stack.workspace_id, 7, key="lost", reason="test", reference=("enrichment_job", "lost")
            )
        closing = await delete(stack)
        async with asyncio.timeout(20):
            # Before the relay has started it nobody knows it.
            while True:
                async with stack.owner.unscoped() as session:
                    query = text("SELECT count(*) FROM outbox_commands WHERE kind = 'start'")
                    if (await session.execute(query)).scalar_one() == 0:
                        break
                await asyncio.sleep(0.02)
            with pytest.raises(WorkflowFailureError) as failure:
                await closing.result()
        assert "7 credits are held" in str(failure.value.cause)
        async with stack.sessions.for_workspace(stack.workspace_id) as session:
            assert (await session.execute(text("SELECT closed_at FROM workspaces"))).scalar_one() is None
