"""Stripe's answers and what they mean: its life emulated, its errors said by a server that says what it is told."""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from app.logging import configure_logging
from app.provider_settings import StripeSettings
from app.providers.adapters.stripe import EVENT_TYPES, LIMIT_BYTES, Stripe
from app.providers.errors import (
    CircuitOpen,
    CredentialRejected,
    InvalidQuery,
    Malformed,
    Missing,
    NotReady,
    Outage,
    ProviderError,
    RateLimited,
    StoredFailure,
    SwitchedOff,
    Transient,
)
from app.providers.metrics import ProviderMetrics
from app.providers.payments import PaymentsApi
from app.providers.registry import open_payments
from app.settings import SettingsError
from tests.providers.stubs import LastWords, answer, serving
from tests.stripe_sandbox import BAD_CARD, DAY, GROWTH, MONTH, STARTER, StripeSandbox, running_stripe

KEY = "sk_test_planted_77ab"
CARD = "4242424242424242"
BACK = "http://127.0.0.1:8000/back"


@asynccontextmanager
async def adapter_of(url: str, **settings: Any) -> AsyncIterator[Stripe]:
    adapter = Stripe(StripeSettings(base_url=url, api_key=SecretStr(KEY), **settings))
    try:
        yield adapter
    finally:
        await adapter.close()


@asynccontextmanager
async def emulated() -> AsyncIterator[tuple[StripeSandbox, Stripe]]:
    async with running_stripe() as sandbox, adapter_of(sandbox.base_url) as adapter:
        yield sandbox, adapter


async def create(payments: PaymentsApi) -> object:
    return await payments.open_portal("cus_1", return_url=BACK, key="key-1")


def refusal(status: int, *headers: str, **error: Any) -> bytes:
    said = {"error": {"message": f"Your card {CARD} was declined for {KEY}", **error}}
    return answer(status, json.dumps(said).encode(), "application/json", *headers)


async def failure(said: bytes, call: Callable[[PaymentsApi], Awaitable[object]] = create) -> ProviderError:
    async with serving(said) as server, adapter_of(server.url) as adapter:
        with pytest.raises(ProviderError) as raised:
            await call(adapter)
        assert len(server.requests) == 1
    shown = "".join(traceback.format_exception(raised.value))
    assert KEY not in shown
    assert CARD not in shown
    return raised.value


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        (refusal(400, type="invalid_request_error", code="parameter_missing", param="mode"), InvalidQuery, "(mode)"),
        (refusal(400, type="idempotency_error"), InvalidQuery, "idempotency_error"),
        (refusal(400, type="invalid_request_error", code="resource_missing", param="customer"), Missing, "customer"),
        (refusal(404, type="invalid_request_error", code="resource_missing", param="id"), Missing, "resource_missing"),
        (refusal(404, type="invalid_request_error"), InvalidQuery, "404"),
        (refusal(401, type="invalid_request_error", code="api_key_expired"), CredentialRejected, "api_key_expired"),
        (refusal(403, type="invalid_request_error"), CredentialRejected, "403"),
        (refusal(402, type="card_error", code="card_declined"), InvalidQuery, "card_declined"),
        (refusal(409, type="idempotency_error", code="idempotency_key_in_use"), NotReady, "idempotency_key_in_use"),
        (refusal(429, type="invalid_request_error", code="lock_timeout"), NotReady, "lock_timeout"),
        (refusal(429, "Retry-After: 7", type="invalid_request_error", code="rate_limit"), RateLimited, "rate_limit"),
        (refusal(424, type="api_error"), Transient, "424"),
        (refusal(500, type="api_error"), Transient, "500"),
        (refusal(500, "Idempotent-Replayed: true", type="api_error"), StoredFailure, "500"),
        (refusal(503, type="api_error"), Outage, "503"),
        (refusal(418, type="api_error"), Malformed, "418"),
    ],
)
async def test_each_error_of_stripe_has_its_meaning_and_quotes_nothing(said: bytes, kind: type, code: str):
    error = await failure(said)
    assert type(error) is kind
    assert code in error.message
    assert error.retry_after == (7 if kind is RateLimited else None)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (answer(500, b"<html>oops</html>", "text/html"), Transient),
        (answer(503, b"<html>oops</html>", "text/html"), Outage),
        (answer(429, b"<html>slow</html>", "text/html"), RateLimited),
        (answer(404, b"<html>nothing</html>", "text/html"), Malformed),
        (answer(401, b"[]"), Malformed),
        (answer(400, b'{"error": 5}'), Malformed),
        (answer(400, b'{"error": {"code": ["x"]}}'), Malformed),
        (answer(302, b"", "text/html", "Location: http://127.0.0.1:1/"), Malformed),
        (answer(200, b"<html>welcome</html>", "text/html"), Malformed),
        (answer(200, b'["object", "list"]'), Malformed),
        (answer(200, b'{"id": "bps_1"}'), Malformed),
        (answer(200, b'{"id": "bps_1", "url": "javascript:alert(1)"}'), Malformed),
        (answer(200, b'{"id": "bps_1", "url"'), Malformed),
        (answer(200, b"[" * 100_000), Malformed),
        (answer(200, b"\xff\xfe"), Malformed),
        (answer(200, b"{}", "application/json", "Stripe-Notice: upgrade now"), Malformed),
        (LastWords(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"), Transient),
        (LastWords(), Transient),
        (LastWords(b"this is no HTTP\r\n\r\n"), Malformed),
    ],
)
async def test_what_is_no_answer_of_stripe_is_never_taken_for_one(said: bytes, kind: type):
    assert type(await failure(said)) is kind


