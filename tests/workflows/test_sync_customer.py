"""SyncCustomer, from an event to what follows: real PostgreSQL, real Temporal, a payment provider in memory."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus

from app.providers.errors import CircuitOpen
from app.runs.service import RunFilter, list_runs
from app.temporal import start_options
from tests.builders import violations
from tests.fakes_payments import FakePayments
from tests.servers import Database
from tests.stack import Stack, open_stack
from tests.workflows.billing_scenes import Scene
from workflows.contracts.billing import CustomerRef

ROOT = Path(__file__).parents[2]
# What one look asks, in this order.
LOOK = ["find_customer", "subscriptions", "invoices", "payments"]


@asynccontextmanager
async def opened(database: Database, temporal: str) -> AsyncIterator[Scene]:
    async with open_stack(database, temporal, [], payments=FakePayments()) as stack:
        yield await Scene.on(stack)
        assert await violations(stack.sessions, stack.workspace_id) == []


@pytest.fixture
async def scene(database: Database, temporal_server: str) -> AsyncIterator[Scene]:
    async with opened(database, temporal_server) as scene:
        yield scene


async def test_an_event_is_followed_by_what_stripe_has(scene: Scene):
    scene.buy()
    async with scene.stack.worker():
        await scene.syncing.hear()
        await scene.until_applied()
        assert await scene.workflow.result() == {"syncs": 1, "events": 1}
    assert await scene.syncing.granted() == [100_000, 5000]


async def test_events_of_one_customer_are_applied_one_look_after_the_other(scene: Scene):
    scene.buy()
    async with scene.stack.worker():
        for number in range(40):
            await scene.syncing.hear()
            if number % 10 == 0:
                await scene.until_asked(number // 10 + 1)
        await scene.until_applied()
        await scene.workflow.result()
    asked = [call.method for call in scene.payments.calls]
    looks = len(asked) // len(LOOK)
    assert asked == LOOK * looks
    assert 1 <= looks <= 40
    assert await scene.syncing.granted() == [100_000, 5000]


async def test_what_comes_during_a_look_is_looked_at_by_the_same_run(scene: Scene):
    async with scene.stack.worker():
        scene.payments.gate.clear()
        await scene.syncing.hear()
        await scene.until_asked(1)
        scene.buy()
        await scene.syncing.hear()
        scene.payments.gate.set()
        await scene.until_applied()
        result = await scene.workflow.result()
    assert result["events"] == 2
    assert await scene.syncing.granted() == [100_000, 5000]


async def test_a_wake_without_anything_due_reads_nothing(scene: Scene):
    resources = scene.stack.resources
    async with scene.stack.worker():
        handle = await scene.stack.client.start_workflow(
            "SyncCustomer",
            CustomerRef(str(scene.stack.workspace_id)),
            id=scene.workflow_id,
            start_signal="wake",
            **start_options(resources.settings.temporal, scene.stack.workspace_id, "billing"),
        )
        assert await handle.result() == {"syncs": 0, "events": 0}
    assert scene.payments.calls == []


async def test_a_run_that_was_woken_many_times_goes_on_as_another(scene: Scene):
    await scene.syncing.hear()
    await scene.wake()
    first = (await scene.workflow.describe()).run_id
    for _ in range(2):
        await asyncio.gather(*(scene.workflow.signal("wake") for _ in range(100)))
    async with scene.stack.worker():
        await scene.until_applied()
        await scene.workflow.result()
    described = await scene.stack.client.get_workflow_handle(scene.workflow_id, run_id=first).describe()
    assert described.status == WorkflowExecutionStatus.CONTINUED_AS_NEW
    assert await scene.syncing.events() == ["applied"]


async def test_a_run_that_somebody_terminated_is_replaced(scene: Scene):
    scene.buy()
    async with scene.stack.worker():
        scene.payments.gate.clear()
        await scene.syncing.hear()
        await scene.until_asked(1)
        await scene.workflow.terminate("by a test")
        # Due for as long as the reconciler finds remarkable.
        await scene.syncing.execute(
            "UPDATE billing_customers SET due_at = due_at - interval '1 minute',"
            " seen_at = seen_at - interval '1 minute', checked_at = checked_at - interval '1 minute'"
        )
        scene.payments.gate.set()
        await scene.until_applied()
    assert await scene.syncing.granted() == [100_000, 5000]


async def test_while_stripe_is_away_the_run_says_that_it_waits_for_it(scene: Scene):
    scene.buy()
    scene.payments.before = lambda _: CircuitOpen("stripe", "the circuit is open", retry_after=1)
    async with scene.stack.worker():
        await scene.syncing.hear()
        async with asyncio.timeout(60):
            while await scene.waits_for() != ["stripe"]:
                await asyncio.sleep(0.05)
        [pending] = (await scene.workflow.describe()).raw_description.pending_activities
        assert "the circuit is open, next attempt" in pending.last_failure.message
        listed = await list_runs(
            scene.stack.client, scene.stack.workspace_id, RunFilter("billing"), after=b"", limit=10
        )
        assert [(run.workflow, run.waiting_for) for run in listed.runs] == [("SyncCustomer", ("stripe",))]
        scene.payments.before = lambda _: None
        await scene.until_applied()
        await scene.workflow.result()
        async with asyncio.timeout(60):
            while await scene.waits_for():
                await asyncio.sleep(0.05)
    assert await scene.syncing.granted() == [100_000, 5000]


async def test_a_look_of_a_worker_that_was_killed_behind_its_read_is_taken_by_another(scene: Scene):
    scene.buy()
    async with other_worker(scene) as other:
        await scene.syncing.hear()
        async with without_payments(scene).worker():
            await scene.wake()
            await other.until_it_says("read")
        other.process.kill()
        async with scene.stack.worker():
            await scene.until_applied()
            assert await scene.workflow.result() == {"syncs": 1, "events": 1}
    assert (await scene.syncing.customer())["fence"] == 2
    assert await scene.syncing.granted() == [100_000, 5000]


async def test_what_a_worker_read_that_stood_still_meanwhile_undoes_nothing(scene: Scene):
    """It has read that there is no subscription. Another look is applied while it stands still, and it goes on."""
    scene.buy()
    async with other_worker(scene) as other:
        await scene.syncing.hear()
        async with without_payments(scene).worker():
            await scene.wake()
            await other.until_it_says("read")
        other.process.send_signal(signal.SIGSTOP)
        async with scene.stack.worker():
            await scene.until_applied()
            await scene.workflow.result()
        before = await scene.syncing.customer()
        # It has its answer before it could learn that nobody waits for it any more.
        other.answer()
        other.process.send_signal(signal.SIGCONT)
        await scene.syncing.hear()
        async with without_payments(scene).worker():
            await scene.wake()
            # It takes the next look, and so has ended that one.
            await other.until_it_says("read")
        now = await scene.syncing.customer()
    assert (now["fence"], now["synced_at"]) == (before["fence"] + 1, before["synced_at"])
    assert [row["status"] for row in await scene.syncing.rows("SELECT status FROM billing_subscriptions")] == ["active"]
    assert await scene.syncing.granted() == [100_000, 5000]


def without_payments(scene: Scene) -> Stack:
    """A worker that works on workflows, and calls no payment provider."""
    return replace(scene.stack, resources=replace(scene.stack.resources, payments=None))


@dataclass(frozen=True)
class Other:
    """tests/workflows/payments_worker.py."""

    process: asyncio.subprocess.Process

    async def until_it_says(self, word: str) -> None:
        """The SDK says something there too."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while (await self.process.stdout.readline()).decode().strip() != word:
                assert self.process.returncode is None, "the worker ended"

    def answer(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")


@asynccontextmanager
async def other_worker(scene: Scene) -> AsyncIterator[Other]:
    settings = scene.stack.resources.settings
    assert settings.platform_database_url is not None
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")},
        "HOLDFAST_DATABASE_URL": settings.database_url.get_secret_value(),
        "HOLDFAST_PLATFORM_DATABASE_URL": settings.platform_database_url.get_secret_value(),
        "HOLDFAST_TEMPORAL__ADDRESS": settings.temporal.address,
        "HOLDFAST_TEMPORAL__TASK_QUEUE_PREFIX": settings.temporal.task_queue_prefix,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.workflows.payments_worker"),
        *(str(scene.stack.workspace_id), scene.syncing.customer_id),
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        other = Other(process)
        await other.until_it_says("ready")
        yield other
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
