"""What all calls of the emulated Stripe have in common, seen by the official SDK: keys, errors, lists, idempotency."""

import asyncio

import aiohttp
import pytest
import stripe

from tests.stripe_sandbox import BAD_CARD, GROWTH, STARTER, StripeSandbox, open_stripe

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BEARER = {"Authorization": "Bearer sk_test_1"}


async def raw(emulated: StripeSandbox, method: str, path: str, body: str = "", **headers: str):
    """A call as its bytes go over the wire: status, headers, JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, emulated.base_url + path, data=body, headers={**FORM, **BEARER, **named}) as answer,
    ):
        return answer.status, answer.headers, await answer.json()


async def test_it_sells_what_holdfast_sells(emulated: StripeSandbox):
    prices = await emulated.api.v1.prices.list_async({"limit": 100, "expand": ["data.product"]})
    sold = {each.id: (each.product["name"], each.unit_amount, each.recurring["interval"]) for each in prices.data}
    assert sold == {
        "price_starter_monthly": ("Starter", 4_900, "month"),
        "price_starter_yearly": ("Starter", 49_000, "year"),
        "price_growth_monthly": ("Growth", 19_900, "month"),
        "price_growth_yearly": ("Growth", 199_000, "year"),
        "price_scale_monthly": ("Scale", 79_900, "month"),
    }
    product = await emulated.api.v1.products.create_async({"name": "Setup"})
    once = await emulated.api.v1.prices.create_async({"currency": "usd", "unit_amount": 1, "product": product.id})
    await emulated.api.v1.prices.update_async(once.id, {"active": False})
    assert len((await emulated.api.v1.prices.list_async({"active": True, "limit": 100})).data) == 5


async def test_a_deleted_customer_is_read_back_as_deleted_and_is_in_no_list(emulated: StripeSandbox):
    kept, gone = await emulated.customer(email="a@b.example"), await emulated.customer(email="a@b.example")
    subscription = await emulated.subscribe(gone)
    assert (await emulated.api.v1.customers.delete_async(gone)).deleted
    assert (await emulated.api.v1.customers.retrieve_async(gone)).deleted
    assert (await emulated.api.v1.subscriptions.retrieve_async(subscription.id)).status == "canceled"
    listed = await emulated.api.v1.customers.list_async({"email": "a@b.example"})
    assert [each.id for each in listed.data] == [kept]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await emulated.api.v1.customers.update_async(gone, {"name": "Ada"})
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (404, "resource_missing", "id")


async def test_metadata_is_merged_and_an_empty_value_takes_a_key_away(emulated: StripeSandbox):
    customer = await emulated.customer(metadata={"workspace": "1", "left": "2"})
    changed = await emulated.api.v1.customers.update_async(customer, {"metadata": {"left": "", "more": "3"}})
    assert changed.metadata.to_dict() == {"workspace": "1", "more": "3"}
    with pytest.raises(stripe.InvalidRequestError):
        await emulated.customer(metadata={"k" * 41: "v"})


async def test_lists_are_newest_first_and_paged_by_ids_both_ways(emulated: StripeSandbox):
    made = [await emulated.customer(name=str(number)) for number in range(5)]
    listed = emulated.api.v1.customers.list_async
    first = await listed({"limit": 2})
    assert ([each.id for each in first.data], first.has_more) == ([made[4], made[3]], True)
    second = await listed({"limit": 3, "starting_after": made[3]})
    assert ([each.id for each in second.data], second.has_more) == ([made[2], made[1], made[0]], False)
    before = await listed({"limit": 2, "ending_before": made[1]})
    assert ([each.id for each in before.data], before.has_more) == ([made[3], made[2]], True)
    assert [each.id async for each in (await listed({"limit": 1})).auto_paging_iter()] == made[::-1]
    assert (await listed({"created": {"gte": first.data[0].created + 1}})).data == []
    assert (
        len((await listed({"created": {"gte": first.data[0].created - 9, "lt": first.data[0].created + 9}})).data) == 5
    )
    for wrong in ({"limit": 101}, {"starting_after": "cus_nobody"}, {"colour": "red"}):
        with pytest.raises(stripe.InvalidRequestError):
            await listed(wrong)


async def test_objects_take_the_place_of_their_ids_where_that_is_asked_for(emulated: StripeSandbox):
    subscription = await emulated.subscribe(await emulated.customer(name="Ada"))
    expand = ["customer", "latest_invoice.payments"]
    whole = await emulated.api.v1.subscriptions.retrieve_async(subscription.id, {"expand": expand})
    payment = whole.latest_invoice.payments.data[0]
    assert (whole.customer.name, payment.status, payment.amount_paid) == ("Ada", "paid", 4_900)
    listed = await emulated.api.v1.invoices.list_async({"expand": ["data.payments.data.payment"]})
    assert listed.data[0].payments.data[0].payment.type == "payment_intent"
    plain = await emulated.api.v1.invoices.retrieve_async(whole.latest_invoice.id)
    assert "payments" not in plain
    for wrong in ("colour", "status", "a.b.c.d.e"):
        with pytest.raises(stripe.InvalidRequestError):
            await emulated.api.v1.subscriptions.retrieve_async(subscription.id, {"expand": [wrong]})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "param"),
    [
        ("POST", "/v1/subscriptions", "items[0][price]=price_starter_monthly", 400, "parameter_missing", "customer"),
        ("POST", "/v1/customers", "colour=red", 400, "parameter_unknown", "colour"),
        ("POST", "/v1/customers", "invoice_settings[colour]=red", 400, "parameter_unknown", "invoice_settings[colour]"),
        ("POST", "/v1/subscriptions", "customer=cus_no", 400, "resource_missing", "customer"),
        ("GET", "/v1/customers/cus_no", "", 404, "resource_missing", "id"),
        ("GET", "/v1/customers?limit=0", "", 400, "parameter_invalid_integer", "limit"),
        ("GET", "/v1/nothing", "", 404, None, None),
        ("PUT", "/v1/customers", "", 404, None, None),
    ],
)
async def test_what_is_wrong_is_said_in_stripes_shape(
    emulated: StripeSandbox, method: str, path: str, body: str, status: int, code: str | None, param: str | None
):
    answered, headers, said = await raw(emulated, method, path, body)
    assert (answered, said["error"].get("code"), said["error"].get("param")) == (status, code, param)
    assert said["error"]["type"] == "invalid_request_error"
    assert headers["Request-Id"].startswith("req_")
    assert await emulated.objects("customers") == []


async def test_the_version_that_was_asked_for_is_the_one_that_answers(emulated: StripeSandbox):
    _, headers, _ = await raw(emulated, "GET", "/v1/customers", Stripe_Version="2026-09-30.dahlia")
    assert headers["Stripe-Version"] == "2026-09-30.dahlia"
    _, headers, _ = await raw(emulated, "GET", "/v1/customers")
    assert headers["Stripe-Version"] == "2026-10-28.endive"


@pytest.mark.parametrize(
    ("key", "status"), [("", 401), ("Basic c2tfdGVzdF8xOg==", 200), ("Basic %", 401), ("Bearer pk_test_1", 401),
                        ("Bearer sk_test_bad", 401), ("Bearer sk_test_scoped", 403), ("Bearer rk_test_1", 200)]
)  # fmt: skip
async def test_a_key_goes_by_basic_or_bearer(emulated: StripeSandbox, key: str, status: int):
    answered, _, _ = await raw(emulated, "GET", "/v1/customers", Authorization=key)
    assert answered == status


async def test_the_same_key_has_one_effect_and_says_that_it_repeats_itself(emulated: StripeSandbox):
    first = await raw(emulated, "POST", "/v1/customers", "name=Ada", Idempotency_Key="one")
    again = await raw(emulated, "POST", "/v1/customers", "name=Ada", Idempotency_Key="one")
    assert first[2] == again[2]
    assert "Idempotent-Replayed" not in first[1]
    assert again[1]["Idempotent-Replayed"] == "true"
    assert again[1]["Original-Request"] == first[1]["Request-Id"]
    assert len(await emulated.objects("customers")) == 1


async def test_a_key_belongs_to_the_request_that_it_came_with_first(emulated: StripeSandbox):
    await raw(emulated, "POST", "/v1/customers", "name=Ada", Idempotency_Key="one")
    for path, body in (("/v1/customers", "name=Eve"), ("/v1/products", "name=Ada")):
        status, _, said = await raw(emulated, "POST", path, body, Idempotency_Key="one")
        assert (status, said["error"]["type"]) == (400, "idempotency_error")
    await emulated.control("DELETE", "/_stripe/idempotency")
    assert (await raw(emulated, "POST", "/v1/customers", "name=Eve", Idempotency_Key="one"))[0] == 200


async def test_what_validation_refuses_is_not_remembered_and_what_a_bank_declines_is(emulated: StripeSandbox):
    assert (await raw(emulated, "POST", "/v1/customers", "colour=red", Idempotency_Key="one"))[0] == 400
    assert (await raw(emulated, "POST", "/v1/customers", "name=Ada", Idempotency_Key="one"))[0] == 200
    customer = await emulated.customer(card=BAD_CARD)
    body = f"customer={customer}&items[0][price]={STARTER}&payment_behavior=error_if_incomplete"
    assert (await raw(emulated, "POST", "/v1/subscriptions", body, Idempotency_Key="two"))[0] == 402
    await emulated.pay_with(customer, "pm_card_visa")
    status, headers, said = await raw(emulated, "POST", "/v1/subscriptions", body, Idempotency_Key="two")
    assert (status, headers["Idempotent-Replayed"]) == (402, "true")
    assert (said["error"]["type"], said["error"]["decline_code"]) == ("card_error", "generic_decline")


async def test_a_key_whose_first_answer_is_on_its_way_is_in_use(emulated: StripeSandbox):
    await emulated.set(latency_ms=300)
    first = asyncio.create_task(raw(emulated, "POST", "/v1/customers", "name=Ada", Idempotency_Key="one"))
    async with asyncio.timeout(60):
        while not await emulated.objects("customers"):
            await asyncio.sleep(0.01)
    status, _, said = await raw(emulated, "POST", "/v1/customers", "name=Ada", Idempotency_Key="one")
    assert (status, said["error"]["code"]) == (409, "idempotency_key_in_use")
    assert (await first)[0] == 200


async def test_a_limit_by_the_second_answers_429(emulated: StripeSandbox):
    await emulated.set(requests_per_second=1)
    statuses = [(await raw(emulated, "GET", "/v1/customers"))[0] for _ in range(2)]
    assert statuses == [200, 429]


async def test_calls_are_counted_by_method_and_path(emulated: StripeSandbox):
    customer = await emulated.customer()
    await emulated.subscribe(customer, GROWTH)
    await emulated.api.v1.customers.retrieve_async(customer)
    counted = {"POST /v1/customers": 1, "POST /v1/subscriptions": 1, "GET /v1/customers/{id}": 1}
    assert await emulated.calls() == counted


async def test_what_was_used_is_added_up_once_by_identifier_and_hour(emulated: StripeSandbox):
    customer = await emulated.customer()
    hour = (await emulated.advance(1)) // 3_600 * 3_600

    async def report(value: int, identifier: str, at: int) -> None:
        payload = {"stripe_customer_id": customer, "value": str(value)}
        await emulated.api.v1.billing.meter_events.create_async(
            {"event_name": "holdfast_credits", "payload": payload, "identifier": identifier, "timestamp": at}
        )

    await report(5, "a", hour)
    await report(7, "b", hour - 3_600)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await report(5, "a", hour)
    assert refused.value.param == "identifier"
    await emulated.set(duplicate_usage="accepted")
    await report(5, "a", hour)
    span = {"customer": customer, "start_time": hour - 7_200, "end_time": hour + 3_600}
    meter = emulated.api.v1.billing.meters.event_summaries
    by_hour = await meter.list_async("mtr_holdfast_credits", {**span, "value_grouping_window": "hour"})
    assert [(each.start_time, each.aggregated_value) for each in by_hour.data] == [(hour, 5.0), (hour - 3_600, 7.0)]
    assert [each.aggregated_value for each in (await meter.list_async("mtr_holdfast_credits", span)).data] == [12.0]
    with pytest.raises(stripe.InvalidRequestError):
        await report(1, "c", hour - 36 * 86_400)


async def test_a_crowd_is_made_and_nobody_is_told(emulated: StripeSandbox):
    ids = await emulated.populate(300, periods=2, metadata=[{"workspace_id": "w1"}, {"workspace_id": "w2"}])
    assert len(ids) == 300
    assert (await emulated.api.v1.customers.retrieve_async(ids[1])).metadata.to_dict() == {"workspace_id": "w2"}
    invoices = await emulated.objects("invoices", ids[0])
    assert [each["billing_reason"] for each in invoices] == ["subscription_create", "subscription_cycle"]
    assert await emulated.objects("events") == []


async def test_one_sandbox_serves_several_clients(emulated: StripeSandbox):
    customer = await emulated.customer()
    async with open_stripe(emulated.sandbox_url, "rk_test_other") as other:
        assert (await other.api.v1.customers.retrieve_async(customer)).id == customer
