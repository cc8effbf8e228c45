"""CloseWorkspace on a real Temporal server and a real PostgreSQL: whatever runs ends, and nothing stays held."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.credits import service as credits
from app.enrichment.closing import cancel_unfinished
from app.providers.errors import CircuitOpen
from app.workspaces.reconcile import Closings
from app.workspaces.service import delete_workspace
from tests.builders import make_job, make_workspace, violations
from tests.fakes import FakeSource
from tests.servers import Database, running_temporal
from tests.stack import Stack, open_stack
from workflows import ids

DOMAINS = [f"company-{n}.com" for n in range(1, 41)]


async def delete(stack: Stack) -> WorkflowHandle[Any, Any]:
    """Delete the workspace as the API does, and wait until its workflow is there."""
    owner = Caller(stack.workspace_id, ROLE_PERMISSIONS["owner"], "owner", user_id=uuid4())
    await delete_workspace(stack.sessions, owner)
    return stack.client.get_workflow_handle(ids.close_workspace(str(stack.workspace_id)))


async def closed(stack: Stack, *, seconds: float = 60) -> None:
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


async def looked_at(stack: Stack, *, deleted: str, checked: str | None) -> None:
    """Move the times of the closing: so long ago."""
    query = text("""
        UPDATE workspaces SET deleted_at = now() - CAST(:deleted AS interval),
                              closing_checked_at = now() - CAST(:checked AS interval)
        WHERE id = :id
    """)
    async with stack.owner.unscoped() as session:
        await session.execute(query, {"id": stack.workspace_id, "deleted": deleted, "checked": checked})


async def store_credentials(stack: Stack, *providers: str) -> None:
    query = text("""
        INSERT INTO provider_credentials (workspace_id, provider, key_id, wrapped_key, ciphertext, hint)
        VALUES (:workspace_id, :provider, '1', 'wrapped', 'sealed', 'abcd')
    """)
    async with stack.sessions.for_workspace(stack.workspace_id) as session:
        for provider in providers:
            await session.execute(query, {"workspace_id": stack.workspace_id, "provider": provider})


async def test_what_runs_waits_and_is_paused_ends_and_gives_back_what_it_held(
    database: Database, temporal_server: str
) -> None:
    slow = FakeSource("alpha", latency=0.2)
    away = FakeSource("beta", lambda _: CircuitOpen("beta", "the circuit is open", retry_after=20))
    async with open_stack(database, temporal_server, [slow, away]) as stack, stack.worker():
        running = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [slow], chunk=1, window=1)
        waiting = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [away])
        paused = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [slow], chunk=1, window=1)
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
        async with asyncio.timeout(60):
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
            job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source], chunk=1, window=1)
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


async def test_a_closing_terminated_in_the_temporal_ui_is_started_again(
    database: Database, temporal_server: str
) -> None:
    source = FakeSource(latency=1)
    async with open_stack(database, temporal_server, [source]) as stack:
        job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source], chunk=1, window=1)
        closing = await delete(stack)
        assert await stack.relayed() > 0
        await closing.terminate("an operator")

        async with stack.worker():
            await closed(stack)

        assert await jobs(stack, [job_id]) == ["cancelled"]
        assert await held(stack) == 0


async def test_a_closing_of_a_temporal_that_lost_its_database_is_started_again(database: Database) -> None:
    source = FakeSource(latency=1)
    with running_temporal() as address:
        async with open_stack(database, address, [source]) as stack:
            job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source], chunk=1, window=1)
            await delete(stack)
            assert await stack.relayed() > 0
            workspace_id = stack.workspace_id
    with running_temporal() as address:
        async with open_stack(database, address, [source]) as other, other.worker():
            stack = Stack(other.resources, other.owner, workspace_id)

            await closed(stack)

            assert await jobs(stack, [job_id]) == ["cancelled"]
            assert await held(stack) == 0


async def test_a_closing_that_failed_finishes_once_a_person_has_set_right_what_was_wrong(
    database: Database, temporal_server: str
) -> None:
    async with open_stack(database, temporal_server, [FakeSource()]) as stack, stack.worker():
        reference = ("enrichment_job", "lost")
        async with stack.sessions.for_workspace(stack.workspace_id) as session:
            await credits.hold(session, stack.workspace_id, 7, key="lost", reason="test", reference=reference)
        closing = await delete(stack)
        async with asyncio.timeout(60):
            while True:
                try:
                    with pytest.raises(WorkflowFailureError):
                        await closing.result()
                    break
                except RPCError:
                    await asyncio.sleep(0.02)

        async with stack.sessions.for_workspace(stack.workspace_id) as session:
            await credits.release(session, stack.workspace_id, 7, key="found", reason="test", reference=reference)

        await closed(stack)


async def test_a_silent_closing_is_looked_at_by_one_reconciler_only_and_less_often_the_older_it_is(
    database: Database, temporal_server: str
) -> None:
    async with open_stack(database, temporal_server, [FakeSource()]) as stack:
        await delete(stack)
        closings = Closings(stack.sessions, stack.resources.platform_sessions)
        await looked_at(stack, deleted="1 h", checked=None)
        assert list(await closings.claim_silent(60, 10)) == [], "its start is still on its way"
        assert await stack.relayed() > 0

        claims = await asyncio.gather(*(closings.claim_silent(60, 10) for _ in range(4)))
        assert [work.reference for claim in claims for work in claim] == [stack.workspace_id]

        await looked_at(stack, deleted="10 h", checked="50 min")
        assert list(await closings.claim_silent(60, 10)) == []
        await looked_at(stack, deleted="10 h", checked="60 min")
        assert len(await closings.claim_silent(60, 10)) == 1


async def test_the_credentials_of_a_closed_workspace_are_erased_and_nobody_elses(
    database: Database, temporal_server: str
) -> None:
    async with open_stack(database, temporal_server, [FakeSource()]) as stack, stack.worker():
        other = Stack(stack.resources, stack.owner, await make_workspace(stack.owner))
        await store_credentials(stack, "hunter", "apollo")
        await store_credentials(other, "hunter")
        await delete(stack)
        await closed(stack)

        async with stack.owner.unscoped() as session:
            left = (await session.execute(text("SELECT workspace_id FROM provider_credentials"))).scalars().all()
        async with stack.sessions.for_workspace(stack.workspace_id) as session:
            query = text(
                "SELECT target_id, actor_type FROM audit_entries WHERE action = 'credential.delete' ORDER BY 1"
            )
            recorded = [tuple(row) for row in await session.execute(query)]
    assert left == [other.workspace_id]
    assert recorded == [("apollo", "system"), ("hunter", "system")]
