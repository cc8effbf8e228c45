"""Checkout and portal: by the API, by a test, and by a person who presses the buttons."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import stripe

from tests.stripe_sandbox import BAD_CARD, GOOD_CARD, GROWTH, MONTH, STARTER, StripeSandbox

HOUR = 3_600


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def checkout(emulated: StripeSandbox, customer: str | None = None, **more: Any) -> Any:
    given: Any = {
        "mode": "subscription",
        "line_items": [{"price": STARTER, "quantity": 1}],
        "success_url": "http://127.0.0.1:1/done?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1:1/back",
        "client_reference_id": "workspace-1",
        **more,
    }
    return await emulated.api.v1.checkout.sessions.create_async(given | ({"customer": customer} if customer else {}))


async def press(browser: aiohttp.ClientSession, url: str, **form: str) -> tuple[int, str, str]:
    async with browser.post(url, data=form, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location", ""), await answer.text()


async def test_a_person_pays_on_the_page(emulated: StripeSandbox, browser: aiohttp.ClientSession):
    customer = await emulated.customer(card=None)
    session = await checkout(emulated, customer, subscription_data={"metadata": {"workspace_id": "w"}})
    assert session.url.startswith(f"{emulated.base_url}/checkout/")
    async with browser.get(session.url) as page:
        assert page.status == 200
        assert "49.00 USD" in await page.text()
    assert await press(browser, session.url, card=GOOD_CARD) == (
        303,
        f"http://127.0.0.1:1/done?session={session.id}",
        "",
    )
    done = await emulated.api.v1.checkout.sessions.retrieve_async(session.id)
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    bought = await emulated.api.v1.subscriptions.retrieve_async(done.subscription)
    assert (bought.status, bought.customer, bought.metadata.workspace_id) == ("active", customer, "w")
    assert (await emulated.last("events"))["type"] == "checkout.session.completed"
    assert (await press(browser, session.url, card=GOOD_CARD))[0] == 200
    assert len(await emulated.objects("subscriptions")) == 1


async def test_a_declined_card_leaves_the_page_open(emulated: StripeSandbox, browser: aiohttp.ClientSession):
    session = await checkout(emulated, await emulated.customer(card=None))
    status, _, page = await press(browser, session.url, card=BAD_CARD)
    assert (status, "declined" in page) == (200, True)
    assert (await emulated.api.v1.checkout.sessions.retrieve_async(session.id)).status == "open"
    assert (await emulated.check_out(session.id))["status"] == "complete"


async def test_a_checkout_makes_its_customer_where_none_is_named(emulated: StripeSandbox):
    session = await checkout(emulated, customer_email="ada@b.example")
    done = await emulated.check_out(session.id)
    assert (await emulated.api.v1.customers.retrieve_async(done["customer"])).email == "ada@b.example"
    listed = await emulated.api.v1.checkout.sessions.list_async({"customer": done["customer"]})
    assert [each.id for each in listed.data] == [session.id]


async def test_a_checkout_expires_after_a_day_or_when_it_is_told_to(emulated: StripeSandbox):
    customer = await emulated.customer()
    first, second = await checkout(emulated, customer), await checkout(emulated, customer)
    sessions = emulated.api.v1.checkout.sessions
    assert (await sessions.expire_async(first.id)).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        await sessions.expire_async(first.id)
    await emulated.advance(24 * HOUR, customer)
    assert (await sessions.retrieve_async(second.id)).status == "expired"
    assert [each["type"] for each in (await emulated.objects("events"))[-2:]] == ["checkout.session.expired"] * 2


async def test_a_checkout_knows_what_is_bought(emulated: StripeSandbox):
    session = await checkout(emulated)
    items = await emulated.api.v1.checkout.sessions.line_items.list_async(session.id)
    assert [(each.price.id, each.amount_total) for each in items.data] == [(STARTER, 4_900)]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await checkout(emulated, line_items=[{"price": "price_no"}])
    assert refused.value.param == "line_items[0][price]"


async def test_a_person_changes_stops_and_resumes_in_the_portal(
    emulated: StripeSandbox, browser: aiohttp.ClientSession
):
    customer = await emulated.customer()
    bought = await emulated.subscribe(customer)
    portal = await emulated.api.v1.billing_portal.sessions.create_async(
        {"customer": customer, "return_url": "http://127.0.0.1:1/back"}
    )
    async with browser.get(portal.url) as page:
        text = await page.text()
    assert STARTER in text
    assert GROWTH in text
    retrieve = emulated.api.v1.subscriptions.retrieve_async
    assert (await press(browser, portal.url, subscription=bought.id, price=GROWTH))[:2] == (303, portal.url)
    assert (await retrieve(bought.id))["items"]["data"][0].price.id == GROWTH
    assert (await emulated.last("invoices", customer))["billing_reason"] == "subscription_update"
    await press(browser, portal.url, subscription=bought.id, price=STARTER)
    assert (await retrieve(bought.id))["items"]["data"][0].price.id == GROWTH
    await emulated.advance(MONTH, customer)
    assert (await retrieve(bought.id))["items"]["data"][0].price.id == STARTER
    assert (await emulated.last("invoices", customer))["total"] == 4_900
    await press(browser, portal.url, subscription=bought.id, ends="yes")
    assert (await retrieve(bought.id)).cancel_at_period_end
    await press(browser, portal.url, subscription=bought.id, ends="no")
    assert not (await retrieve(bought.id)).cancel_at_period_end


async def test_a_person_pays_what_was_not_paid(emulated: StripeSandbox, browser: aiohttp.ClientSession):
    customer = await emulated.customer(card=BAD_CARD)
    await emulated.subscribe(customer)
    invoice = await emulated.last("invoices", customer)
    status, _, page = await press(browser, invoice["hosted_invoice_url"], card=BAD_CARD)
    assert (status, "declined" in page) == (200, True)
    assert (await press(browser, invoice["hosted_invoice_url"], card=GOOD_CARD))[0] == 303
    assert (await emulated.last("subscriptions", customer))["status"] == "active"


async def test_nobody_elses_subscription_is_in_a_portal(emulated: StripeSandbox, browser: aiohttp.ClientSession):
    mine, other = await emulated.customer(), await emulated.customer()
    theirs = await emulated.subscribe(other)
    portal = await emulated.api.v1.billing_portal.sessions.create_async({"customer": mine})
    await press(browser, portal.url, subscription=theirs.id, price=GROWTH)
    assert (await emulated.api.v1.subscriptions.retrieve_async(theirs.id))["items"]["data"][0].price.id == STARTER


async def test_a_page_shows_text_as_text_and_redirects_with_one_header(
    emulated: StripeSandbox, browser: aiohttp.ClientSession
):
    hostile = '"><script>alert(1)</script>'
    session = await checkout(
        emulated, cancel_url=f"http://a.example/{hostile}", success_url="http://a\r\nSet-Cookie: x"
    )
    async with browser.get(session.url) as page:
        assert "<script>" not in await page.text()
    async with browser.post(session.url, data={"card": GOOD_CARD}, allow_redirects=False) as answer:
        assert "Set-Cookie" not in answer.headers
    async with browser.get(f"{emulated.base_url}/checkout/nothing") as page:
        assert page.status == 404
