"""Events from Stripe: whose signature is good is stored once, and nothing else is."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client.registry import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import text

from app.billing import events
from app.db import Sessions, create_engine
from app.security_log import SecurityEvents
from app.settings import DatabaseSettings
from tests.api import new_tenant, owner_sessions, running_api
from tests.app.billing.stripe_events import (
    OLD_SECRET,
    PATH,
    SECRET,
    SETTINGS,
    add_customer,
    customer_of,
    encoded,
    event,
    headers,
    stored,
)
from tests.servers import Database

LIMIT = 256 * 1024


@dataclass(frozen=True)
class Scene:
    """An API that takes events, and a workspace that is a customer of Stripe's."""

    client: httpx.AsyncClient
    owner: Sessions
    workspace_id: UUID
    customer_id: str

    async def send(self, body: bytes, sent: dict[str, str] | None = None) -> httpx.Response:
        return await self.client.post(PATH, content=body, headers=headers(body) if sent is None else sent)

    async def stored(self, event: dict[str, Any]) -> dict[str, Any]:
        row = await stored(self.owner, event["id"])
        assert row is not None
        return row

    async def customer(self) -> dict[str, Any]:
        return await customer_of(self.owner, self.workspace_id)

    async def events(self) -> int:
        async with self.owner.unscoped() as session:
            return int((await session.execute(text("SELECT count(*) FROM billing_events"))).scalar_one())


@pytest.fixture
async def scene(shared_database: Database) -> AsyncIterator[Scene]:
    tenant = await new_tenant(shared_database, credit=0)
    customer_id = f"cus_{tenant.workspace_id.hex}"
    async with owner_sessions(shared_database) as owner, running_api(shared_database, **SETTINGS) as client:
        async with owner.unscoped() as session:
            await add_customer(session, tenant.workspace_id, customer_id)
        yield Scene(client, owner, tenant.workspace_id, customer_id)


def refusals() -> float:
    """How many events this process has refused."""
    registry = CollectorRegistry()
    registry.register(SecurityEvents())
    return registry.get_sample_value("holdfast_security_events_total", {"kind": "billing.event_refused"}) or 0.0


def code(answer: httpx.Response) -> str:
    found: str = answer.json()["error"]["code"]
    return found


async def test_an_event_is_stored_as_it_came_and_its_customer_is_due(scene: Scene):
    sent = event(scene.customer_id, created=1_795_253_400)
    body = encoded(sent)
    answer = await scene.send(body)
    assert (answer.status_code, answer.json()["data"]) == (200, {"id": sent["id"], "duplicate": False})
    row = await scene.stored(sent)
    assert (row["workspace_id"], row["customer_id"], row["type"], row["state"], row["reason"], bytes(row["body"])) == (
        scene.workspace_id,
        scene.customer_id,
        "customer.subscription.updated",
        "pending",
        None,
        body,
    )
    assert row["created_at"] == datetime.fromtimestamp(1_795_253_400, UTC)
    assert (await scene.customer())["due_at"] is not None


async def test_the_same_event_again_is_answered_and_nothing_follows_from_it(scene: Scene):
    sent = event(scene.customer_id)
    body = encoded(sent)
    await scene.send(body)
    before = await scene.customer()
    answer = await scene.send(body)
    assert (answer.status_code, answer.json()["data"]) == (200, {"id": sent["id"], "duplicate": True})
    assert await scene.customer() == before


