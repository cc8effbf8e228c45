"""The paths of DeliverWebhooks, for record_histories."""

import asyncio
from uuid import UUID

from aiohttp import web

from tests.app.webhooks.receiver import Received, answering, receiving
from tests.app.webhooks.scene import Scene
from tests.fakes import FakeSource
from tests.stack import Stack
from workflows import ids


async def delivered_at_once(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    scene = Scene(stack)
    async with receiving() as receiver, stack.worker():
        endpoint_id, _ = await scene.endpoint(receiver.url)
        await scene.tell(*range(30))
        return await _ended(scene, endpoint_id)


async def delivered_at_the_second_attempt(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    """After five seconds, in which it is woken for another event."""
    scene = Scene(stack)
    async with receiving() as receiver, stack.worker():

        async def first_fails(_: Received) -> web.Response:
            return web.Response(status=500 if len(receiver.received) == 1 else 200)

        receiver.answer = first_fails
        endpoint_id, _ = await scene.endpoint(receiver.url)
        await scene.tell(1)
        await _asleep(scene, endpoint_id)
        await scene.tell(2)
        return await _ended(scene, endpoint_id)


async def disabled_by_its_answer(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    scene = Scene(stack)
    async with receiving() as receiver, stack.worker():
        receiver.answer = answering(410)
        endpoint_id, _ = await scene.endpoint(receiver.url)
        await scene.tell(*range(3))
        return await _ended(scene, endpoint_id)


async def disabled_and_nobody_could_be_told(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    """There is an owner, and no way for mails to leave."""
    scene = Scene(stack)
    user_id = "01890000-0000-7000-8000-000000000001"
    await scene.execute("INSERT INTO users (id, email, name) VALUES (:id, 'ann@example.com', 'Ann')", id=user_id)
    await scene.execute(
        "INSERT INTO memberships (workspace_id, user_id, role) VALUES (:workspace_id, :user_id, 'owner')",
        workspace_id=stack.workspace_id,
        user_id=user_id,
    )
    return await disabled_by_its_answer(stack, _alpha, _beta)


async def woken_a_thousand_times(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    """It goes on as another run."""
    scene = Scene(stack)
    async with receiving() as receiver:
        receiver.answer = answering(500)
        endpoint_id, _ = await scene.endpoint(receiver.url)
        async with stack.worker():
            await scene.tell(1)
            await _asleep(scene, endpoint_id)
        handle = scene.workflow(endpoint_id)
        for _ in range(10):
            await asyncio.gather(*(handle.signal("wake") for _ in range(100)))
        receiver.answer = answering(200)
        async with stack.worker():
            await scene.make_due()
            return await _ended(scene, endpoint_id)


async def _asleep(scene: Scene, endpoint_id: UUID) -> None:
    """Its run waits for the next attempt."""
    await scene.until(lambda found: found[0]["claimed_at"] is not None)
    while (await scene.standing(endpoint_id))["watched_until"] is not None:
        await asyncio.sleep(0.02)


async def _ended(scene: Scene, endpoint_id: UUID) -> str:
    await scene.until_ended()
    await scene.workflow(endpoint_id).result()
    return ids.webhook_endpoint(str(endpoint_id))


WEBHOOK_SCENES = [
    delivered_at_once,
    delivered_at_the_second_attempt,
    disabled_by_its_answer,
    disabled_and_nobody_could_be_told,
    woken_a_thousand_times,
]
