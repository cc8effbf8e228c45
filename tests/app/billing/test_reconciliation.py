"""What a reconciliation finds of what no event told, and how it goes on after a fault."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.billing import reconciliation
from app.db import new_id
from app.providers.errors import Missing, ProviderError, Transient
from app.providers.payments import PayingCustomer, PaymentEvent
from tests.app.billing.reconciling import asked, begun, comparison, finished, reconcile
from tests.app.billing.stripe_events import customer_of
from tests.app.billing.syncing import NOW, Syncing, invoice, payment, subscription, syncing
from tests.builders import make_workspace
from tests.fakes_payments import Call, FakePayments
from tests.servers import Database

EVERYTHING = ["customers", "subscriptions", "invoices", "payments"]


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Syncing]:
    async with syncing(database) as scene:
        yield scene


def happened(scene: Syncing, **more: Any) -> PaymentEvent:
    """An event that Stripe has, and that never came."""
    values = {"id": f"evt_{new_id().hex}", "type": "x", "customer_id": scene.customer_id, "created_at": NOW}
    event = PaymentEvent(**values | more)
    scene.payments.put(event)
    return event


def bought(scene: Syncing) -> None:
    customer_id = scene.customer_id
    scene.payments.put(subscription(customer_id), invoice(customer_id), payment(customer_id))


async def age(scene: Syncing, days: float) -> None:
    """Have the last reconciliation, and the last look, be so many days longer ago."""
    async with scene.owner.unscoped() as session:
        for statement in (
            "UPDATE billing_reconciliations SET started_at = started_at - interval '{0} days'",
            "UPDATE billing_customers SET synced_at = synced_at - interval '{0} days'",
        ):
            await session.exec_driver_sql(statement.format(days))


async def drift(scene: Syncing) -> list[tuple[str, str, str]]:
    rows = await scene.rows("SELECT what, reference, action FROM billing_drift ORDER BY id")
    return [(row["what"], row["reference"], row["action"]) for row in rows]


async def test_after_a_day_without_events_one_leaves_nothing_to_be_found(scene: Syncing):
    bought(scene)
    first = await reconcile(scene)
    assert (first.syncs, first.differences, first.unfinished) == (1, 3, 0)
    assert (first.customers, first.subscriptions, first.invoices, first.payments, first.events) == (1, 1, 1, 1, 0)
    assert await scene.granted() == [5000]

    await age(scene, 1)
    scene.payments.put(
        subscription(scene.customer_id, status="past_due"),
        invoice(scene.customer_id, 2, status="open", amount_paid=0, paid_at=None),
        payment(scene.customer_id, refunded=4900),
    )
    for _ in range(3):
        happened(scene)
    second = await reconcile(scene)
    assert (second.syncs, second.differences) == (1, 4)
    assert await drift(scene) == [
        ("subscription", "sub_1", "added"),
        ("invoice", "in_1", "added"),
        ("credits", "in_1", "granted"),
        ("subscription", "sub_1", "updated"),
        ("invoice", "in_1", "updated"),
        ("credits", "in_1", "clawed_back"),
        ("invoice", "in_2", "added"),
    ]
    assert (await reconcile(scene)).differences == 0
    assert (await reconcile(scene, everything=True)).syncs == 0


async def test_the_first_lists_everything_and_the_next_what_is_new_and_what_happened(scene: Syncing):
    bought(scene)
    await reconcile(scene)
    assert asked(scene.payments) == EVERYTHING
    await age(scene, 1)
    scene.payments.calls.clear()
    second = await reconcile(scene)
    assert asked(scene.payments) == [*EVERYTHING, "events"]
    assert second.calls == 5
    await age(scene, 30)
    scene.payments.calls.clear()
    third = await reconcile(scene)
    assert asked(scene.payments) == EVERYTHING
    assert (third.calls, third.subscriptions) == (4, 1)


async def test_what_is_older_than_the_last_one_is_found_by_its_event(scene: Syncing):
    old = {"created_at": NOW - timedelta(days=10)}
    scene.payments.put(subscription(scene.customer_id, **old))
    await reconcile(scene)
    await age(scene, 2)
    scene.payments.put(subscription(scene.customer_id, status="canceled", ended_at=NOW, **old))
    happened(scene)
    found = await reconcile(scene)
    assert (found.subscriptions, found.events, found.differences) == (0, 1, 1)


async def test_an_event_that_never_came_means_nothing_once_somebody_has_looked(scene: Syncing):
    await reconcile(scene)
    await age(scene, 2)
    happened(scene, created_at=NOW - timedelta(hours=6))
    await scene.execute("UPDATE billing_customers SET synced_at = now() - interval '1 hour'")
    assert (await reconcile(scene)).syncs == 0


async def test_an_event_that_came_is_not_looked_at_twice(scene: Syncing):
    await reconcile(scene)
    await age(scene, 2)
    event_id = await scene.hear()
    await scene.sync()
    await scene.execute("UPDATE billing_customers SET synced_at = now() - interval '1 day'")
    happened(scene, id=event_id)
    assert (await reconcile(scene)).syncs == 0


CHANGES = {
    "status": {"status": "past_due"},
    "price": {"price_id": "price_growth_monthly"},
    "quantity": {"quantity": 2},
    "period": {"period_end": NOW + timedelta(days=60)},
    "cancel": {"cancel_at_period_end": True},
    "canceled": {"canceled_at": NOW},
}


@pytest.mark.parametrize("change", list(CHANGES))
async def test_a_subscription_that_differs_is_found(scene: Syncing, change: str):
    scene.payments.put(subscription(scene.customer_id))
    await scene.execute("UPDATE billing_customers SET due_at = now()")
    await scene.sync()
    scene.payments.put(subscription(scene.customer_id, **CHANGES[change]))
    assert (await reconcile(scene)).differences == 1
    assert (await reconcile(scene, everything=True)).syncs == 0


INVOICES: dict[str, dict[str, Any]] = {
    "status": {"status": "uncollectible"},
    "amount": {"amount_due": 5000},
    "attempts": {"attempts": 2},
    "next attempt": {"next_attempt_at": NOW},
    "number": {"number": "A-1"},
}


@pytest.mark.parametrize("change", list(INVOICES))
async def test_an_invoice_that_differs_is_found(scene: Syncing, change: str):
    was: dict[str, Any] = {"status": "open", "amount_paid": 0, "paid_at": None}
    scene.payments.put(invoice(scene.customer_id, **was))
    await scene.execute("UPDATE billing_customers SET due_at = now()")
    await scene.sync()
    scene.payments.put(replace(invoice(scene.customer_id, **was), **INVOICES[change]))
    assert (await reconcile(scene)).differences == 1
    assert (await reconcile(scene, everything=True)).syncs == 0


@pytest.mark.parametrize("change", [{"refunded": 100}, {"dispute": "open"}], ids=["refund", "dispute"])
async def test_money_that_went_back_is_found(scene: Syncing, change: dict[str, Any]):
    bought(scene)
    await scene.execute("UPDATE billing_customers SET due_at = now()")
    await scene.sync()
    scene.payments.put(payment(scene.customer_id, **change))
    assert (await reconcile(scene)).differences == 2  # the invoice, and its credits
    assert (await reconcile(scene, everything=True)).syncs == 0


async def test_a_customer_that_was_deleted_is_missed_in_the_list(scene: Syncing):
    scene.payments.put(subscription(scene.customer_id))
    await reconcile(scene)
    scene.payments.put(PayingCustomer(scene.customer_id, scene.workspace_id, is_deleted=True))
    found = await reconcile(scene, everything=True)
    assert (found.customers, found.syncs) == (0, 1)
    assert ("customer", scene.customer_id, "updated") in await drift(scene)
    assert (await reconcile(scene, everything=True)).syncs == 0


async def test_a_draft_that_was_thrown_away_is_gone(scene: Syncing):
    scene.payments.put(invoice(scene.customer_id, status="draft", amount_paid=0, paid_at=None))
    await reconcile(scene)
    scene.payments.invoices_by_id.clear()
    assert (await reconcile(scene, everything=True)).differences == 1
    assert [row["status"] for row in await scene.rows("SELECT status FROM billing_invoices")] == ["void"]


@pytest.mark.parametrize("row", ["no", "an unfinished"])
async def test_a_customer_whose_creation_was_cut_off_becomes_the_workspaces(scene: Syncing, row: str):
    bought(scene)
    if row == "no":
        await scene.execute("DELETE FROM billing_customers WHERE workspace_id = :workspace_id")
    else:
        await scene.execute("UPDATE billing_customers SET id = NULL")
    await scene.hear()
    found = await reconcile(scene)
    assert (found.syncs, found.differences) == (1, 3)
    assert (await scene.customer())["id"] == scene.customer_id
    assert await scene.events() == ["applied"]
    assert await scene.granted() == [5000]


async def test_a_second_customer_of_a_workspace_is_recorded_and_left_alone(scene: Syncing):
    scene.payments.put(PayingCustomer("cus_second", scene.workspace_id))
    assert (await reconcile(scene)).differences == 1
    assert await drift(scene) == [("customer", "cus_second", "ignored")]
    assert (await scene.customer())["id"] == scene.customer_id


async def test_customers_of_others_are_none_of_our_business(scene: Syncing):
    deleted = await make_workspace(scene.owner)
    async with scene.owner.for_workspace(deleted) as session:
        await session.exec_driver_sql(f"UPDATE workspaces SET deleted_at = now() WHERE id = '{deleted}'")
    scene.payments.put(
        PayingCustomer("cus_nobodys", None),
        PayingCustomer("cus_elsewhere", new_id()),
        PayingCustomer("cus_deleted", deleted),
        subscription("cus_nobodys"),
        happened(scene, customer_id="cus_nobodys"),
    )
    found = await reconcile(scene)
    assert (found.customers, found.subscriptions, found.syncs) == (4, 1, 0)


async def test_events_of_a_customer_that_is_known_by_now_are_looked_at(scene: Syncing):
    await scene.execute("UPDATE billing_customers SET id = NULL")
    await scene.hear()
    await scene.execute("UPDATE billing_customers SET id = :customer", customer=scene.customer_id)
    assert await scene.events() == []
    found = await reconcile(scene)
    assert (found.syncs, found.differences) == (1, 0)
    assert await scene.events() == ["applied"]


async def test_it_goes_on_from_the_page_at_which_stripe_failed(scene: Syncing):
    scene.payments.page_size = 1
    scene.payments.put(*(subscription(scene.customer_id, number) for number in range(1, 6)))
    ref = await begun(scene)
    failing = fails(scene.payments, "subscriptions", call=3, error=Transient("stripe", "status 500"))
    with pytest.raises(Transient):
        await comparison(scene).go_on(ref)
    assert failing == [3]
    assert (await comparison(scene).go_on(ref)).list is None
    found = await finished(scene, ref)
    # One of each page, and the one that failed.
    assert asked(scene.payments).count("subscriptions") == 6
    assert (found.subscriptions, found.calls, found.syncs, found.differences) == (5, 8, 1, 5)


async def test_a_list_whose_place_is_gone_is_read_from_its_beginning(scene: Syncing):
    scene.payments.page_size = 1
    scene.payments.put(*(subscription(scene.customer_id, number) for number in range(1, 4)))
    ref = await begun(scene)
    fails(scene.payments, "subscriptions", call=2, error=Missing("stripe", "there is no such subscription"))
    assert (await comparison(scene).go_on(ref)).list is None
    found = await finished(scene, ref)
    assert (found.subscriptions, found.differences) == (3, 3)


async def test_of_two_at_the_same_page_one_goes_on(scene: Syncing):
    """The worker of one of them was taken for dead."""
    scene.payments.page_size = 1
    scene.payments.put(*(subscription(scene.customer_id, number) for number in range(1, 6)))
    ref = await begun(scene)
    scene.payments.gate.clear()
    both = [asyncio.create_task(comparison(scene).go_on(ref)) for _ in range(2)]
    async with asyncio.timeout(60):
        while len(scene.payments.made("customers")) < 2:
            await asyncio.sleep(0.01)
    scene.payments.gate.set()
    assert [each.list for each in await asyncio.gather(*both)] == [None, None]
    found = await finished(scene, ref)
    assert (found.customers, found.subscriptions, found.differences) == (1, 5, 5)


async def test_one_that_did_not_end_does_not_count_for_the_next(scene: Syncing):
    await begun(scene)
    scene.payments.calls.clear()
    await reconcile(scene)
    assert asked(scene.payments) == EVERYTHING


async def test_begun_or_finished_twice_it_is_one(scene: Syncing):
    bought(scene)
    ref = await begun(scene)
    await comparison(scene).go_on(ref)
    await reconciliation.begin(scene.platform, ref)
    assert (await comparison(scene).go_on(ref)).list is None
    found = await finished(scene, ref)
    assert await reconciliation.finish(scene.platform, ref) == found


async def test_one_finds_what_differs_in_each_of_several_workspaces(scene: Syncing):
    others = [await make_workspace(scene.owner, credit=0) for _ in range(3)]
    for workspace_id in others:
        customer_id = f"cus_{workspace_id.hex}"
        scene.payments.put(
            PayingCustomer(customer_id, workspace_id), subscription(customer_id, id=f"sub_{workspace_id.hex}")
        )
    found = await reconcile(scene)
    assert (found.customers, found.syncs, found.differences) == (4, 3, 3)
    for workspace_id in others:
        assert (await customer_of(scene.owner, workspace_id))["synced_at"] is not None
    assert (await scene.customer())["synced_at"] is None


def fails(payments: FakePayments, method: str, *, call: int, error: ProviderError) -> list[int]:
    """Have the `call`-th of a method fail, once; which did."""
    failed: list[int] = []

    def before(asked: Call) -> ProviderError | None:
        if asked.method == method and asked.about is None and not failed and len(payments.made(method)) == call:
            failed.append(call)
            return error
        return None

    payments.before = before
    return failed
