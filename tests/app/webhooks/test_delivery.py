"""Events arrive: signed, at every endpoint that wants them, and again until they are taken."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from app.webhooks.endpoints import rotate_secret
from app.webhooks.service import publish
from tests.app.webhooks.receiver import Received, Receiver, answering
from tests.app.webhooks.scene import SEALER, Scene


async def test_an_event_arrives_signed_at_each_endpoint_that_wants_its_type(scene: Scene, receiver: Receiver):
    _, first = await scene.endpoint(f"{receiver.url}/first", headers={"X-Tenant": "acme"})
    _, second = await scene.endpoint(f"{receiver.url}/second", "webhook.test", "credits.low")
    await scene.endpoint(f"{receiver.url}/third", "webhook.test")
    async with scene.stack.worker():
        await scene.tell(7)
        await receiver.until(2)
        (delivered, _) = await scene.until_ended()

    by_path = {each.path: each for each in receiver.received}
    assert set(by_path) == {"/first", "/second"}
    event = Webhook(first).verify(by_path["/first"].body, by_path["/first"].headers)
    assert event == Webhook(second).verify(by_path["/second"].body, by_path["/second"].headers)
    assert set(event) == {"id", "type", "version", "timestamp", "data"}
    assert (event["type"], event["version"], event["data"]) == ("credits.low", 1, {"number": 7})
    assert event["id"] == str(delivered["event_id"]) == by_path["/first"].event_id
    assert datetime.fromisoformat(event["timestamp"]).tzinfo is not None
    assert by_path["/first"].headers["x-tenant"] == "acme"
    assert "x-tenant" not in by_path["/second"].headers
    attempts = await scene.attempts()
    assert [(each["status"], each["error"], each["answer"]) for each in attempts] == [(200, None, "ok")] * 2
    # Whoever holds another secret, finds an old timestamp or another body refuses it.
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(by_path["/second"].body, by_path["/second"].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(by_path["/first"].body + b" ", by_path["/first"].headers)
    late = by_path["/first"].headers | {"webhook-timestamp": str(int(datetime.now(UTC).timestamp()) - 600)}
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(by_path["/first"].body, late)


async def test_a_failed_attempt_is_made_again_with_the_same_id_and_body_and_a_new_signature(
    scene: Scene, receiver: Receiver
):
    async def first_fails(_: Received) -> web.Response:
        return web.Response(status=500 if len(receiver.received) == 1 else 204)

    receiver.answer = first_fails
    _, secret = await scene.endpoint(receiver.url)
    async with scene.stack.worker():
        await scene.tell(1)
        first, second = await receiver.until(2)
        (delivery,) = await scene.until_ended()

    assert 4 <= second.at - first.at < 8
    assert (first.event_id, first.body) == (second.event_id, second.body)
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) >= 3
    for each in (first, second):
        Webhook(secret).verify(each.body, each.headers)
    assert (delivery["state"], delivery["attempts"], delivery["error"]) == ("delivered", 2, None)
    assert [(each["status"], each["error"]) for each in await scene.attempts()] == [(500, "status"), (204, None)]


async def test_ten_attempts_are_made_over_three_days_and_then_the_delivery_has_failed(scene: Scene, receiver: Receiver):
    receiver.answer = answering(500, "no")
    endpoint_id, _ = await scene.endpoint(receiver.url)
    delays = []
    async with scene.stack.worker():
        await scene.tell(1)
        for number in range(1, 10):
            (delivery,) = await scene.until(lambda found, made=number: found[0]["attempts"] == made)
            # Noted in one statement, by one clock.
            delays.append((delivery["next_attempt_at"] - delivery["claimed_at"]).total_seconds())
            await scene.execute("UPDATE webhook_endpoints SET failing_since = now()")
            await scene.make_due()
        (delivery,) = await scene.until_ended()
        await scene.workflow(endpoint_id).result()

    expected = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert all(abs(delay / wanted - 1) <= 0.2 for delay, wanted in zip(delays, expected, strict=True)), delays
    assert (delivery["state"], delivery["attempts"], delivery["error"]) == ("failed", 10, "status")
    assert len(receiver.received) == len(await scene.attempts()) == 10
    assert len({each.body for each in receiver.received}) == 1


async def test_events_of_one_job_arrive_in_order_and_a_failed_one_holds_up_nothing(scene: Scene, receiver: Receiver):
    started: list[int] = []

    async def slow(received: Received) -> web.Response:
        number = received.event["data"]["number"]
        started.append(number)
        await asyncio.sleep(0.02)
        return web.Response(status=500 if number == 3 and started.count(3) == 1 else 200)

    receiver.answer = slow
    await scene.endpoint(receiver.url)
    async with scene.stack.worker():
        for job in ("one", "two"):
            await scene.tell(*range(1, 16), job=job)
        await scene.until(lambda found: sum(each["state"] == "delivered" for each in found) >= 28)

    for job in ("one", "two"):
        numbers = [each.event["data"]["number"] for each in receiver.received if each.event["data"]["job_id"] == job]
        firsts = list(dict.fromkeys(numbers))
        assert firsts == list(range(1, 16))


async def test_a_replaced_secret_signs_beside_the_new_one_for_a_day(scene: Scene, receiver: Receiver):
    endpoint_id, old = await scene.endpoint(receiver.url)
    async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
        new = await rotate_secret(session, SEALER, scene.workspace_id, endpoint_id)
    assert new is not None
    async with scene.stack.worker():
        await scene.tell(1)
        (first,) = await receiver.until(1)
        for secret in (old, new):
            Webhook(secret).verify(first.body, first.headers)
        (row,) = await scene.rows("SELECT expires_at FROM webhook_secrets WHERE expires_at IS NOT NULL")
        assert abs(row["expires_at"] - datetime.now(UTC) - timedelta(hours=24)) < timedelta(minutes=1)
        await scene.execute("UPDATE webhook_secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
        await scene.execute("UPDATE webhook_endpoints SET updated_at = now()")
        await scene.tell(2)
        _, second = await receiver.until(2)

    Webhook(new).verify(second.body, second.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(second.body, second.headers)


async def test_what_a_run_could_not_see_at_its_end_is_delivered_by_the_next(scene: Scene, receiver: Receiver):
    """It was told before the last look, in a transaction that commits after the end."""
    endpoint_id, _ = await scene.endpoint(receiver.url)
    async with scene.stack.worker():
        await scene.tell(1)
        await receiver.until(1)
        async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
            await publish(session, scene.workspace_id, "credits.low", {"number": 2})
            first = await scene.workflow(endpoint_id).describe()
            await scene.workflow(endpoint_id).result()
        await receiver.until(2)
        await scene.until_ended()
        assert (await scene.workflow(endpoint_id).describe()).run_id != first.run_id

    assert [each.event["data"]["number"] for each in receiver.received] == [1, 2]
