"""The relay against real PostgreSQL and Temporal: what is committed is started, once, whoever dies in between."""

import asyncio

from prometheus_client import CollectorRegistry
from sqlalchemy import text
from temporalio.client import Client

from app.db import new_id
from app.enrichment.start import start_job
from app.outbox import repository
from app.outbox import service as outbox
from app.outbox.relay import Relay
from app.settings import OutboxSettings, TemporalSettings
from app.temporal import connect
from tests.builders import make_job
from tests.fakes import FakeSource
from tests.servers import Database
from tests.stack import Stack, open_stack
from workflows import ids


def relay(stack: Stack, *, client: Client | None = None, settings: OutboxSettings | None = None) -> Relay:
    resources = stack.resources
    return Relay(
        resources.platform_sessions,
        resources.platform_engine,
        client or resources.temporal,
        settings or resources.settings.outbox,
        resources.settings.temporal,
        CollectorRegistry(),
    )


async def commands(stack: Stack) -> list[tuple[str, int, bool]]:
    async with stack.resources.platform_sessions.unscoped() as session:
        rows = await session.execute(
            text("SELECT kind, attempts, dead_at IS NOT NULL FROM outbox_commands ORDER BY id")
        )
        return [tuple(row) for row in rows]


async def test_a_job_whose_starter_died_after_the_commit_is_started_by_the_relay(
    database: Database, temporal_server: str
) -> None:
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        # The process that took the request is gone: only the committed rows are left.
        job_id = await make_job(stack.sessions, stack.workspace_id, ["one.com"], [source])
        async with stack.worker():
            job = await stack.until_finished(job_id)

        assert job["status"] == "completed"
        assert await commands(stack) == []


async def test_a_command_sent_twice_starts_one_workflow(database: Database, temporal_server: str) -> None:
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        job_id = await make_job(stack.sessions, stack.workspace_id, ["one.com"], [source])
        # A relay that died between sending and deleting: its lease ran out.
        async with stack.resources.platform_sessions.unscoped() as session:
            [command] = await repository.claim(session, new_id(), lease_seconds=0, limit=10)
        first = relay(stack)
        assert await first._deliver(command) is None  # noqa: SLF001  # the half that the dead relay had done

        assert await relay(stack).deliver_due() == 1

        assert await commands(stack) == []
        runs = [run async for run in stack.client.list_workflows(f"WorkflowId = '{ids.enrichment_job(str(job_id))}'")]
        assert len(runs) <= 1
        async with stack.worker():
            assert (await stack.until_finished(job_id))["charged"] == 2


async def test_commands_to_one_workflow_go_in_order(database: Database, temporal_server: str) -> None:
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        job_id = await make_job(stack.sessions, stack.workspace_id, ["one.com"], [source])
        async with stack.sessions.for_workspace(stack.workspace_id) as session:
            await outbox.wake(session, stack.workspace_id, ids.enrichment_job(str(job_id)))
        first, second = relay(stack), relay(stack)

        async with stack.resources.platform_sessions.unscoped() as session:
            [start] = await repository.claim(session, new_id(), lease_seconds=30, limit=10)
            assert start.kind == "start"
        assert await second.deliver_due() == 0, "the wake waits for the start"
        async with stack.resources.platform_sessions.unscoped() as session:
            await session.execute(text("UPDATE outbox_commands SET claimed_until = now()"))
        assert await first.deliver_due() == 1
        assert await first.deliver_due() == 1
        assert await commands(stack) == []


async def test_a_command_waits_out_an_absent_temporal_and_is_given_up_in_the_end(
    database: Database, temporal_server: str
) -> None:
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        await make_job(stack.sessions, stack.workspace_id, ["one.com"], [source])
        nobody = await connect(TemporalSettings(address="127.0.0.1:1"), lazy=True)
        patient = relay(stack, client=nobody)
        assert await patient.deliver_due() == 1
        assert await commands(stack) == [("start", 1, False)]
        assert await patient.deliver_due() == 0, "not due before its delay is over"

        async with stack.resources.platform_sessions.unscoped() as session:
            await session.execute(
                text("UPDATE outbox_commands SET due_at = now(), created_at = now() - interval '2 h'")
            )
        await patient.deliver_due()

        assert await commands(stack) == [("start", 2, True)]


async def test_a_wake_for_a_workflow_that_is_over_is_dropped(database: Database, temporal_server: str) -> None:
    async with open_stack(database, temporal_server, []) as stack:
        async with stack.sessions.for_workspace(stack.workspace_id) as session:
            await outbox.wake(session, stack.workspace_id, ids.enrichment_job("gone"))

        await relay(stack).deliver_due()

        assert await commands(stack) == []


async def test_a_command_that_waits_for_another_follows_it_at_once(database: Database, temporal_server: str) -> None:
    """Both are announced at once, and the second one cannot be claimed before the first one is gone."""
    listening = """
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND query = 'LISTEN holdfast_outbox' AND state = 'idle'
    """
    async with open_stack(database, temporal_server, []) as stack:
        running = asyncio.create_task(relay(stack, settings=OutboxSettings(poll_seconds=60)).run())
        try:
            async with asyncio.timeout(30):
                while not await stack.resources.platform_sessions.read(listening, {}):
                    await asyncio.sleep(0.02)
                async with stack.sessions.for_workspace(stack.workspace_id) as session:
                    job_id = new_id()
                    await start_job(session, stack.workspace_id, job_id, total=2)
                    await outbox.wake(session, stack.workspace_id, ids.enrichment_job(str(job_id)))
                while await commands(stack):
                    await asyncio.sleep(0.02)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_command_is_delivered_as_soon_as_it_is_committed(database: Database, temporal_server: str) -> None:
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        lazy = OutboxSettings(poll_seconds=60)
        running = asyncio.create_task(relay(stack, settings=lazy).run())
        try:
            await make_job(stack.sessions, stack.workspace_id, ["one.com"], [source])
            async with asyncio.timeout(30):
                while await commands(stack):
                    await asyncio.sleep(0.02)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
