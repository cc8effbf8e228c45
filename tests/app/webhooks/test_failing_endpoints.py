"""An endpoint that fails costs little, delays nobody, and is disabled in the end."""

import asyncio
import email
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.policy import default
from pathlib import Path

import pytest
from aiohttp import web

from app.db import new_id
from app.outbox.waker import Waker
from app.settings import MailSettings, WebhookSettings
from app.webhooks.service import recover, redeliver
from app.webhooks.wake import DueEndpoints
from tests.app.webhooks.receiver import Received, Receiver, answering, taken
from tests.app.webhooks.scene import Scene, opened
from tests.people import new_member
from tests.servers import Database


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
async def scene(database: Database, temporal_server: str, mails: Path) -> AsyncIterator[Scene]:
    async with opened(database, temporal_server, mail=MailSettings(directory=mails)) as scene:
        yield scene


async def until_disabled(scene: Scene, mails: Path) -> email.message.EmailMessage:
    """The mail that says so."""
    async with asyncio.timeout(60):
        while not (written := list(mails.glob("*.eml"))):
            await asyncio.sleep(0.02)
    await scene.until_ended()
    (path,) = written
    return email.message_from_bytes(path.read_bytes(), policy=default)


async def test_a_dead_endpoint_gets_a_few_calls_and_then_a_probe_after_each_pause(scene: Scene, receiver: Receiver):
    receiver.answer = answering(503)
    endpoint_id, _ = await scene.endpoint(receiver.url)
    async with scene.stack.worker():
        await scene.tell(*range(200))
        await scene.until(lambda found: any(each["claimed_at"] for each in found))
        await scene.until_attempted(5)
        async with asyncio.timeout(60):
            while (standing := await scene.standing(endpoint_id))["paused_until"] is None:
                await asyncio.sleep(0.02)
        # Those that were under way with the fifth may have ended after it.
        async with asyncio.timeout(60):
            while (standing := await scene.standing(endpoint_id))["watched_until"] is not None:
                await asyncio.sleep(0.02)
        first = len(receiver.received)
        assert 5 <= first <= 5 + 10
        assert standing["failures"] == first == len(await scene.attempts())
        pause = standing["paused_until"] - datetime.now(UTC)
        assert timedelta(seconds=20) < pause <= timedelta(seconds=30)

        for probes in (1, 2):
            await scene.execute(
                "UPDATE webhook_endpoints SET paused_until = NULL, failing_since = now() - interval '4 minutes'"
            )
            await scene.execute("UPDATE webhook_deliveries SET claimed_at = NULL WHERE state = 'pending'")
            await receiver.until(first + probes)
            async with asyncio.timeout(60):
                while (standing := await scene.standing(endpoint_id))["paused_until"] is None:
                    await asyncio.sleep(0.02)
            assert len(receiver.received) == first + probes
        # Half of the time for which it has failed.
        pause = standing["paused_until"] - datetime.now(UTC)
        assert timedelta(seconds=100) < pause < timedelta(seconds=140)

        receiver.answer = taken
        await scene.make_due()
        await scene.until_ended()
    assert len({each["event_id"] for each in await scene.deliveries()}) == 200
    standing = await scene.standing(endpoint_id)
    assert (standing["failures"], standing["failing_since"], standing["paused_until"]) == (0, None, None)


async def test_a_hanging_endpoint_delays_no_other(scene: Scene, receiver: Receiver):
    async def hangs(received: Received) -> web.Response:
        if received.path == "/hanging":
            await asyncio.sleep(60)
        return web.Response()

    receiver.answer = hangs
    for path in ("/hanging", "/well"):
        await scene.endpoint(f"{receiver.url}{path}")
    async with scene.stack.worker():
        await scene.tell(*range(50))
        await scene.until(lambda found: sum(each["state"] == "delivered" for each in found) == 50, seconds=10)
        # The limit of two seconds has passed for none of the others by then.
        assert sum(each.path == "/hanging" for each in receiver.received) <= 10
        await scene.until_attempted(50 + 5)
        attempts = [each for each in await scene.attempts() if each["error"]]
    assert {each["error"] for each in attempts} == {"timeout"}
    assert all(1900 <= each["milliseconds"] < 4000 for each in attempts)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_obeyed_by_all_deliveries_of_the_endpoint(scene: Scene, receiver: Receiver, status: int):
    receiver.answer = answering(status, **{"Retry-After": "600"})
    endpoint_id, _ = await scene.endpoint(receiver.url)
    async with scene.stack.worker():
        await scene.tell(1)
        await scene.until(lambda found: found[0]["attempts"] == 1)
        (delivery,) = await scene.deliveries()
        wait = delivery["next_attempt_at"] - delivery["claimed_at"]
        assert timedelta(seconds=599) < wait <= timedelta(seconds=601)
        paused = (await scene.standing(endpoint_id))["paused_until"] - datetime.now(UTC)
        assert timedelta(seconds=580) < paused <= timedelta(seconds=600)
        # A new one waits as well.
        await scene.tell(2)
        resources = scene.stack.resources
        waker = Waker(DueEndpoints({}), resources.platform_sessions, resources.temporal, resources.settings.temporal)
        assert await waker.wake_waiting() == 0
        assert len(receiver.received) == 1
        receiver.answer = taken
        await scene.make_due()
        await scene.until_ended()


