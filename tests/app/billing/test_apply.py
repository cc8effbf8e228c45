"""What Stripe has becomes what we have: rows, plan, credits and events, each once, however often one looks."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from app.billing.plans import Plans
from app.credits import service as credits
from app.credits.errors import InsufficientCredits
from app.providers.payments import Subscription
from tests.app.billing.applying import GRACE, GROWTH, PLANS, Applying, Stripe, upgrade
from tests.app.billing.syncing import NOW, PERIOD, invoice, subscription, syncing
from tests.servers import Database, PostgresServer

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each works in a workspace of its own."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
async def billing(database: Database) -> AsyncIterator[Applying]:
    async with syncing(database) as scene:
        yield Applying(scene, Stripe(scene.customer_id))


@pytest.fixture
async def paying(billing: Applying) -> Applying:
    """A workspace that has paid its first period of the plan Starter."""
    billing.stripe.put(subscription(billing.stripe.customer_id), invoice(billing.stripe.customer_id))
    billing.stripe.pay()
    await billing.apply()
    return billing


async def test_a_subscription_and_its_invoice_become_rows_a_plan_credits_and_events(paying: Applying):
    [stored] = await paying.scene.rows("SELECT * FROM billing_subscriptions")
    theirs = paying.stripe.subscriptions["sub_1"]
    assert {name: stored[name] for name in Subscription.__slots__ if name != "customer_id"} == {
        name: getattr(theirs, name) for name in Subscription.__slots__ if name != "customer_id"
    }
    [bill] = await paying.scene.rows("SELECT * FROM billing_invoices")
    assert (bill["status"], bill["amount_paid"], bill["payment_ids"]) == ("paid", 4900, ["pi_1"])
    assert (bill["credits_granted"], bill["credits_clawed_back"]) == (5_000, 0)
    assert await paying.plan() == "starter"
    assert await paying.entries() == [("grant", 5_000, "invoice:in_1:line:il_1")]
    assert await paying.one("SELECT expires_at FROM credit_lots") == NOW + 2 * PERIOD
    assert await paying.events() == [
        (
            "billing.subscription.updated",
            {
                "subscription_id": "sub_1",
                "status": "active",
                "price_id": "price_starter_monthly",
                "quantity": 1,
                "current_period_end": (NOW + PERIOD).isoformat(),
                "cancel_at_period_end": False,
                "plan": "starter",
            },
        ),
        (
            "billing.invoice.paid",
            {
                "invoice_id": "in_1",
                "subscription_id": "sub_1",
                "status": "paid",
                "currency": "usd",
                "amount_due": 4900,
                "amount_paid": 4900,
                "attempts": 1,
                "credits_granted": 5_000,
            },
        ),
    ]
    assert await paying.violations() == []


async def test_the_same_once_more_writes_nothing(paying: Applying):
    paying.stripe.put(invoice(paying.stripe.customer_id, 2, lines=upgrade(2)))
    paying.stripe.pay(refunded=980, dispute="won")
    await paying.scene.execute("INSERT INTO billing_syncs (workspace_id, id) VALUES (:workspace_id, gen_random_uuid())")
    await paying.apply()
    before = await paying.written()
    for _ in range(2):
        await paying.apply()
    assert await paying.written() == before


async def test_a_paid_upgrade_grants_the_difference_once(paying: Applying):
    paying.stripe.change_subscription(price_id=GROWTH)
    paying.stripe.put(invoice(paying.stripe.customer_id, 2, lines=upgrade(2)))
    for _ in range(2):
        await paying.apply()
    assert await paying.plan() == "growth"
    assert await paying.balance() == 15_000
    grants = await paying.scene.rows("SELECT line_id, kind, credits FROM billing_grants ORDER BY line_id")
    assert [tuple(row.values()) for row in grants] == [("il_1", "period", 5_000), ("il_2_bill", "upgrade", 10_000)]


async def test_an_invoice_is_told_as_failed_once_for_each_attempt_and_as_paid_once(billing: Applying):
    billing.stripe.put(subscription(billing.stripe.customer_id, status="past_due"))
    billing.stripe.put(invoice(billing.stripe.customer_id, status="open", amount_paid=0, attempts=0, paid_at=None))
    await billing.apply()
    for attempts in (1, 1, 2):
        billing.stripe.change_invoice(attempts=attempts)
        await billing.apply()
    assert await billing.balance() == 0
    billing.stripe.change_invoice(status="paid", amount_paid=4900, attempts=3)
    for _ in range(2):
        await billing.apply()
    failed, paid = await billing.events_of("billing.invoice.failed"), await billing.events_of("billing.invoice.paid")
    assert [data["attempts"] for data in failed] == [1, 2]
    assert [data["attempts"] for data in paid] == [3]
    assert await billing.balance() == 5_000


async def test_what_changes_and_changes_back_is_told_both_times(paying: Applying):
    for wanted in (True, False):
        paying.stripe.change_subscription(cancel_at_period_end=wanted)
        await paying.apply()
    told = await paying.events_of("billing.subscription.updated")
    assert [data["cancel_at_period_end"] for data in told] == [False, True, False]


async def test_a_refund_takes_credits_back_and_more_of_it_only_the_difference(paying: Applying):
    for refunded in (2450, 2450, 4900):
        paying.stripe.pay(refunded=refunded)
        await paying.apply()
    assert await paying.entries() == [
        ("grant", 5_000, "invoice:in_1:line:il_1"),
        ("clawback", -2_500, "invoice:in_1:correction:1"),
        ("clawback", -2_500, "invoice:in_1:correction:2"),
    ]
    [bill] = await paying.scene.rows("SELECT amount_refunded, credits_clawed_back, corrections FROM billing_invoices")
    assert tuple(bill.values()) == (4900, 5_000, 2)
    assert await paying.violations() == []


async def test_a_dispute_takes_all_and_when_it_is_won_gives_back_what_only_it_took(paying: Applying):
    paying.stripe.pay(refunded=980)
    await paying.apply()
    paying.stripe.pay(refunded=980, dispute="open")
    await paying.apply()
    assert await paying.balance() == 0
    paying.stripe.pay(refunded=980, dispute="won")
    await paying.apply()
    assert (await paying.entries())[1:] == [
        ("clawback", -1_000, "invoice:in_1:correction:1"),
        ("clawback", -4_000, "invoice:in_1:correction:2"),
        ("refund", 4_000, "invoice:in_1:correction:3"),
    ]
    assert await paying.one("SELECT expires_at FROM credit_lots") == NOW + 2 * PERIOD
    assert await paying.violations() == []


async def test_a_clawback_of_what_was_spent_leaves_a_hole_and_nothing_new_starts(paying: Applying):
    workspace_id = paying.scene.workspace_id
    reference = ("enrichment_job", "1")
    async with paying.scene.sessions.for_workspace(workspace_id) as session:
        await credits.hold(session, workspace_id, 4_000, key="hold", reason="test", reference=reference)
        charge = [credits.Charge("charge", 4_000, "1")]
        await credits.charge(session, workspace_id, charge, reason="test", reference_type="enrichment_job")
    paying.stripe.pay(refunded=4900)
    await paying.apply()
    assert await paying.balance() == -4_000
    async with paying.scene.sessions.for_workspace(workspace_id) as session:
        with pytest.raises(InsufficientCredits):
            await credits.hold(session, workspace_id, 1, key="next", reason="test", reference=reference)
    paying.stripe.put(invoice(paying.stripe.customer_id, 2, lines=(_line(paying, 2),)))
    await paying.apply()
    assert await paying.balance() == 1_000
    assert await paying.events_of("credits.low") == [], "nobody asked for it"


async def test_the_workspace_is_told_when_a_clawback_leaves_few_credits(paying: Applying):
    paying.stripe.pay(refunded=4900)
    await paying.apply(low_threshold=100)
    assert ("credits.low", {"available": 0, "threshold": 100}) in await paying.events()


async def test_what_was_paid_and_refunded_before_anybody_looked_is_granted_and_taken_back(billing: Applying):
    billing.stripe.put(subscription(billing.stripe.customer_id), invoice(billing.stripe.customer_id))
    billing.stripe.pay(refunded=4900)
    await billing.apply()
    assert [kind for kind, _, _ in await billing.entries()] == ["grant", "clawback"]
    assert await billing.balance() == 0


async def test_other_credits_in_the_file_of_plans_change_no_grant_that_was_made(paying: Applying):
    starter = PLANS.get("starter")
    assert starter is not None
    dearer = replace(starter, prices=tuple(replace(price, credits=1) for price in starter.prices))
    plans = Plans([PLANS.free, dearer])
    await paying.apply(plans=plans)
    assert await paying.balance() == 5_000
    await paying.apply(plans=Plans([PLANS.free]))
    assert await paying.balance() == 5_000
    assert await paying.plan() == "free", "a price of no plan gives none"


async def test_a_cancellation_keeps_the_plan_until_the_period_ends(paying: Applying):
    paying.stripe.change_subscription(cancel_at_period_end=True, canceled_at=NOW)
    await paying.apply()
    assert await paying.plan() == "starter"
    paying.stripe.change_subscription(status="canceled", ended_at=NOW + PERIOD)
    await paying.apply()
    assert await paying.plan() == "free"
    assert await paying.balance() == 5_000, "what was paid for is kept"


async def test_a_failed_payment_keeps_the_plan_for_the_days_of_grace_only(paying: Applying):
    late = NOW - GRACE + HOUR
    paying.stripe.change_subscription(status="past_due")
    open_invoice = {"subscription_id": "sub_1", "status": "open", "attempts": 2, "amount_paid": 0, "lines": ()}
    paying.stripe.put(invoice(paying.stripe.customer_id, 2, created_at=late, **open_invoice))
    applied = await paying.apply()
    assert await paying.plan() == "starter"
    assert applied.next_look_at == late + GRACE
    paying.stripe.change_invoice(2, created_at=NOW - GRACE)
    await paying.apply()
    assert await paying.plan() == "free"
    told = (await paying.events_of("billing.subscription.updated"))[-1]
    assert (told["plan"], told["status"]) == ("free", "past_due")


async def test_when_only_the_time_ends_a_grace_the_workspace_is_told_of_it(paying: Applying):
    paying.stripe.change_subscription(status="past_due")
    unpaid = {"subscription_id": "sub_1", "created_at": NOW - GRACE, "status": "open", "attempts": 1, "lines": ()}
    paying.stripe.put(invoice(paying.stripe.customer_id, 2, **unpaid))
    await paying.apply()
    # As it was before the grace was over.
    await paying.scene.execute("UPDATE workspaces SET plan = 'starter' WHERE id = :workspace_id")
    told = len(await paying.events_of("billing.subscription.updated"))
    for _ in range(2):
        await paying.apply()
    [data] = (await paying.events_of("billing.subscription.updated"))[told:]
    assert (data["plan"], data["status"]) == ("free", "past_due")


async def test_the_best_of_several_subscriptions_counts(paying: Applying):
    customer_id = paying.stripe.customer_id
    paying.stripe.put(subscription(customer_id, 2, price_id=GROWTH, status="trialing"))
    paying.stripe.put(subscription(customer_id, 3, price_id="price_scale_monthly", status="incomplete"))
    paying.stripe.put(subscription(customer_id, 4, price_id="price_scale_monthly", status="unpaid"))
    await paying.apply()
    assert await paying.plan() == "growth"


async def test_a_deleted_customer_has_no_subscription_any_more(paying: Applying):
    paying.stripe.is_deleted = True
    paying.stripe.subscriptions.clear()
    paying.stripe.invoices.clear()
    for _ in range(2):
        applied = await paying.apply()
    [stored] = await paying.scene.rows("SELECT status, ended_at FROM billing_subscriptions")
    assert stored["status"] == "canceled"
    assert stored["ended_at"] is not None
    assert await paying.one("SELECT is_deleted FROM billing_customers") is True
    assert await paying.one("SELECT status FROM billing_invoices") == "paid"
    assert await paying.plan() == "free"
    assert applied.next_look_at is None


async def test_a_draft_that_was_thrown_away_is_void(paying: Applying):
    paying.stripe.put(invoice(paying.stripe.customer_id, 2, status="draft", amount_paid=0))
    await paying.apply()
    del paying.stripe.invoices["in_2"]
    for _ in range(2):
        await paying.apply()
    assert await paying.one("SELECT status FROM billing_invoices WHERE id = 'in_2'") == "void"


async def test_the_next_look_is_when_the_period_should_have_been_renewed(paying: Applying):
    assert (await paying.apply()).next_look_at == NOW + PERIOD + HOUR
    paying.stripe.change_subscription(period_end=NOW - PERIOD)
    overdue = (await paying.apply()).next_look_at
    now = await paying.one("SELECT now()")
    assert overdue is not None
    assert now < overdue <= now + HOUR


async def test_without_a_comparison_no_drift_is_recorded(paying: Applying):
    assert await paying.scene.rows("SELECT * FROM billing_drift") == []


async def test_while_a_comparison_runs_each_difference_is_recorded_with_both_sides(paying: Applying):
    await paying.scene.execute("INSERT INTO billing_syncs (workspace_id, id) VALUES (:workspace_id, gen_random_uuid())")
    await paying.apply()
    assert await paying.scene.rows("SELECT * FROM billing_drift") == [], "nothing differs"
    paying.stripe.change_subscription(price_id=GROWTH)
    paying.stripe.change_invoice(hosted_url="https://invoice.stripe.com/i/another")
    paying.stripe.put(invoice(paying.stripe.customer_id, 2, lines=upgrade(2)))
    paying.stripe.pay(refunded=490)
    await paying.apply()
    found = await paying.scene.rows("SELECT what, reference, ours, theirs, action FROM billing_drift ORDER BY id")
    by_kind = {(row["what"], row["reference"], row["action"]): (row["ours"], row["theirs"]) for row in found}
    assert by_kind[("subscription", "sub_1", "updated")] == (
        {"price_id": "price_starter_monthly"},
        {"price_id": GROWTH},
    )
    assert by_kind[("invoice", "in_1", "updated")] == ({"amount_refunded": 0}, {"amount_refunded": 490})
    ours, theirs = by_kind[("invoice", "in_2", "added")]
    assert ours is None
    assert theirs["status"] == "paid"
    assert by_kind[("credits", "in_2", "granted")] == ({"granted": 0}, {"granted": 10_000})
    assert by_kind[("credits", "in_1", "clawed_back")] == ({"clawed_back": 0}, {"clawed_back": 500})
    assert len(by_kind) == len(found) == 5


async def test_a_deleted_customer_is_a_difference_too(paying: Applying):
    await paying.scene.execute("INSERT INTO billing_syncs (workspace_id, id) VALUES (:workspace_id, gen_random_uuid())")
    paying.stripe.is_deleted = True
    await paying.apply()
    found = await paying.scene.rows("SELECT what, ours, theirs FROM billing_drift WHERE what = 'customer'")
    assert [tuple(row.values()) for row in found] == [("customer", {"is_deleted": False}, {"is_deleted": True})]


async def test_a_workspace_without_a_customer_is_left_as_it_is(billing: Applying):
    await billing.scene.execute("DELETE FROM billing_customers WHERE workspace_id = :workspace_id")
    assert (await billing.apply()).next_look_at is None
    assert await billing.plan() is None


def _line(billing: Applying, number: int):
    [first] = billing.stripe.invoices["in_1"].lines
    return replace(first, id=f"il_{number}", period_start=NOW + PERIOD, period_end=NOW + 2 * PERIOD)
