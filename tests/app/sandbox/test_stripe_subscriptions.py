"""The life of a subscription in the emulated Stripe: what it costs when, and what becomes of it."""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.stripe_sandbox import (
    BAD_CARD,
    DAY,
    GOOD_CARD,
    GROWTH,
    GROWTH_YEARLY,
    MONTH,
    STARTER,
    STARTER_YEARLY,
    StripeSandbox,
)

HOUR = 3_600


async def subscription(emulated: StripeSandbox, identifier: str) -> Any:
    return await emulated.api.v1.subscriptions.retrieve_async(identifier)


async def bills(emulated: StripeSandbox, customer: str) -> list[tuple[str, int, str]]:
    """Why, how much, and what became of it, oldest first."""
    invoices = await emulated.objects("invoices", customer)
    return [(each["billing_reason"], each["total"], each["status"]) for each in invoices]


async def clock(emulated: StripeSandbox, *began: int) -> tuple[str, str]:
    """A test clock that begins at a date, and a customer who lives by it."""
    frozen = int(datetime(*began, tzinfo=UTC).timestamp())  # type: ignore[arg-type,misc]
    made = await emulated.api.v1.test_helpers.test_clocks.create_async({"frozen_time": frozen})
    return made.id, await emulated.customer(test_clock=made.id)


async def test_a_first_period_is_paid_at_once(emulated: StripeSandbox):
    customer = await emulated.customer()
    began = await emulated.subscribe(customer, metadata={"workspace_id": "w"})
    item = began["items"]["data"][0]
    assert (began.status, item.price.id, item.quantity) == ("active", STARTER, 1)
    assert 28 * DAY <= item.current_period_end - item.current_period_start <= 31 * DAY
    assert "current_period_end" not in began
    invoice = await emulated.last("invoices", customer)
    line = invoice["lines"]["data"][0]
    assert invoice["id"] == began.latest_invoice
    assert invoice["parent"]["subscription_details"]["subscription"] == began.id
    assert (invoice["status"], invoice["amount_due"], invoice["amount_paid"]) == ("paid", 4_900, 4_900)
    assert line["pricing"]["price_details"]["price"] == STARTER
    assert line["parent"]["subscription_item_details"]["proration"] is False
    assert line["period"] == {"start": item.current_period_start, "end": item.current_period_end}
    charge = await emulated.last("charges", customer)
    assert charge["payment_intent"] == invoice["payments"]["data"][0]["payment"]["payment_intent"]
    assert (charge["status"], charge["amount"], charge["refunded"], charge["disputed"]) == (
        *("succeeded", 4_900, False, False),
    )


async def test_nobody_subscribes_without_a_card(emulated: StripeSandbox):
    customer = await emulated.customer(card=None)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await emulated.subscribe(customer)
    assert refused.value.code == "resource_missing"
    assert await emulated.objects("subscriptions") == []


async def test_what_is_not_paid_at_first_is_incomplete_until_it_is_paid(emulated: StripeSandbox):
    customer = await emulated.customer(card=BAD_CARD)
    began = await emulated.subscribe(customer)
    assert (began.status, await bills(emulated, customer)) == ("incomplete", [("subscription_create", 4_900, "open")])
    with pytest.raises(stripe.CardError):
        await emulated.api.v1.invoices.pay_async(began.latest_invoice)
    await emulated.api.v1.invoices.pay_async(began.latest_invoice, {"payment_method": GOOD_CARD})
    assert (await subscription(emulated, began.id)).status == "active"
    assert [each["status"] for each in await emulated.objects("charges")] == ["failed", "failed", "succeeded"]


async def test_what_stays_incomplete_expires_and_its_invoice_is_void(emulated: StripeSandbox):
    customer = await emulated.customer(card=BAD_CARD)
    began = await emulated.subscribe(customer)
    await emulated.advance(23 * HOUR, customer)
    assert (await subscription(emulated, began.id)).status == "incomplete_expired"
    assert await bills(emulated, customer) == [("subscription_create", 4_900, "void")]
    assert (await emulated.api.v1.subscriptions.list_async({"customer": customer})).data == []
    every = await emulated.api.v1.subscriptions.list_async({"customer": customer, "status": "all"})
    assert [each.id for each in every.data] == [began.id]


