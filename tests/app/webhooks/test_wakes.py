"""Wakes: few, none lost, and none that a dead process, a lost server or a full history could make the last."""

import asyncio
import time

from temporalio.api.enums.v1 import EventType as HistoryEventType
from temporalio.client import WorkflowExecutionStatus

from app.outbox.waker import Waker
from app.temporal import start_options
from app.webhooks.wake import DueEndpoints
from tests.app.webhooks.receiver import Receiver, answering, taken
from tests.app.webhooks.scene import Scene, opened
from tests.servers import Database
from workflows import ids
from workflows.contracts.webhooks import EndpointRef


def waker_of(scene: Scene) -> Waker:
    resources = scene.stack.resources
    return Waker(DueEndpoints({}), resources.platform_sessions, resources.temporal, resources.settings.temporal)


async def signals(scene: Scene, endpoint_id: object) -> int:
    """Of the latest run."""
    history = await scene.stack.client.get_workflow_handle(ids.webhook_endpoint(str(endpoint_id))).fetch_history()
    kind = HistoryEventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    return sum(event.event_type == kind for event in history.events)


async def test_twenty_thousand_events_that_nobody_sees_are_two_wakes_a_second(scene: Scene, receiver: Receiver):
    """Three processes look for them, and the workflow is never carried out: no look ends the need for a wake."""
    endpoint_id, _ = await scene.endpoint(receiver.url)
    await scene.tell(0)
    wakers = [asyncio.create_task(waker_of(scene).run()) for _ in range(3)]
    begun = time.monotonic()
    for _ in range(4):
        await scene.execute(
            """
            WITH told AS (
                INSERT INTO events (workspace_id, id, type, data)
                SELECT :workspace_id, gen_random_uuid(), 'credits.low', '{}' FROM generate_series(1, 5000)
                RETURNING id
            )
            INSERT INTO webhook_deliveries (workspace_id, id, endpoint_id, event_id)
            SELECT :workspace_id, gen_random_uuid(), :endpoint_id, id FROM told
            """,
            workspace_id=scene.workspace_id,
            endpoint_id=endpoint_id,
        )
    async with asyncio.timeout(60):
        while await signals_or_none(scene, endpoint_id) < 4:
            await asyncio.sleep(0.05)
    seconds = time.monotonic() - begun
    for each in wakers:
        each.cancel()
    await asyncio.gather(*wakers, return_exceptions=True)

    assert await signals(scene, endpoint_id) <= 2 * seconds + 1


async def signals_or_none(scene: Scene, endpoint_id: object) -> int:
    description = [
        run
        async for run in scene.stack.client.list_workflows(f"WorkflowId = '{ids.webhook_endpoint(str(endpoint_id))}'")
    ]
    return await signals(scene, endpoint_id) if description else 0


async def test_events_told_while_others_are_delivered_take_hardly_a_wake_and_none_is_lost(
    scene: Scene, receiver: Receiver
):
    endpoint_id, _ = await scene.endpoint(receiver.url)
    async with scene.stack.worker():

        async def told(first: int) -> None:
            for number in range(first, first + 500, 10):
                await scene.tell(*range(number, number + 10))

        begun = time.monotonic()
        await asyncio.gather(*(told(first) for first in range(0, 2000, 500)))
        deliveries = await scene.until_ended(seconds=60)
        seconds = time.monotonic() - begun
        woken = await signals(scene, endpoint_id)

    assert len(deliveries) == len(receiver.received) == len(receiver.counts()) == 2000
    assert woken <= 2 + seconds


async def test_a_run_that_was_woken_a_thousand_times_goes_on_as_another(scene: Scene, receiver: Receiver):
    endpoint_id, _ = await scene.endpoint(receiver.url)
    workflow_id = ids.webhook_endpoint(str(endpoint_id))
    handle = await scene.stack.client.start_workflow(
        "DeliverWebhooks",
        EndpointRef(str(scene.workspace_id), str(endpoint_id)),
        id=workflow_id,
        **start_options(scene.stack.resources.settings.temporal, scene.workspace_id, "webhook"),
    )
    for _ in range(10):
        await asyncio.gather(*(handle.signal("wake") for _ in range(100)))
    async with scene.stack.worker():
        await scene.tell(1)
        await scene.until_ended()
        await handle.result()
    first = await scene.stack.client.get_workflow_handle(workflow_id, run_id=handle.first_execution_run_id).describe()
    assert first.status == WorkflowExecutionStatus.CONTINUED_AS_NEW
    assert len(receiver.received) == 1


async def test_a_run_that_somebody_terminated_is_replaced(scene: Scene, receiver: Receiver):
    receiver.answer = answering(500)
    endpoint_id, _ = await scene.endpoint(receiver.url)
    async with scene.stack.worker():
        await scene.tell(1)
        await scene.until_attempted(1)
        await scene.until(lambda found: found[0]["claimed_at"] is not None)
        async with asyncio.timeout(60):
            while (await scene.standing(endpoint_id))["watched_until"] is not None:
                await asyncio.sleep(0.02)
        await scene.workflow(endpoint_id).terminate("by a test")
        receiver.answer = taken
        # Overdue for as long as the reconciler finds remarkable.
        await scene.execute("UPDATE webhook_deliveries SET next_attempt_at = now() - interval '1 minute'")
        await scene.execute("UPDATE webhook_endpoints SET checked_at = now() - interval '1 minute'")
        (delivery,) = await scene.until_ended()
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)


async def test_events_that_temporal_is_not_there_for_wait(database: Database, temporal_server: str, receiver: Receiver):
    async with opened(database, temporal_server) as scene:
        await scene.endpoint(receiver.url)
        await scene.tell(1)
        deliveries = await scene.deliveries()
        assert [(each["state"], each["claimed_at"]) for each in deliveries] == [("pending", None)]
        async with scene.stack.worker():
            await scene.until_ended()
    assert len(receiver.received) == 1
