"""Reconciliation and usage against the emulated Stripe, through the adapter that real ones are read by."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from app.billing.usage import Reporter, close_batches
from app.provider_settings import StripeSettings
from app.providers.adapters.stripe import Stripe
from app.providers.errors import StoredFailure, Transient
from tests.app.billing.charging import charge
from tests.app.billing.reconciling import begun, comparison, finished, reconcile
from tests.app.billing.syncing import Syncing, syncing
from tests.builders import violations
from tests.servers import Database
from tests.stripe_sandbox import (
    BAD_CARD,
    GROWTH,
    METER,
    METER_EVENT,
    MONTH,
    STARTER,
    StripeSandbox,
    running_stripe,
)
from workflows.contracts.usage import Reported, Workspaces

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Scene:
    """A workspace with a customer at the emulated Stripe, whose events never come."""

    syncing: Syncing
    stripe: StripeSandbox

    async def ours(self) -> dict[str, Any]:
        """What we have, in the words of Stripe."""
        subscriptions = await self.syncing.rows("SELECT id, status, price_id FROM billing_subscriptions ORDER BY id")
        invoices = await self.syncing.rows(
            "SELECT id, status, amount_due, amount_paid, attempts FROM billing_invoices ORDER BY id"
        )
        [back] = await self.syncing.rows("SELECT coalesce(sum(amount_refunded), 0)::int FROM billing_invoices")
        return {
            "subscriptions": [tuple(row.values()) for row in subscriptions],
            "invoices": [tuple(row.values()) for row in invoices],
            "refunded": [*back.values()],
        }

    async def theirs(self) -> dict[str, Any]:
        customer_id = self.syncing.customer_id
        return {
            "subscriptions": sorted(
                (each["id"], each["status"], each["items"]["data"][0]["price"]["id"])
                for each in await self.stripe.objects("subscriptions", customer_id)
            ),
            "invoices": sorted(
                (each["id"], each["status"], each["amount_due"], each["amount_paid"], each["attempt_count"])
                for each in await self.stripe.objects("invoices", customer_id)
            ),
            "refunded": [sum(each["amount_refunded"] for each in await self.stripe.objects("charges", customer_id))],
        }

    async def credits(self) -> int:
        [row] = await self.syncing.rows("SELECT balance FROM credit_accounts")
        return int(row["balance"])


@asynccontextmanager
async def emulated(database: Database) -> AsyncIterator[Scene]:
    async with running_stripe() as sandbox, syncing(database) as scene:
        adapter = Stripe(
            StripeSettings(
                base_url=sandbox.base_url, api_key=SecretStr("sk_test_planted"), meter=METER_EVENT, meter_id=METER
            )
        )
        try:
            customer = await adapter.create_customer(scene.workspace_id, "Tests", key="create")
            await sandbox.pay_with(customer.id, "pm_card_visa")
            await scene.execute("UPDATE billing_customers SET id = :id", id=customer.id)
            yield Scene(
                replace(scene, payments=adapter, customer_id=customer.id),  # type: ignore[arg-type]
                sandbox,
            )
        finally:
            await adapter.close()


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Scene]:
    async with emulated(database) as scene:
        yield scene


async def test_after_a_day_whose_events_were_all_lost_one_leaves_no_drift(scene: Scene):
    await scene.stripe.set(drop_share=1.0)
    subscription = await scene.stripe.subscribe(scene.syncing.customer_id, STARTER)
    first = await reconcile(scene.syncing)
    assert first.differences > 0
    assert await scene.ours() == await scene.theirs()
    assert await scene.credits() == 5000

    await scene.stripe.change(subscription.id, GROWTH)
    charged = await scene.stripe.last("charges", scene.syncing.customer_id)
    await scene.stripe.refund(charged["id"])
    await scene.stripe.advance(MONTH, scene.syncing.customer_id)
    await scene.stripe.pay_with(scene.syncing.customer_id, BAD_CARD)
    await scene.stripe.advance(MONTH, scene.syncing.customer_id)
    second = await reconcile(scene.syncing)
    assert (second.differences > 0, second.unfinished) == (True, 0)
    assert await scene.ours() == await scene.theirs()
    assert {status for _, status, _ in (await scene.ours())["subscriptions"]} == {"past_due"}

    for everything in (False, True):
        assert (await reconcile(scene.syncing, everything=everything)).differences == 0
    assert await scene.ours() == await scene.theirs()
    assert await violations(scene.syncing.sessions, scene.syncing.workspace_id) == []


async def test_while_stripe_fails_it_goes_on_from_where_it_got_to(scene: Scene):
    await scene.stripe.set(drop_share=1.0)
    for _ in range(3):
        await scene.stripe.subscribe(scene.syncing.customer_id)
    ref = await begun(scene.syncing)
    await scene.stripe.set(fail_share=0.5, fail_forms="error")
    tries = 0
    while True:
        tries += 1
        try:
            if (await comparison(scene.syncing).go_on(ref)).list is None:
                break
        except Transient:
            assert tries < 100
    await scene.stripe.set(fail_share=0.0)
    found = await finished(scene.syncing, ref)
    assert (found.calls, found.subscriptions, found.invoices) == (4, 3, 3)
    assert await scene.ours() == await scene.theirs()


async def test_a_customer_whose_creation_was_cut_off_is_found_by_what_it_says_of_itself(scene: Scene):
    await scene.stripe.set(drop_share=1.0)
    await scene.stripe.subscribe(scene.syncing.customer_id)
    await scene.syncing.execute("DELETE FROM billing_customers WHERE workspace_id = :workspace_id")
    assert (await reconcile(scene.syncing)).syncs == 1
    assert await scene.ours() == await scene.theirs()


async def report(scene: Scene) -> Reported:
    syncing = scene.syncing
    return await Reporter(syncing.sessions, syncing.platform, syncing.payments).report(Workspaces())


@pytest.mark.parametrize("known", ["error", "accepted"])
@pytest.mark.parametrize("form", ["drop", "stored_error_after", "stored_error"])
async def test_a_batch_of_usage_whose_answer_was_lost_counts_once(scene: Scene, form: str, known: str):
    await charge(scene.syncing, 5)
    await close_batches(scene.syncing.sessions, scene.syncing.platform, Workspaces())
    await scene.stripe.set(fail_share=1.0, fail_forms=form, duplicate_usage=known)
    with pytest.raises(Transient):
        await report(scene)
    await scene.stripe.set(fail_share=0.0, duplicate_usage=known)
    reported = 0
    for _ in range(2):
        try:
            reported += (await report(scene)).reported
        except StoredFailure:
            assert form.startswith("stored")
    assert reported == 1
    [batch] = await scene.syncing.rows("SELECT used_at FROM billing_usage_batches")
    since = batch["used_at"].replace(minute=0, second=0, microsecond=0)
    told = await scene.syncing.payments.reported_usage(scene.syncing.customer_id, since, since + HOUR)
    assert told == 5


async def test_what_was_counted_is_not_sent_again_when_its_identifier_is_forgotten(scene: Scene):
    await charge(scene.syncing, 5)
    await close_batches(scene.syncing.sessions, scene.syncing.platform, Workspaces())
    await scene.stripe.set(fail_share=1.0, fail_forms="drop")
    with pytest.raises(Transient):
        await report(scene)
    await scene.stripe.set(fail_share=0.0)
    await scene.syncing.execute("UPDATE billing_usage_batches SET attempted_at = now() - interval '1 day'")
    before = (await scene.stripe.calls())["POST /v1/billing/meter_events"]
    assert (await report(scene)).reported == 1
    assert (await scene.stripe.calls())["POST /v1/billing/meter_events"] == before