async def test_an_absurd_retry_after_is_bounded(scene: Scene, receiver: Receiver):
    receiver.answer = answering(429, **{"Retry-After": "99999999"})
    endpoint_id, _ = await scene.endpoint(receiver.url)
    async with scene.stack.worker():
        await scene.tell(1)
        await scene.until(lambda found: found[0]["attempts"] == 1)
        paused = (await scene.standing(endpoint_id))["paused_until"] - datetime.now(UTC)
    assert paused <= timedelta(hours=24)


async def test_an_endpoint_that_is_gone_is_disabled_and_its_owners_are_told(
    scene: Scene, receiver: Receiver, mails: Path, database: Database
):
    owner = await new_member(database, scene.workspace_id, "owner")
    await new_member(database, scene.workspace_id, "admin")
    receiver.answer = answering(410)
    endpoint_id, _ = await scene.endpoint(f"{receiver.url}/secret-path")
    async with scene.stack.worker():
        await scene.tell(*range(30), job="one")
        mail = await until_disabled(scene, mails)
        await scene.tell(100)
        await scene.workflow(endpoint_id).result()

    standing = await scene.standing(endpoint_id)
    assert (standing["enabled"], standing["disabled_reason"]) == (False, "gone")
    assert standing["owners_told_at"] is not None
    deliveries = await scene.deliveries()
    assert len(deliveries) == 30, "nothing is told to an endpoint that is disabled"
    assert {(each["state"], each["error"]) for each in deliveries} == {
        ("failed", "gone"),
        ("failed", "endpoint_disabled"),
    }
    assert mail["To"] == owner.email
    text = mail.get_body(("plain",)).get_content()
    assert "410" in text
    assert "secret-path" not in text
    (entry,) = await scene.rows("SELECT * FROM audit_entries WHERE action = 'webhook.disable'")
    assert (entry["actor_type"], entry["target_id"]) == ("system", str(endpoint_id))
    letters = await scene.rows("SELECT reason FROM dead_letters WHERE process = 'webhook'")
    assert sorted(each["reason"] for each in letters) == sorted(each["error"] for each in deliveries)


async def test_an_endpoint_that_has_failed_for_five_days_is_disabled(
    scene: Scene, receiver: Receiver, mails: Path, database: Database
):
    await new_member(database, scene.workspace_id, "owner")
    receiver.answer = answering(500)
    endpoint_id, _ = await scene.endpoint(receiver.url)
    async with scene.stack.worker():
        await scene.tell(1)
        await scene.until(lambda found: found[0]["attempts"] == 1)
        await scene.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '4 days 23 hours'")
        await scene.tell(2)
        await scene.until_attempted(2)
        assert (await scene.standing(endpoint_id))["enabled"]
        await scene.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '5 days 1 minute'")
        await scene.tell(3)
        mail = await until_disabled(scene, mails)
    assert "5 days" in mail.get_body(("plain",)).get_content()
    assert (await scene.standing(endpoint_id))["disabled_reason"] == "failing"


async def test_what_failed_is_redelivered_and_recovered(scene: Scene, receiver: Receiver):
    receiver.answer = answering(500)
    endpoint_id, _ = await scene.endpoint(receiver.url)
    workspace_id = scene.workspace_id
    async with scene.stack.worker():
        await scene.tell(*range(4), job="one")
        await scene.execute("UPDATE webhook_deliveries SET attempts = 9")
        deliveries = await scene.until_ended()
        assert {(each["state"], each["attempts"]) for each in deliveries} == {("failed", 10)}
        # Failures in a row open the circuit for those behind it, were it not lifted.
        await scene.execute("UPDATE webhook_endpoints SET failures = 9, paused_until = now() + interval '1 hour'")
        receiver.answer = taken
        first = len(receiver.received)
        async with scene.stack.sessions.for_workspace(workspace_id) as session:
            assert await redeliver(session, workspace_id, endpoint_id, deliveries[3]["id"])
            assert not await redeliver(session, workspace_id, endpoint_id, new_id())
        await scene.until(lambda found: found[3]["state"] == "delivered")
        since = deliveries[1]["created_at"]
        async with scene.stack.sessions.for_workspace(workspace_id) as session:
            recovered = await recover(
                session, workspace_id, endpoint_id, since=since, after=deliveries[0]["id"], limit=100
            )
        assert set(recovered) == {deliveries[1]["id"], deliveries[2]["id"]}
        await scene.until(lambda found: sum(each["state"] == "delivered" for each in found) == 3)

    assert [each.event["data"]["number"] for each in receiver.received[first:]] == [3, 1, 2]
    ids = {each.event["data"]["number"]: each.event_id for each in receiver.received[:first]}
    assert all(ids[each.event["data"]["number"]] == each.event_id for each in receiver.received[first:])
    letters = await scene.rows("SELECT state FROM dead_letters WHERE process = 'webhook' ORDER BY payload_id")
    assert [each["state"] for each in letters].count("open") == 1


async def test_an_address_inside_is_never_connected_to(database: Database, temporal_server: str, receiver: Receiver):
    """The endpoint may have been made before the setting was changed, or its name may lead elsewhere since."""
    async with opened(database, temporal_server, webhooks=WebhookSettings()) as scene:
        await scene.endpoint(receiver.url)
        await scene.endpoint(receiver.url.replace("http:", "https:"))
        async with scene.stack.worker():
            await scene.tell(1)
            attempts = await scene.until_attempted(2)
    assert [each["error"] for each in attempts] == ["address_refused"] * 2
    assert receiver.received == []
