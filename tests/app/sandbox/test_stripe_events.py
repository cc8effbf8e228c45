"""Events of the emulated Stripe: what they say, and how they reach who wants them, or do not."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import stripe
from aiohttp import web

from tests.stripe_sandbox import SECRET, StripeSandbox


class Receiver:
    """Keeps what came. `answers` decides the status of each."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []
        self.answers: Callable[[int], int] = lambda _: 200

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    async def receive(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.signatures.append(request.headers["Stripe-Signature"])
        return web.Response(status=self.answers(len(self.bodies)))


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[Receiver]:
    application = web.Application()
    application.router.add_post("/", receiver.receive)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        receiver.url = f"http://{host}:{port}/"
        yield receiver
    finally:
        await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening(Receiver()) as opened:
        yield opened


async def test_what_is_sent_is_signed_as_the_sdk_checks_it(emulated: StripeSandbox, receiver: Receiver):
    endpoint = await emulated.api.v1.webhook_endpoints.create_async({"url": receiver.url, "enabled_events": ["*"]})
    customer = await emulated.customer(name="Ada")
    await emulated.settle()
    body, signature = receiver.bodies[0].decode(), receiver.signatures[0]
    assert stripe.WebhookSignature.verify_header(body, signature, endpoint.secret, 300)
    event = stripe.Webhook.construct_event(body, signature, endpoint.secret)  # type: ignore[no-untyped-call]
    assert (event.type, event.data.object.id, event.livemode) == ("customer.created", customer, False)
    assert event.request.id.startswith("req_")
    assert event.api_version == "2026-10-28.endive"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body, signature, "whsec_other", 300)


async def test_the_secret_of_an_endpoint_is_told_once(emulated: StripeSandbox, receiver: Receiver):
    endpoints = emulated.api.v1.webhook_endpoints
    made = await endpoints.create_async({"url": receiver.url, "enabled_events": ["customer.created"]})
    assert made.secret.startswith("whsec_")
    assert "secret" not in await endpoints.retrieve_async(made.id)
    assert [each.id for each in (await endpoints.list_async()).data] == [made.id]


async def test_an_endpoint_gets_what_it_asked_for_while_it_is_enabled(emulated: StripeSandbox, receiver: Receiver):
    endpoints = emulated.api.v1.webhook_endpoints
    wanted = ["customer.subscription.*", "invoice.paid"]
    made = await endpoints.create_async({"url": receiver.url, "enabled_events": wanted})
    await emulated.subscribe(await emulated.customer())
    await emulated.settle()
    assert Counter(each["type"] for each in receiver.events) == {
        "customer.subscription.created": 1, "customer.subscription.updated": 1, "invoice.paid": 1,
    }  # fmt: skip
    await endpoints.update_async(made.id, {"disabled": True})
    await emulated.subscribe(await emulated.customer())
    await endpoints.update_async(made.id, {"disabled": False})
    await endpoints.delete_async(made.id)
    await emulated.subscribe(await emulated.customer())
    await emulated.settle()
    assert len(receiver.bodies) == 3


async def test_an_update_says_what_was_before(emulated: StripeSandbox):
    customer = await emulated.customer(name="Ada")
    await emulated.api.v1.customers.update_async(customer, {"name": "Eve"})
    await emulated.api.v1.customers.update_async(customer, {"name": "Eve"})
    events = await emulated.api.v1.events.list_async({"type": "customer.updated"})
    assert [each.data.previous_attributes.to_dict() for each in events.data] == [{"name": "Ada"}]
    assert events.data[0].data.object.name == "Eve"


async def test_events_are_listed_by_type_and_time_whether_they_arrived_or_not(emulated: StripeSandbox):
    await emulated.subscribe(await emulated.customer())
    listed = emulated.api.v1.events.list_async
    several = await listed({"types": ["invoice.paid", "customer.created"]})
    assert [each.type for each in several.data] == ["invoice.paid", "customer.created"]
    assert (await emulated.api.v1.events.retrieve_async(several.data[0].id)).type == "invoice.paid"
    assert [each.type for each in (await listed({"type": "customer.subscription.*"})).data] == [
        *("customer.subscription.updated", "customer.subscription.created"),
    ]
    assert (await listed({"created": {"gt": several.data[0].created + 60}})).data == []