async def test_the_same_event_many_times_at_once_is_stored_once(scene: Scene):
    sent = event(scene.customer_id)
    body = encoded(sent)
    answers = await asyncio.gather(*(scene.send(body) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert sorted(answer.json()["data"]["duplicate"] for answer in answers) == [False] + [True] * 19


@pytest.mark.parametrize("expanded", [False, True], ids=["id", "object"])
async def test_the_customer_may_be_expanded(scene: Scene, expanded: bool):
    sent = event({"id": scene.customer_id, "object": "customer"} if expanded else scene.customer_id)
    await scene.send(encoded(sent))
    row = await scene.stored(sent)
    assert row["workspace_id"] == scene.workspace_id


async def test_an_event_about_the_customer_itself_is_about_that_one(scene: Scene):
    sent = event(type="customer.updated", data={"object": {"id": scene.customer_id, "object": "customer"}})
    await scene.send(encoded(sent))
    row = await scene.stored(sent)
    assert (row["workspace_id"], row["state"]) == (scene.workspace_id, "pending")


@pytest.mark.parametrize("expanded", [False, True], ids=["id", "object"])
async def test_a_dispute_which_names_no_customer_is_about_the_one_whose_payment_it_is(scene: Scene, expanded: bool):
    payment_id = f"pi_{scene.workspace_id.hex}"
    async with scene.owner.unscoped() as session:
        await session.execute(
            text("""
                INSERT INTO billing_invoices (workspace_id, id, status, currency, amount_due, amount_paid,
                    amount_refunded, dispute, attempts, payment_ids, created_at)
                VALUES (:id, 'in_1', 'paid', 'usd', 1, 1, 0, 'none', 1, ARRAY['pi_another', :payment_id], now())
            """),
            {"id": scene.workspace_id, "payment_id": payment_id},
        )
    about = {"id": payment_id, "object": "payment_intent"} if expanded else payment_id
    ours, others = (
        event(type="charge.dispute.created", data={"object": {"object": "dispute", "payment_intent": payment}})
        for payment in (about, "pi_of_another_system")
    )
    for each in (ours, others):
        await scene.send(encoded(each))
    row, other = await scene.stored(ours), await scene.stored(others)
    assert (row["workspace_id"], row["state"]) == (scene.workspace_id, "pending")
    assert (await scene.customer())["due_at"] is not None
    assert (other["workspace_id"], other["state"], other["reason"]) == (None, "ignored", "unknown_customer")


async def test_an_event_of_a_customer_that_nobody_knows_is_kept_and_ignored(scene: Scene):
    sent = event("cus_of_another_system")
    answer = await scene.send(encoded(sent))
    row = await scene.stored(sent)
    assert answer.status_code == 200
    assert (row["workspace_id"], row["state"], row["reason"]) == (
        None,
        "ignored",
        "unknown_customer",
    )
    assert (await scene.customer())["due_at"] is None


@pytest.mark.parametrize(
    "data",
    [{"object": {"id": "price_1", "object": "price"}}, {"object": {"customer": 7}}, {"object": None}, None, "text"],
    ids=["price", "number", "nothing", "no-data", "text"],
)
async def test_an_event_about_no_customer_is_kept_and_ignored(scene: Scene, data: object):
    sent = event(data=data)
    assert (await scene.send(encoded(sent))).status_code == 200
    row = await scene.stored(sent)
    assert (row["state"], row["reason"]) == ("ignored", "not_about_a_customer")


async def test_each_secret_is_taken_while_one_is_rolled(scene: Scene):
    for secret in (SECRET, OLD_SECRET):
        body = encoded(event(scene.customer_id))
        assert (await scene.send(body, headers(body, secret=secret))).status_code == 200


async def test_one_good_signature_among_several_is_enough(scene: Scene):
    body = encoded(event(scene.customer_id))
    good = headers(body)["Stripe-Signature"]
    stamp, _, digest = good.partition(",")
    answer = await scene.send(body, {"Stripe-Signature": f"{stamp},v1={'0' * 64},{digest},v0={'1' * 64}"})
    assert answer.status_code == 200


def wrong_headers(body: bytes) -> dict[str, dict[str, str]]:
    good = headers(body)["Stripe-Signature"]
    stamp, _, digest = good.partition(",")
    return {
        "none": {},
        "empty": {"Stripe-Signature": ""},
        "no time": {"Stripe-Signature": digest},
        "two times": {"Stripe-Signature": f"{stamp},{stamp},{digest}"},
        "no number": {"Stripe-Signature": f"t=now,{digest}"},
        "no v1": {"Stripe-Signature": f"{stamp},{digest.replace('v1', 'v0')}"},
        "not hexadecimal": {"Stripe-Signature": f"{stamp},v1={'z' * 64}"},
        "too many": {"Stripe-Signature": f"{stamp}" + f",v1={'0' * 64}" * 11},
        "of another secret": headers(body, secret="whsec_of-somebody-else"),
        "of another time": {"Stripe-Signature": f"t={int(time.time()) - 1},{digest}"},
        "of another body": headers(body + b" "),
    }


@pytest.mark.parametrize("wrong", list(wrong_headers(b"{}")))
async def test_what_is_not_signed_by_stripe_is_refused_and_logged(scene: Scene, wrong: str):
    body = encoded(event(scene.customer_id))
    events_before, refused_before = await scene.events(), refusals()
    answer = await scene.send(body, wrong_headers(body)[wrong])
    assert (answer.status_code, code(answer)) == (400, "signature_invalid")
    assert (await scene.events(), refusals()) == (events_before, refused_before + 1)
    assert (await scene.customer())["due_at"] is None


@pytest.mark.parametrize("seconds_ago", [301, -330], ids=["replayed", "of-the-future"])
async def test_a_good_signature_of_another_time_is_refused(scene: Scene, seconds_ago: float):
    body = encoded(event(scene.customer_id))
    before = await scene.events(), refusals()
    answer = await scene.send(body, headers(body, seconds_ago=seconds_ago))
    assert (answer.status_code, code(answer)) == (400, "signature_expired")
    assert (await scene.events(), refusals()) == (before[0], before[1] + 1)


@pytest.mark.parametrize("seconds_ago", [290, -290], ids=["late", "early"])
async def test_clocks_may_differ_a_little(scene: Scene, seconds_ago: float):
    body = encoded(event(scene.customer_id))
    assert (await scene.send(body, headers(body, seconds_ago=seconds_ago))).status_code == 200


async def test_an_event_of_the_largest_size_is_taken_and_a_larger_one_refused(scene: Scene):
    sent = event(scene.customer_id, padding="")
    sent["padding"] = "x" * (LIMIT - len(encoded(sent)))
    largest = encoded(sent)
    assert len(largest) == LIMIT
    assert (await scene.send(largest)).status_code == 200
    before = await scene.events(), refusals()
    larger = encoded(event(scene.customer_id, padding="x" * LIMIT))
    answer = await scene.send(larger)
    assert (answer.status_code, code(answer)) == (400, "event_too_large")
    assert (await scene.events(), refusals()) == (before[0], before[1] + 1)


async def test_no_more_of_an_oversized_body_is_read_than_an_event_may_have(scene: Scene):
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(10_000):
            taken += 16 * 1024
            yield b"x" * 16 * 1024

    answer = await scene.client.post(PATH, content=endless(), headers=headers(b""))
    assert (answer.status_code, code(answer)) == (400, "event_too_large")
    assert taken < 10_000 * 16 * 1024


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "event_malformed"),
        (b"not json", "event_malformed"),
        (b"[]", "event_malformed"),
        (b"{}", "event_malformed"),
        (b'{"id": "evt_1", "type": "invoice.paid"}', "event_malformed"),
        (b'{"id": 5, "type": "invoice.paid", "created": 1}', "event_malformed"),
        (b'{"id": "evt_1", "type": "", "created": 1}', "event_malformed"),
        (b'{"id": "evt_1", "type": "invoice.paid", "created": true}', "event_malformed"),
        (b'{"id": "evt_1", "type": "invoice.paid", "created": 99999999999999}', "event_malformed"),
        (b'{"id": "evt_\\u0000", "type": "invoice.paid", "created": 1}', "event_malformed"),
        (b'{"id": "evt_\xff", "type": "invoice.paid", "created": 1}', "event_malformed"),
        (json.dumps({"id": "evt_" + "x" * 300, "type": "a", "created": 1}).encode(), "event_malformed"),
        (b'{"id": "evt_1", "object": "v2.core.event", "type": "v1.billing.meter.gone"}', "event_not_supported"),
    ],
    ids=["empty", "text", "list", "nothing", "no-time", "number", "no-type", "boolean", "late", "nul", "latin", "long",
         "thin"],
)  # fmt: skip
async def test_what_is_signed_and_no_event_is_refused(scene: Scene, body: bytes, expected: str):
    stamp = int(time.time())
    digest = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    before = await scene.events(), refusals()
    answer = await scene.send(body, {"Stripe-Signature": f"t={stamp},v1={digest}"})
    assert (answer.status_code, code(answer)) == (400, expected)
    assert (await scene.events(), refusals()) == (before[0], before[1] + 1)


