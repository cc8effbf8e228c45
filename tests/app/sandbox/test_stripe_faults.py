"""Calls of the emulated Stripe that fail: before they had an effect, after it, and for a day."""

import aiohttp
import pytest
import stripe

from tests.stripe_sandbox import StripeSandbox

BROKEN = (stripe.APIError, stripe.APIConnectionError)


async def create(emulated: StripeSandbox, key: str):
    return await emulated.api.v1.customers.create_async({"name": "Ada"}, {"idempotency_key": key})


async def made(emulated: StripeSandbox) -> int:
    return len(await emulated.objects("customers"))


@pytest.mark.parametrize(
    ("form", "error", "effects", "is_stored"),
    [
        ("error", stripe.APIError, 0, False),
        ("reset", stripe.APIConnectionError, 0, False),
        ("stored_error", stripe.APIError, 0, True),
        ("stored_error_after", stripe.APIError, 1, True),
        ("drop", stripe.APIConnectionError, 1, False),
    ],
)
async def test_a_call_fails_before_or_after_its_effect_and_its_key_knows(
    emulated: StripeSandbox, form: str, error: type[stripe.StripeError], effects: int, is_stored: bool
):
    await emulated.set(fail_share=1, fail_forms=form)
    with pytest.raises(error):
        await create(emulated, "one")
    assert await made(emulated) == effects
    await emulated.set(fail_share=0)
    if is_stored:
        with pytest.raises(stripe.APIError) as again:
            await create(emulated, "one")
        assert again.value.http_status == 500
        assert again.value.headers["Idempotent-Replayed"] == "true"
    else:
        await create(emulated, "one")
        assert await made(emulated) == 1
    await create(emulated, "two")
    assert await made(emulated) == 1 + (effects if is_stored else 1)


async def test_a_share_of_the_calls_fails_in_all_forms_and_in_the_same_order_again(emulated: StripeSandbox):
    runs = []
    for run in range(2):
        await emulated.set(fail_share=0.5)
        failed = []
        for number in range(60):
            before = await made(emulated)
            try:
                await create(emulated, f"{run}-{number}")
                failed.append(("fine", 1))
            except BROKEN as error:
                failed.append((type(error).__name__, await made(emulated) - before))
        runs.append(failed)
    assert runs[0] == runs[1]
    assert set(runs[0]) == {
        *(("fine", 1), ("APIError", 0), ("APIError", 1), ("APIConnectionError", 0), ("APIConnectionError", 1)),
    }
    assert 15 < len([each for each, _ in runs[0] if each != "fine"]) < 45


async def test_the_control_interface_never_fails(emulated: StripeSandbox):
    await emulated.set(fail_share=1)
    assert await emulated.objects("customers") == []
    assert len(await emulated.populate(1)) == 1


@pytest.mark.parametrize(
    ("mode", "error", "effects"),
    [
        ("outage", stripe.APIError, 0),
        ("flaky", stripe.APIError, 0),
        ("rate_limited", stripe.RateLimitError, 0),
        ("auth", stripe.AuthenticationError, 0),
        ("malformed", stripe.APIError, 1),
        # Which the SDK does not make an error of its own of.
        ("truncated", aiohttp.ClientPayloadError, 1),
        ("drop_after_effect", stripe.APIConnectionError, 1),
    ],
)
async def test_the_faults_of_all_providers_strike_it_and_what_is_refused_has_no_effect(
    emulated: StripeSandbox, mode: str, error: type[Exception], effects: int
):
    await emulated.control("PUT", "/_faults/stripe", {"mode": mode, "rate": 1})
    with pytest.raises(error):
        await create(emulated, "one")
    assert await made(emulated) == effects


async def test_a_hanging_stripe_has_no_effect_either(emulated: StripeSandbox):
    await emulated.control("PUT", "/_faults/stripe", {"mode": "hang"})
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.1)) as session:
        with pytest.raises(TimeoutError):
            await session.post(f"{emulated.base_url}/v1/customers", headers={"Authorization": "Bearer sk_test_1"})
    assert await made(emulated) == 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/_stripe/advance", {}),
        ("POST", "/_stripe/advance", {"seconds": -1}),
        ("POST", "/_stripe/advance", {"seconds": 1, "customer": "cus_no"}),
        ("POST", "/_stripe/charges/ch_no/dispute", {}),
        ("POST", "/_stripe/disputes/du_no", {"won": True}),
        ("POST", "/_stripe/populate", {"customers": 1, "price": "price_no"}),
        ("POST", "/_stripe/populate", {"customers": 1, "metadata": ["w"]}),
        ("POST", "/_stripe/checkout/cs_test_no", {}),
        ("PUT", "/_stripe/webhook", {"url": "http://127.0.0.1/"}),
        ("GET", "/_stripe/objects/nothing", None),
        ("GET", "/_stripe/nothing", None),
        ("PUT", "/_options/stripe", {"fail_share": 2}),
        ("PUT", "/_options/stripe", {"draft_seconds": -1}),
    ],
)
async def test_what_a_test_asks_for_wrongly_is_refused(emulated: StripeSandbox, method: str, path: str, body: object):
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, emulated.sandbox_url + path, json=body) as answer,
    ):
        assert answer.status in (400, 404)
        assert (await answer.json())["error"]


async def test_it_can_be_emptied(emulated: StripeSandbox):
    await emulated.subscribe(await emulated.customer())
    await emulated.control("DELETE", "/_stripe")
    said = await emulated.control("GET", "/_stripe")
    assert {kind: count for kind, count in said["objects"].items() if count} == {
        "products": 3,
        "prices": 5,
        "meters": 1,
    }
