"""A delivery that was given up leaves a letter, which a redrive resolves."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.deadletters import redrives
from app.deadletters.repository import LetterFilter
from app.idempotency.answers import Remembered
from tests.app.webhooks.receiver import Receiver, answering, taken
from tests.app.webhooks.scene import Scene


async def until_letter(scene: Scene, state: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found = await scene.rows("SELECT * FROM dead_letters")
            if [each["state"] for each in found] == [state]:
                return found[0]
            await asyncio.sleep(0.02)


async def redrive(scene: Scene) -> UUID:
    member = Caller(scene.workspace_id, ROLE_PERMISSIONS["member"], "member", user_id=uuid4())
    wanted = LetterFilter(process="webhook", state="open")
    said, _ = await redrives.start(
        scene.stack.sessions, member, wanted, lambda redrive: Remembered(202, {}, str(redrive.id)), once=None
    )
    return UUID(said.data)


async def until_items(scene: Scene, redrive_id: UUID) -> list[tuple[str, str | None]]:
    async with asyncio.timeout(60):
        while True:
            query = "SELECT result, reason FROM dead_letter_redrive_items WHERE redrive_id = :id"
            found = [(each["result"], each["reason"]) for each in await scene.rows(query, id=redrive_id)]
            if "pending" not in dict(found):
                return found
            await asyncio.sleep(0.02)


async def test_a_delivery_that_was_given_up_is_redriven_and_resolved(scene: Scene, receiver: Receiver):
    receiver.answer = answering(500)
    endpoint_id, _ = await scene.endpoint(receiver.url)
    async with scene.stack.worker():
        await scene.tell(7)
        await scene.until_attempted(1)
        await scene.execute("UPDATE webhook_deliveries SET attempts = 9")
        await scene.make_due()
        [delivery] = await scene.until_ended()
        letter = await until_letter(scene, "open")

        receiver.answer = taken
        redrive_id = await redrive(scene)
        resolved = await until_letter(scene, "resolved")
        results = await until_items(scene, redrive_id)

    assert delivery["state"] == "failed"
    assert letter["process"] == "webhook"
    assert letter["reference_id"] == letter["payload_id"] == f"{endpoint_id}:{delivery['id']}"
    assert (letter["reason"], letter["attempts"]) == (delivery["error"], 10)
    assert results == [("redriven", None)]
    assert (resolved["id"], resolved["attempts"]) == (letter["id"], 10)
    assert len(receiver.counts()) == 1, "each time it was the same event"


async def test_a_delivery_to_an_endpoint_that_was_disabled_is_not_redriven(scene: Scene, receiver: Receiver):
    receiver.answer = answering(410)
    await scene.endpoint(receiver.url)
    async with scene.stack.worker():
        await scene.tell(7)
        await scene.until_ended()
        await until_letter(scene, "open")

        results = await until_items(scene, await redrive(scene))
        letter = await until_letter(scene, "open")

    assert results == [("refused", "nothing_to_retry")]
    assert letter["attempts"] == 1