async def test_guesses_count_by_address_and_what_is_signed_does_not(shared_database: Database):
    limits = {"auth": 1, "api": 3, "upload": 1}
    async with running_api(shared_database, **SETTINGS, rate_limits=limits) as client:
        body = encoded(event())
        guesses = [(await client.post(PATH, content=body)).status_code for _ in range(5)]
        signed = [(await client.post(PATH, content=body, headers=headers(body))).status_code for _ in range(5)]
    assert guesses == [400, 400, 400, 429, 429]
    assert signed == [200] * 5


async def test_without_a_secret_no_event_is_taken(shared_database: Database):
    async with running_api(shared_database) as client:
        body = encoded(event())
        answer = await client.post(PATH, content=body, headers=headers(body))
    assert (answer.status_code, code(answer)) == (503, "billing_not_configured")


async def test_while_the_database_is_away_stripe_is_to_send_again(shared_database: Database):
    away = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    async with running_api(shared_database, **SETTINGS, database_url=away) as client:
        body = encoded(event())
        answer = await client.post(PATH, content=body, headers=headers(body))
    assert (answer.status_code, code(answer)) == (503, "unavailable")


async def test_events_of_an_unknown_customer_become_those_of_the_workspace_whose_it_turns_out_to_be(
    scene: Scene, shared_database: Database
):
    tenant = await new_tenant(shared_database, credit=0)
    theirs, others = event("cus_new"), event("cus_never_known")
    for each in (theirs, others):
        await scene.send(encoded(each))
    engine = create_engine(SecretStr(shared_database.app_url), DatabaseSettings(pool_size=1), application="test")
    async with Sessions(engine).for_workspace(tenant.workspace_id) as session:
        await add_customer(session, tenant.workspace_id, "cus_new")
        assert await events.adopt(session, tenant.workspace_id, "cus_new") == 1
        assert await events.adopt(session, tenant.workspace_id, "cus_never_known") == 0
        # Whose it is, is not for the caller to say.
        assert await events.adopt(session, tenant.workspace_id, scene.customer_id) == 0
    await engine.dispose()
    adopted, left = await scene.stored(theirs), await scene.stored(others)
    assert (adopted["workspace_id"], adopted["state"], adopted["reason"]) == (tenant.workspace_id, "pending", None)
    assert (left["workspace_id"], left["state"]) == (None, "ignored")
    assert (await customer_of(scene.owner, tenant.workspace_id))["due_at"] is not None


async def test_old_events_are_deleted_but_for_those_that_still_wait(scene: Scene, shared_database: Database):
    waiting, ignored, young = event(scene.customer_id), event("cus_gone"), event("cus_gone")
    for each in (waiting, ignored, young):
        await scene.send(encoded(each))
    async with scene.owner.unscoped() as session:
        await session.execute(
            text("UPDATE billing_events SET received_at = now() - interval '31 days' WHERE id = ANY(:ids)"),
            {"ids": [waiting["id"], ignored["id"]]},
        )
    engine = create_engine(SecretStr(shared_database.platform_url), DatabaseSettings(pool_size=1), application="test")
    await events.sweep(Sessions(engine))
    await engine.dispose()
    assert [await stored(scene.owner, each["id"]) is not None for each in (waiting, ignored, young)] == [
        True,
        False,
        True,
    ]