async def test_an_upgrade_is_billed_at_once_for_what_is_left_of_the_period(emulated: StripeSandbox):
    customer = await emulated.customer()
    began = (await emulated.subscribe(customer))["items"]["data"][0]
    half = (began.current_period_end - began.current_period_start) // 2
    now = await emulated.advance(half, customer)
    changed = await emulated.change(began.subscription, GROWTH)
    invoice = await emulated.last("invoices", customer)
    lines = [
        (each["amount"], each["pricing"]["price_details"]["price"], each["parent"]["subscription_item_details"])
        for each in invoice["lines"]["data"]
    ]
    assert [(amount, price) for amount, price, _ in lines] == [(-2_450, STARTER), (9_950, GROWTH)]
    assert all(details["proration"] for _, _, details in lines)
    assert {each["period"]["start"] for each in invoice["lines"]["data"]} == {now}
    assert {each["period"]["end"] for each in invoice["lines"]["data"]} == {began.current_period_end}
    assert (invoice["billing_reason"], invoice["total"], invoice["status"]) == ("subscription_update", 7_500, "paid")
    item = changed["items"]["data"][0]
    assert (item.price.id, item.current_period_end) == (GROWTH, began.current_period_end)


async def test_a_proration_can_be_said_in_the_other_place(emulated: StripeSandbox):
    await emulated.set(proration_parent="invoice_item_details")
    customer = await emulated.customer()
    await emulated.change((await emulated.subscribe(customer)).id, GROWTH)
    parents = [each["parent"] for each in (await emulated.last("invoices"))["lines"]["data"]]
    assert [each["type"] for each in parents] == ["invoice_item_details"] * 2
    assert all(each["invoice_item_details"]["proration"] for each in parents)


async def test_a_change_can_wait_for_the_next_invoice_or_cost_nothing(emulated: StripeSandbox):
    waiting, free = await emulated.customer(), await emulated.customer()
    await emulated.change((await emulated.subscribe(waiting)).id, GROWTH, proration_behavior="create_prorations")
    await emulated.change((await emulated.subscribe(free)).id, GROWTH, proration_behavior="none")
    for customer, total in ((waiting, 15_000 + 19_900), (free, 19_900)):
        assert len(await bills(emulated, customer)) == 1
        await emulated.advance(MONTH, customer)
        assert (await bills(emulated, customer))[-1] == ("subscription_cycle", total, "paid")


async def test_a_downgrade_leaves_something_good_that_the_next_invoice_uses(emulated: StripeSandbox):
    customer = await emulated.customer()
    await emulated.change((await emulated.subscribe(customer, GROWTH)).id, STARTER)
    assert (await emulated.api.v1.customers.retrieve_async(customer)).balance == -15_000
    assert (await bills(emulated, customer))[-1] == ("subscription_update", -15_000, "paid")
    await emulated.advance(MONTH, customer)
    renewal = await emulated.last("invoices", customer)
    assert (renewal["total"], renewal["amount_due"], renewal["ending_balance"]) == (4_900, 0, -10_100)


@pytest.mark.parametrize(
    ("before", "after", "total"), [(STARTER, GROWTH_YEARLY, 194_100), (STARTER_YEARLY, GROWTH, -29_100)]
)
async def test_another_interval_begins_a_new_period_that_is_billed_at_once(
    emulated: StripeSandbox, before: str, after: str, total: int
):
    customer = await emulated.customer()
    began = await emulated.subscribe(customer, before)
    changed = await emulated.change(began.id, after)
    invoice = await emulated.last("invoices", customer)
    prorations = [each["parent"]["subscription_item_details"]["proration"] for each in invoice["lines"]["data"]]
    item = changed["items"]["data"][0]
    assert (invoice["total"], prorations) == (total, [True, False])
    assert changed.billing_cycle_anchor == item.current_period_start
    assert invoice["lines"]["data"][1]["period"] == {
        "start": item.current_period_start, "end": item.current_period_end,
    }  # fmt: skip


