"""AuditLedger on a real Temporal server and a real PostgreSQL, started by its schedule."""

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from structlog.testing import capture_logs
from temporalio.client import ScheduleHandle

from app.settings import TemporalSettings
from app.temporal import connect, ensure_schedule
from tests.builders import make_job, make_workspace
from tests.fakes import FakeSource
from tests.servers import Database
from tests.stack import Stack, open_stack
from workflows.contracts.ledger import LedgerAudit


async def schedule_of(stack: Stack) -> ScheduleHandle:
    """The schedule, once the worker has made it."""
    name = stack.resources.settings.temporal.task_queue_prefix + "audit-ledger"
    async with asyncio.timeout(60):
        while True:
            if name in [each.id async for each in await stack.client.list_schedules()]:
                return stack.client.get_schedule_handle(name)
            await asyncio.sleep(0.02)


async def audit(stack: Stack) -> LedgerAudit:
    """Have the schedule start the workflow now; what that finds."""
    schedule = await schedule_of(stack)
    seen = len((await schedule.describe()).info.recent_actions)
    await schedule.trigger()
    async with asyncio.timeout(60):
        while len(actions := (await schedule.describe()).info.recent_actions) == seen:
            await asyncio.sleep(0.02)
    started: Any = actions[-1].action
    run = stack.client.get_workflow_handle(started.workflow_id, run_id=started.first_execution_run_id)
    return LedgerAudit(**await run.result())


async def test_ledgers_that_add_up_are_counted_and_nothing_is_said(database: Database, temporal_server: str) -> None:
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, ["a.com", "b.com"], [source])
        await stack.until_finished(job_id)
        other = await make_workspace(stack.owner)
        with capture_logs() as logs:
            found = await audit(stack)
    assert found == LedgerAudit(workspaces=2, differences=0, last=str(max(stack.workspace_id, other)))
    assert [line for line in logs if line["event"] == "ledger.difference"] == []


async def test_each_difference_is_a_line_in_the_log_and_nothing_is_repaired(
    database: Database, temporal_server: str
) -> None:
    async with open_stack(database, temporal_server, []) as stack, stack.worker():
        broken = await make_workspace(stack.owner)
        tampering = text("UPDATE credit_accounts SET balance = balance + 1, held = 7 WHERE workspace_id = :id")
        async with stack.owner.unscoped() as session:
            await session.execute(tampering, {"id": broken})
        with capture_logs() as logs:
            found = await audit(stack)
        again = await audit(stack)
    assert (found.workspaces, found.differences, again.differences) == (2, 3, 3)
    said = [line for line in logs if line["event"] == "ledger.difference"]
    assert {(line["log_level"], line["workspace_id"]) for line in said} == {("error", str(broken))}
    assert {line["rule"] for line in said} == {"balance", "lots", "held"}


async def test_an_interval_that_changed_is_taken_over_and_a_pause_is_kept(temporal_server: str) -> None:
    settings = TemporalSettings(address=temporal_server, task_queue_prefix="schedules-")
    client = await connect(settings, lazy=False)

    async def ensure(hours: int) -> None:
        await ensure_schedule(
            client,
            settings,
            name="audit-ledger",
            workflow="AuditLedger",
            argument=LedgerAudit(),
            every=timedelta(hours=hours),
            process="ledger",
        )

    handle = client.get_schedule_handle("schedules-audit-ledger")
    await ensure(1)
    await handle.pause()
    for hours in (1, 2):
        await ensure(hours)
        found = (await handle.describe()).schedule
        assert [each.every for each in found.spec.intervals] == [timedelta(hours=hours)]
        assert found.state.paused
    await handle.delete()