async def test_the_life_of_an_invoice_is_told(emulated: StripeSandbox):
    customer = await emulated.customer()
    await emulated.subscribe(customer)
    charge = (await emulated.last("charges", customer))["id"]
    await emulated.refund(charge)
    await emulated.decide(await emulated.dispute(charge), won=False)
    told = [each["type"] for each in await emulated.objects("events")]
    assert [each for each in told if not each.startswith("customer")] == [
        *("invoice.created", "invoice.finalized", "payment_intent.created", "charge.succeeded"),
        *("payment_intent.succeeded", "invoice.paid", "invoice.payment_succeeded"),
        *("refund.created", "charge.refunded"),
        *("charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.closed"),
    ]


async def test_what_is_not_taken_is_sent_again_with_a_new_signature(emulated: StripeSandbox, receiver: Receiver):
    receiver.answers = lambda number: (500, 302, 200)[number - 1]
    await emulated.set(retry_ms=1)
    await emulated.webhook(receiver.url)
    await emulated.customer()
    await emulated.settle()
    assert [each["outcome"] for each in (await emulated.control("GET", "/_stripe/deliveries"))["sent"]] == [
        500,
        302,
        200,
    ]
    assert len({each["id"] for each in receiver.events}) == 1
    assert all(
        stripe.WebhookSignature.verify_header(body.decode(), signature, SECRET, 300)
        for body, signature in zip(receiver.bodies, receiver.signatures, strict=True)
    )


async def test_somebody_who_is_not_there_is_given_up(emulated: StripeSandbox):
    await emulated.set(retry_ms=1, tries=2)
    await emulated.webhook("http://127.0.0.1:9/")
    await emulated.customer()
    await emulated.settle()
    assert [each["outcome"] for each in (await emulated.control("GET", "/_stripe/deliveries"))["sent"]] == [0, 0]


async def test_events_are_lost_doubled_and_swapped_as_the_switches_say(emulated: StripeSandbox, receiver: Receiver):
    await emulated.webhook(receiver.url)
    await emulated.set(drop_share=0.3, duplicate_share=0.3, reorder_share=0.3, reorder_ms=100, delay_to_ms=5)
    for _ in range(40):
        await emulated.customer()
    await emulated.settle()
    told = [each["id"] for each in await emulated.objects("events")]
    counts = Counter(each["id"] for each in receiver.events)
    assert 18 <= len(counts) <= 36
    assert 3 <= sum(count == 2 for count in counts.values()) <= 25
    assert max(counts.values()) == 2
    first_seen = list(dict.fromkeys(each["id"] for each in receiver.events))
    assert first_seen != sorted(first_seen, key=told.index)


async def test_the_same_switches_strike_the_same_events_again(emulated: StripeSandbox, receiver: Receiver):
    await emulated.webhook(receiver.url)
    runs = []
    for _ in range(2):
        await emulated.set(drop_share=0.5)
        before = len(await emulated.objects("events"))
        for _ in range(20):
            await emulated.customer()
        await emulated.settle()
        told = [each["id"] for each in await emulated.objects("events")][before:]
        came = {each["id"] for each in receiver.events}
        runs.append([identifier in came for identifier in told])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 2


async def test_a_lost_event_can_be_sent_after_all(emulated: StripeSandbox, receiver: Receiver):
    await emulated.webhook(receiver.url)
    await emulated.set(drop_share=1)
    await emulated.customer()
    event = (await emulated.last("events"))["id"]
    await emulated.control("POST", f"/_stripe/events/{event}/send")
    await emulated.settle()
    assert [each["id"] for each in receiver.events] == [event]


async def test_what_happens_by_itself_has_no_request(emulated: StripeSandbox):
    customer = await emulated.customer()
    await emulated.subscribe(customer)
    await emulated.advance(32 * 86_400, customer)
    assert (await emulated.last("events"))["request"] == {"id": None, "idempotency_key": None}
