"""ReconcileBilling, from the schedule to what is corrected: real PostgreSQL, real Temporal, a provider in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.client import ScheduleHandle, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import Worker

from app.background import keep_schedules
from app.providers.errors import CredentialRejected, Transient
from app.settings import Settings
from tests.app.billing.reconciling import asked
from tests.builders import violations
from tests.fakes_payments import Call, FakePayments
from tests.servers import Database
from tests.stack import Stack, open_stack
from tests.time_skipping import skipping_time
from tests.workflows.billing_scenes import Scene
from tests.workflows.reconciliation_scenes import hang_after_the_last_list, owe_a_refund, start_reconciliation
from tests.workflows.test_sync_customer import other_worker
from worker import build_workers
from workflows import options


@pytest.fixture
async def scene(database: Database, temporal_server: str) -> AsyncIterator[Scene]:
    async with open_stack(database, temporal_server, [], payments=FakePayments()) as stack:
        yield await Scene.on(stack)
        assert await violations(stack.sessions, stack.workspace_id) == []


async def outcome(handle: WorkflowHandle[Any, Any]) -> Any:
    [value] = (await handle.describe()).search_attributes["Outcome"]
    return value


async def test_what_nobody_told_of_is_corrected_when_it_ends(scene: Scene):
    scene.buy()
    async with scene.stack.worker():
        first = await start_reconciliation(scene.stack)
        found = await first.result()
        assert (found["syncs"], found["differences"], found["unfinished"]) == (1, 3, 0)
        assert await scene.syncing.granted() == [100_000, 5000]
        second = await start_reconciliation(scene.stack, everything=True)
        assert (await second.result())["syncs"] == 0
    assert (await outcome(first), await outcome(second)) == ("different", "same")


async def test_while_stripe_fails_it_goes_on_and_reads_no_page_twice(scene: Scene):
    scene.buy()
    failed: list[Call] = []

    def every_other_fails(call: Call) -> Transient | None:
        if call.about is None and call not in failed:
            failed.append(call)
            return Transient("stripe", "status 500")
        return None

    scene.payments.before = every_other_fails
    async with scene.stack.worker():
        found = await (await start_reconciliation(scene.stack)).result()
    assert (found["calls"], found["differences"]) == (4, 3)
    assert asked(scene.payments) == [name for each in failed for name in (each.method, each.method)]


async def test_a_key_that_stripe_refuses_ends_it(scene: Scene):
    scene.payments.before = lambda _: CredentialRejected("stripe", "refuses the key")
    async with scene.stack.worker():
        handle = await start_reconciliation(scene.stack)
        with pytest.raises(Exception, match="Workflow execution failed"):
            await handle.result()


async def test_another_worker_goes_on_where_one_was_killed(scene: Scene):
    """It was killed at the last of the lists, in which it had found nothing."""
    scene.buy()
    workers = build_workers(scene.stack.resources)
    payments = [each for each in workers if each.task_queue.endswith(options.provider_queue("stripe"))]
    async with serving(*(each for each in workers if each not in payments)), other_worker(scene) as other:
        handle = await start_reconciliation(scene.stack)
        await other.until_it_says("read")
        other.process.kill()
        async with serving(*payments):
            found = await handle.result()
    assert asked(scene.payments) == ["payments"]
    assert (found["customers"], found["calls"]) == (1, 4)


async def test_it_does_not_wait_for_ever_for_a_customer_that_cannot_be_read(database: Database, temporal_server: str):
    async with (
        skipping_time() as client,
        open_stack(database, temporal_server, [], payments=FakePayments(), client=client) as stack,
    ):
        scene = await Scene.on(stack)
        await owe_a_refund(scene)
        hang_after_the_last_list(scene)
        async with stack.worker():
            handle = await start_reconciliation(stack)
            found = await handle.result()
            scene.payments.gate.set()
        assert (found["syncs"], found["unfinished"]) == (1, 1)
        assert await outcome(handle) == "unfinished"


async def test_there_is_a_schedule_where_there_is_billing_and_one_of_usage_where_there_is_a_meter(
    scene: Scene,
):
    key = SecretStr("sk_test_planted")
    for change, wanted in (
        ({"api_key": key, "meter": "holdfast_credits"}, {"reconcile-billing", "report-usage"}),
        ({"api_key": key}, {"reconcile-billing"}),
        ({}, set[str]()),
    ):
        async with keeping(scene.stack, change):
            async with asyncio.timeout(60):
                while await schedules(scene.stack) != wanted:
                    await asyncio.sleep(0.05)


@asynccontextmanager
async def keeping(stack: Stack, change: dict[str, Any]) -> AsyncIterator[None]:
    settings = stack.resources.settings
    stripe = settings.providers.stripe.model_copy(update=change)
    providers = settings.providers.model_copy(update={"stripe": stripe})
    changed: Settings = settings.model_copy(update={"providers": providers})
    task = asyncio.create_task(keep_schedules(stack.client, changed))
    try:
        yield
    finally:
        task.cancel()


async def schedules(stack: Stack) -> set[str]:
    prefix = stack.resources.settings.temporal.task_queue_prefix
    names = ("reconcile-billing", "report-usage")
    return {name for name in names if await exists(stack.client.get_schedule_handle(prefix + name))}


async def exists(schedule: ScheduleHandle) -> bool:
    try:
        await schedule.describe()
    except RPCError:
        return False
    return True


@asynccontextmanager
async def serving(*workers: Worker) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in workers]
        try:
            yield
        finally:
            await asyncio.gather(*(each.shutdown() for each in workers))
            for task in running:
                task.cancel()