async def test_a_stripe_that_is_not_there_is_an_outage():
    async with serving(answer(200)) as server:
        pass
    async with adapter_of(server.url) as adapter:
        with pytest.raises(Outage):
            await create(adapter)


async def test_an_answer_without_end_is_not_read_to_the_end():
    endless = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b" " * (LIMIT_BYTES + 1)
    assert isinstance(await failure(LastWords(endless)), Malformed)


async def test_a_list_that_goes_on_from_nowhere_is_malformed():
    error = await failure(answer(200, b'{"data": [], "has_more": true}'), lambda payments: payments.customers())
    assert isinstance(error, Malformed)


async def test_a_request_carries_key_version_and_idempotency_key_and_nothing_about_us():
    said = answer(200, b'{"id": "bps_1", "url": "https://stripe.test/p"}')
    async with serving(said) as server, adapter_of(server.url + "/") as adapter:
        await create(adapter)
        await create(adapter)
    for request, body in zip(server.requests, server.bodies, strict=True):
        first, *lines = request.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert first == "POST /v1/billing_portal/sessions HTTP/1.1"
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert headers["Idempotency-Key"] == "key-1"
        assert headers["Stripe-Version"] == "2026-10-28.endive"
        assert headers["User-Agent"].startswith("Holdfast/")
        assert not [name for name in headers if name.startswith("X-Stripe")]
        assert body == b"customer=cus_1&return_url=http%3A%2F%2F127.0.0.1%3A8000%2Fback"


async def test_neither_what_is_sent_nor_what_comes_back_is_logged(capsys: pytest.CaptureFixture[str]):
    configure_logging("DEBUG")
    said = answer(200, b'{"id": "bps_1", "url": "https://stripe.test/p/secret"}')
    async with serving(said) as server, adapter_of(server.url) as adapter:
        await create(adapter)
    await failure(refusal(402, type="card_error", code="card_declined"))
    logged = capsys.readouterr().out
    assert KEY not in logged
    assert "cus_1" not in logged
    assert "secret" not in logged


