"""OpenBillingPage, from the row to the page: real PostgreSQL, real Temporal, a payment provider in memory, or the
emulated Stripe."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.billing.pages import get_page
from app.provider_settings import StripeSettings
from app.providers.errors import CredentialRejected, Outage, ProviderError, StoredFailure, Transient
from app.providers.registry import open_payments
from tests.fakes_payments import FakePayments, works
from tests.servers import Database
from tests.stack import open_stack
from tests.stripe_sandbox import API_KEY, STARTER, running_stripe
from tests.time_skipping import skipping_time
from tests.workflows.checkout_scenes import BACK, PORTAL, Asking


@pytest.fixture
async def asking(database: Database, temporal_server: str) -> AsyncIterator[Asking]:
    async with open_stack(database, temporal_server, [], payments=FakePayments()) as stack:
        yield Asking(stack)


async def test_a_checkout_page_opens_for_a_customer_who_is_made_for_it(asking: Asking):
    async with asking.stack.worker():
        page = await asking.ask()
        assert page.status == "open"
        [opened] = asking.payments.pages
        assert (page.url, page.expires_at) == (opened.url, opened.expires_at)
        [call] = asking.payments.made("open_checkout")
        assert call.asked == ("price_starter_monthly", BACK, BACK, str(page.id))
        assert call.key == f"billing-page/{page.id}:open:0"
        assert asking.payments.by_id[str(call.about)].workspace_id == asking.stack.workspace_id


async def test_pages_that_are_asked_for_at_the_same_time_are_of_one_customer(asking: Asking):
    async with asking.stack.worker():
        await asyncio.gather(*(asking.ask() for _ in range(5)))
    assert len(asking.payments.pages) == 5
    assert len(asking.payments.by_id) == 1
    assert len(asking.payments.open_checkouts) == 1


async def test_a_checkout_closes_the_one_before_it(asking: Asking):
    """Who paid on both would have two subscriptions."""
    async with asking.stack.worker():
        first, second = [await asking.ask() for _ in range(2)]
    assert [page for _, page in asking.payments.open_checkouts] == [asking.payments.pages[1].id]
    look = partial(get_page, asking.stack.sessions, asking.stack.workspace_id, "checkout")
    found = [await look(page.id) for page in (first, second)]
    assert [(page.status, page.url) for page in found] == [("expired", None), ("open", second.url)]


async def test_a_page_that_was_asked_for_an_hour_ago_is_not_opened_any_more(asking: Asking):
    page = await asking.ask(wait_seconds=0)
    async with asking.stack.owner.unscoped() as session:
        await session.execute(text("UPDATE billing_pages SET created_at = created_at - interval '1 h'"))
    assert await asking.stack.relayed() == 1
    async with asking.stack.worker():
        await asking.workflow(page).result()
    assert asking.payments.calls == []
    found = await get_page(asking.stack.sessions, asking.stack.workspace_id, "checkout", page.id)
    assert (found.status, found.error) == ("failed", "provider_unavailable")


async def test_a_portal_page_opens_for_the_customer_that_there_is(asking: Asking):
    customer_id = await asking.become_customer()
    async with asking.stack.worker():
        page = await asking.ask(PORTAL)
    assert (page.status, page.expires_at) == ("open", None)
    [call] = asking.payments.made("open_portal")
    assert (call.about, call.asked) == (customer_id, (BACK,))
    assert asking.payments.made("create_customer") == []


async def test_an_answer_that_got_lost_is_asked_for_again_with_the_same_key(asking: Asking):
    errors: list[ProviderError] = [Transient("stripe", "the connection broke")] * 2
    asking.payments.after = lambda call: errors.pop() if errors and call.method != "customers" else None
    async with asking.stack.worker():
        page = await asking.ask()
    assert [each.url for each in asking.payments.pages] == [page.url]
    assert len(asking.payments.by_id) == 1


async def test_a_failure_that_stripe_stored_is_asked_for_again_with_another_key(asking: Asking):
    await asking.become_customer()
    errors: list[ProviderError] = [StoredFailure("stripe", "status 500")]
    asking.payments.before = lambda call: errors.pop() if errors and call.method == "open_portal" else None
    async with asking.stack.worker():
        page = await asking.ask(PORTAL)
    assert page.status == "open"
    assert [str(call.key)[-2:] for call in asking.payments.made("open_portal")] == [":0", ":0", ":1"]


async def test_what_stripe_refuses_is_said_at_once(asking: Asking):
    asking.payments.before = lambda _: CredentialRejected("stripe", "status 401")
    async with asking.stack.worker():
        page = await asking.ask()
    assert (page.status, page.error, page.url) == ("failed", "credential_rejected", None)
    assert len(asking.payments.calls) == 1


async def test_a_stripe_that_stays_away_is_given_up_after_a_minute(database: Database):
    async with (
        skipping_time() as client,
        open_stack(database, "", [], client=client, payments=FakePayments()) as stack,
        stack.worker(),
    ):
        asking = Asking(stack)
        asking.payments.before = lambda _: Outage("stripe", "no connection can be made")
        page = await asking.ask()
        assert (page.status, page.error) == ("failed", "provider_outage")
        assert len(asking.payments.calls) > 3
        # Whoever asks anew is not the worse for it.
        asking.payments.before = works
        assert (await asking.ask()).status == "open"


async def test_nothing_is_opened_for_a_workspace_that_was_deleted_meanwhile(asking: Asking):
    page = await asking.ask(wait_seconds=0)
    await asking.delete_workspace()
    async with asking.stack.worker():
        async with asyncio.timeout(60):
            while True:
                async with asking.stack.sessions.for_workspace(asking.stack.workspace_id) as session:
                    query = text("SELECT status, error FROM billing_pages WHERE id = :id")
                    row = (await session.execute(query, {"id": page.id})).one()
                if row.status != "pending":
                    break
                await asyncio.sleep(0.02)
    assert tuple(row) == ("failed", "not_found")
    assert asking.payments.calls == []


async def test_the_history_holds_ids_and_no_address(asking: Asking):
    async with asking.stack.worker():
        page = await asking.ask()
        handle = asking.workflow(page)
        assert await handle.result() == {"status": "open"}
    history = (await handle.fetch_history()).to_json()
    assert page.url is not None
    assert page.url not in history
    assert BACK not in history


async def test_a_plan_is_bought_on_the_page_that_opens(database: Database, temporal_server: str):
    async with running_stripe() as stripe:
        settings = StripeSettings(base_url=stripe.base_url, api_key=SecretStr(API_KEY))
        async with (
            open_payments(settings) as payments,
            open_stack(database, temporal_server, [], payments=payments) as stack,
            stack.worker(),
        ):
            page = await Asking(stack).ask()
            assert page.url is not None
            assert page.url.startswith(f"{stripe.base_url}/checkout/")
            session = await stripe.last("checkout_sessions")
            assert session["client_reference_id"] == str(page.id)
            await stripe.check_out(session["id"])
            assert payments is not None
            [bought] = (await payments.subscriptions(session["customer"])).items
            assert (bought.price_id, bought.status) == (STARTER, "active")