async def test_it_renews_on_the_last_day_of_a_shorter_month(emulated: StripeSandbox):
    frozen, customer = await clock(emulated, 2026, 1, 31)
    began = await emulated.subscribe(customer)
    ends = []
    for until in (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)):
        advanced = await emulated.api.v1.test_helpers.test_clocks.advance_async(
            frozen, {"frozen_time": int(until.timestamp())}
        )
        assert advanced.status == "advancing"
        assert (await emulated.api.v1.test_helpers.test_clocks.retrieve_async(frozen)).status == "ready"
        item = (await subscription(emulated, began.id))["items"]["data"][0]
        ends.append(datetime.fromtimestamp(item.current_period_end, UTC).date().isoformat())
    assert ends == ["2026-03-31", "2026-04-30"]
    assert len(await bills(emulated, customer)) == 3


async def test_a_test_clock_goes_no_farther_than_two_intervals_and_takes_its_customers_with_it(emulated: StripeSandbox):
    frozen, customer = await clock(emulated, 2026, 1, 1)
    await emulated.subscribe(customer)
    clocks = emulated.api.v1.test_helpers.test_clocks
    far = int(datetime(2026, 4, 1, tzinfo=UTC).timestamp())
    with pytest.raises(stripe.InvalidRequestError):
        await clocks.advance_async(frozen, {"frozen_time": far})
    listed = emulated.api.v1.customers.list_async
    assert (await listed()).data == []
    assert [each.id for each in (await listed({"test_clock": frozen})).data] == [customer]
    await clocks.delete_async(frozen)
    assert (await emulated.api.v1.customers.retrieve_async(customer)).deleted


async def test_a_renewal_that_fails_is_tried_again_and_then_it_is_over(emulated: StripeSandbox):
    customer = await emulated.customer()
    began = await emulated.subscribe(customer)
    await emulated.pay_with(customer, BAD_CARD)
    await emulated.advance(MONTH, customer)
    renewal = await emulated.last("invoices", customer)
    assert (await subscription(emulated, began.id)).status == "past_due"
    assert (renewal["attempt_count"], renewal["next_payment_attempt"] is not None) == (1, True)
    await emulated.advance(9 * DAY, customer)
    ended, renewal = await subscription(emulated, began.id), await emulated.last("invoices", customer)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    assert (renewal["status"], renewal["attempt_count"], renewal["next_payment_attempt"]) == ("open", 4, None)


async def test_it_can_become_unpaid_instead_and_active_again_when_it_is_paid(emulated: StripeSandbox):
    await emulated.set(unpaid_as="unpaid", retries=0)
    customer = await emulated.customer()
    began = await emulated.subscribe(customer)
    await emulated.pay_with(customer, BAD_CARD)
    await emulated.advance(MONTH, customer)
    unpaid = await subscription(emulated, began.id)
    assert unpaid.status == "unpaid"
    await emulated.pay_with(customer, GOOD_CARD)
    await emulated.api.v1.invoices.pay_async(unpaid.latest_invoice)
    assert (await subscription(emulated, began.id)).status == "active"


async def test_a_retry_that_goes_through_makes_it_active_again(emulated: StripeSandbox):
    customer = await emulated.customer()
    began = await emulated.subscribe(customer)
    await emulated.pay_with(customer, BAD_CARD)
    await emulated.advance(MONTH, customer)
    await emulated.pay_with(customer, GOOD_CARD)
    await emulated.advance(3 * DAY, customer)
    assert (await subscription(emulated, began.id)).status == "active"
    assert (await bills(emulated, customer))[-1] == ("subscription_cycle", 4_900, "paid")


async def test_a_renewal_is_a_draft_for_as_long_as_is_set(emulated: StripeSandbox):
    await emulated.set(draft_seconds=HOUR)
    customer = await emulated.customer()
    item = (await emulated.subscribe(customer))["items"]["data"][0]
    await emulated.advance(item.current_period_end - item.current_period_start, customer)
    assert (await bills(emulated, customer))[-1] == ("subscription_cycle", 4_900, "draft")
    await emulated.advance(HOUR, customer)
    assert (await bills(emulated, customer))[-1] == ("subscription_cycle", 4_900, "paid")