async def test_an_invoice_that_was_paid_refunded_and_disputed_is_read_with_its_lines_and_payment():
    async with emulated() as (stripe, payments):
        customer = await stripe.customer()
        subscription = await stripe.subscribe(customer)
        [invoice] = (await payments.invoices(customer)).items
        assert (invoice.customer_id, invoice.subscription_id) == (customer, subscription.id)
        assert (invoice.status, invoice.currency, invoice.amount_due, invoice.amount_paid) == (
            "paid",
            "usd",
            4900,
            4900,
        )
        assert invoice.paid_at is not None
        [line] = invoice.lines
        assert (line.price_id, line.subscription_id, line.amount) == (STARTER, subscription.id, 4900)
        assert (line.quantity, line.is_proration) == (1, False)
        assert timedelta(days=28) <= line.period_end - line.period_start <= timedelta(days=31)
        [payment] = (await payments.payments(customer)).items
        assert invoice.payment_ids == (payment.payment_id,)
        assert (payment.amount, payment.refunded, payment.dispute) == (4900, 0, "none")

        await stripe.refund(payment.id, 900)
        dispute = await stripe.dispute(payment.id)
        [payment] = (await payments.payments()).items
        assert (payment.refunded, payment.dispute) == (900, "open")
        await stripe.decide(dispute, won=False)
        [payment] = (await payments.payments(customer, since=datetime.now(UTC) - timedelta(hours=1))).items
        assert payment.dispute == "lost"


@pytest.mark.parametrize("parent", ["subscription_item_details", "invoice_item_details"])
async def test_a_change_of_plan_is_read_as_lines_that_say_so(parent: str):
    async with emulated() as (stripe, payments):
        await stripe.set(proration_parent=parent)
        customer = await stripe.customer()
        subscription = await stripe.subscribe(customer)
        await stripe.change(subscription.id, GROWTH)
        [upgrade, _] = (await payments.invoices(customer)).items
        assert {line.price_id for line in upgrade.lines if line.is_proration} == {STARTER, GROWTH}
        assert min(line.amount for line in upgrade.lines) < 0
        [changed] = (await payments.subscriptions(customer)).items
        assert changed.price_id == GROWTH


async def test_a_payment_that_failed_is_no_payment_and_the_invoice_says_when_it_is_tried_again():
    async with emulated() as (stripe, payments):
        customer = await stripe.customer()
        await stripe.subscribe(customer)
        await stripe.pay_with(customer, BAD_CARD)
        await stripe.advance(MONTH, customer)
        [subscription] = (await payments.subscriptions(customer)).items
        assert subscription.status == "past_due"
        [failed, _] = (await payments.invoices(customer)).items
        assert (failed.status, failed.attempts, failed.amount_paid) == ("open", 1, 0)
        assert failed.next_attempt_at is not None
        assert failed.paid_at is None
        assert len((await payments.payments(customer)).items) == 1


async def test_the_end_of_a_subscription_that_was_cancelled_for_later_is_read():
    async with emulated() as (stripe, payments):
        customer = await stripe.customer()
        subscription = await stripe.subscribe(customer)
        await stripe.api.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
        [later] = (await payments.subscriptions(customer)).items
        assert later.cancel_at_period_end
        assert later.cancel_at == later.period_end
        assert later.canceled_at is not None
        assert later.ended_at is None


async def test_events_name_the_customer_also_those_of_a_dispute():
    async with emulated() as (stripe, payments):
        customer = await stripe.customer()
        await stripe.subscribe(customer)
        [payment] = (await payments.payments(customer)).items
        await stripe.dispute(payment.id)
        events = (await payments.events()).items
        assert {event.customer_id for event in events} == {customer}
        assert {"customer.created", "invoice.paid", "charge.dispute.created"} <= {event.type for event in events}
        assert {event.type for event in events} <= set(EVENT_TYPES)


async def test_a_page_of_many_disputes_is_read_while_a_tenth_of_the_calls_fail():
    async with emulated() as (stripe, adapter):
        await stripe.populate(50)
        for charge in await stripe.objects("charges"):
            await stripe.dispute(charge["id"])
        await stripe.set(fail_share=0.1)
        async with asyncio.timeout(60):
            while True:
                with suppress(Transient):
                    page = await adapter.payments()
                    break
        assert [payment.dispute for payment in page.items] == ["open"] * 50


async def test_a_deleted_customer_is_read_as_one():
    async with emulated() as (stripe, payments):
        customer = await stripe.customer()
        await stripe.api.v1.customers.delete_async(customer)
        assert (await payments.find_customer(customer)).is_deleted
        assert (await payments.customers()).items == []


async def test_an_invoice_of_many_lines_and_payments_is_read_whole():
    def line(number: int) -> dict[str, Any]:
        return {"id": f"il_{number}", "amount": 1, "period": {"start": 0, "end": DAY}}

    def paid(number: int) -> dict[str, Any]:
        return {"id": f"inpay_{number}", "payment": {"type": "payment_intent", "payment_intent": f"pi_{number}"}}

    def part(*data: object, has_more: bool = False) -> dict[str, Any]:
        return {"object": "list", "data": list(data), "has_more": has_more}

    invoice = {
        "id": "in_1",
        "customer": "cus_1",
        "status": "paid",
        "currency": "usd",
        "amount_due": 3,
        "amount_paid": 3,
        "attempt_count": 1,
        "created": 0,
        "status_transitions": {"paid_at": 1},
        "lines": part(line(1), line(2), has_more=True),
        "payments": part(paid(1), has_more=True),
    }
    parts = [part(invoice), part(paid(2)), part(line(3), has_more=True), part(line(4))]
    said = [answer(200, json.dumps(each).encode()) for each in parts]
    async with serving(*said) as server, adapter_of(server.url) as adapter:
        [read] = (await adapter.invoices("cus_1")).items
    assert [each.id for each in read.lines] == ["il_1", "il_2", "il_3", "il_4"]
    assert read.payment_ids == ("pi_1", "pi_2")
    assert [request.split(" ", 2)[1] for request in server.requests[1:]] == [
        "/v1/invoice_payments?invoice=in_1&limit=100&starting_after=inpay_1",
        "/v1/invoices/in_1/lines?limit=100&starting_after=il_2",
        "/v1/invoices/in_1/lines?limit=100&starting_after=il_3",
    ]


@pytest.mark.parametrize("key", [None, SecretStr("")], ids=["none", "empty"])
async def test_without_a_key_there_is_no_payment_provider(key: SecretStr | None):
    async with open_payments(StripeSettings(api_key=key)) as payments:
        assert payments is None


async def test_a_key_that_no_header_can_hold_is_refused_at_the_start():
    with pytest.raises(SettingsError, match="HOLDFAST_PROVIDERS__STRIPE"):
        async with open_payments(StripeSettings(api_key=SecretStr("sk_test\nX-Evil: 1"))):
            pass


async def test_what_is_switched_off_is_not_asked():
    async with open_payments(StripeSettings(api_key=SecretStr(KEY), enabled=False)) as payments:
        assert payments is not None
        with pytest.raises(SwitchedOff):
            await create(payments)


async def test_the_circuit_opens_on_the_evidence_of_three_customers_and_calls_are_counted():
    registry = CollectorRegistry()
    async with serving(answer(503)) as server:
        settings = StripeSettings(base_url=server.url, api_key=SecretStr(KEY))
        async with open_payments(settings, metrics=ProviderMetrics(registry)) as payments:
            assert payments is not None
            for number in (1, 1, 1, 1, 2, 2):
                with pytest.raises(Outage):
                    await payments.find_customer(f"cus_{number}")
            with pytest.raises(Outage):
                await payments.customers()
            with pytest.raises(CircuitOpen):
                await payments.find_customer("cus_4")
    labels = {"provider": "stripe", "outcome": "outage"}
    assert registry.get_sample_value("holdfast_provider_calls_total", labels) == 7


async def test_a_stripe_that_is_silent_is_given_up_after_its_time():
    async with serving(None) as server:
        settings = StripeSettings(base_url=server.url, api_key=SecretStr(KEY), timeout_seconds=0.1)
        async with open_payments(settings) as payments:
            assert payments is not None
            async with asyncio.timeout(30):
                with pytest.raises(Transient, match=r"no answer within 0\.1 s"):
                    await create(payments)