async def test_a_trial_costs_nothing_and_the_first_period_begins_at_its_end(emulated: StripeSandbox):
    customer = await emulated.customer()
    began = await emulated.subscribe(customer, trial_period_days=14)
    assert (began.status, await bills(emulated, customer)) == ("trialing", [("subscription_create", 0, "paid")])
    await emulated.advance(14 * DAY, customer)
    now = await subscription(emulated, began.id)
    assert (now.status, now["items"]["data"][0].current_period_start) == ("active", began.trial_end)
    assert (await bills(emulated, customer))[-1] == ("subscription_cycle", 4_900, "paid")
    assert "customer.subscription.trial_will_end" in [each["type"] for each in await emulated.objects("events")]


async def test_a_cancellation_ends_it_with_the_period_unless_it_is_taken_back(emulated: StripeSandbox):
    customer = await emulated.customer()
    began = await emulated.subscribe(customer)
    update = emulated.api.v1.subscriptions.update_async
    stopped = await update(began.id, {"cancel_at_period_end": True})
    end = stopped["items"]["data"][0].current_period_end
    assert (stopped.status, stopped.cancel_at) == ("active", end)
    assert (await update(began.id, {"cancel_at_period_end": False})).cancel_at is None
    await update(began.id, {"cancel_at_period_end": True})
    await emulated.advance(MONTH, customer)
    ended = await subscription(emulated, began.id)
    assert (ended.status, ended.ended_at) == ("canceled", end)
    assert len(await bills(emulated, customer)) == 1
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await emulated.api.v1.subscriptions.cancel_async(began.id)
    assert refused.value.code == "resource_missing"


async def test_one_that_is_canceled_at_once_asks_for_nothing_more(emulated: StripeSandbox):
    customer = await emulated.customer()
    began = await emulated.subscribe(customer)
    assert (await emulated.api.v1.subscriptions.cancel_async(began.id)).status == "canceled"
    await emulated.advance(2 * MONTH, customer)
    assert len(await bills(emulated, customer)) == 1


async def test_money_is_given_back_in_parts_and_no_more_than_there_was(emulated: StripeSandbox):
    customer = await emulated.customer()
    await emulated.subscribe(customer)
    charge = (await emulated.last("charges", customer))["id"]
    await emulated.refund(charge, 1_000)
    with pytest.raises(stripe.InvalidRequestError):
        await emulated.refund(charge, 4_000)
    await emulated.refund(charge)
    now = await emulated.api.v1.charges.retrieve_async(charge)
    assert (now.amount_refunded, now.refunded) == (4_900, True)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await emulated.refund(charge)
    assert refused.value.code == "charge_already_refunded"


@pytest.mark.parametrize(("won", "status"), [(True, "won"), (False, "lost")])
async def test_a_dispute_is_opened_and_decided(emulated: StripeSandbox, won: bool, status: str):
    customer = await emulated.customer()
    await emulated.subscribe(customer)
    charge = (await emulated.last("charges", customer))["id"]
    dispute = await emulated.dispute(charge)
    listed = await emulated.api.v1.disputes.list_async({"charge": charge})
    assert [(each.id, each.status) for each in listed.data] == [(dispute, "needs_response")]
    assert (await emulated.api.v1.charges.retrieve_async(charge)).disputed
    await emulated.decide(dispute, won=won)
    assert (await emulated.api.v1.disputes.retrieve_async(dispute)).status == status


async def test_an_invoice_can_be_voided_or_written_off(emulated: StripeSandbox):
    customer = await emulated.customer()
    began = await emulated.subscribe(customer)
    await emulated.pay_with(customer, BAD_CARD)
    await emulated.advance(MONTH, customer)
    invoices = emulated.api.v1.invoices
    voided = await invoices.void_invoice_async((await emulated.last("invoices", customer))["id"])
    assert (voided.status, (await subscription(emulated, began.id)).status) == ("void", "active")
    with pytest.raises(stripe.InvalidRequestError):
        await invoices.pay_async(voided.id)
    await emulated.advance(MONTH, customer)
    written_off = await invoices.mark_uncollectible_async((await emulated.last("invoices", customer))["id"])
    assert written_off.status == "uncollectible"


async def test_the_time_of_all_can_be_moved_on_at_once(emulated: StripeSandbox):
    customers = [await emulated.customer() for _ in range(2)]
    for customer in customers:
        await emulated.subscribe(customer)
    await emulated.advance(MONTH)
    assert [len(await bills(emulated, customer)) for customer in customers] == [2, 2]
