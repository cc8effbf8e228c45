"""A look at a customer: what Stripe has is applied as it was read last, once, whatever came meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from app.billing import wake_repository
from app.billing.errors import SyncPostponed
from app.billing.reconcile import Customers
from app.providers.errors import CircuitOpen, CredentialRejected, Missing, ProviderError, Transient
from app.providers.payments import PayingCustomer
from tests.app.billing.syncing import NOW, PERIOD, Syncing, invoice, subscription, syncing
from tests.fakes_payments import Call, FakePayments
from tests.servers import Database
from workflows.contracts.billing import Synced

NOTHING = Synced(applied=False, events=0, is_due=False)


@pytest.fixture
async def scene(shared_database: Database) -> AsyncIterator[Syncing]:
    async with syncing(shared_database) as scene:
        yield scene


def bought(scene: Syncing) -> None:
    scene.payments.put(subscription(scene.customer_id), invoice(scene.customer_id))


async def test_what_stripe_has_is_applied_and_the_events_that_said_so_are(scene: Syncing):
    bought(scene)
    for _ in range(3):
        await scene.hear()
    assert await scene.sync() == Synced(applied=True, events=3, is_due=False)
    assert await scene.events() == ["applied"] * 3
    assert await scene.granted() == [5000]
    customer = await scene.customer()
    assert customer["synced_at"] is not None
    # Behind the end of the period, when something changes by itself.
    assert customer["due_at"] >= NOW + PERIOD


async def test_nothing_is_read_while_nothing_is_due(scene: Syncing):
    assert await scene.sync() == NOTHING
    await scene.hear()
    await scene.sync()
    calls = len(scene.payments.calls)
    assert await scene.sync() == NOTHING
    assert len(scene.payments.calls) == calls


async def test_all_pages_of_each_list_are_read(scene: Syncing):
    scene.payments.page_size = 2
    scene.payments.put(*(subscription(scene.customer_id, number, status="canceled") for number in range(5)))
    scene.payments.put(*(invoice(scene.customer_id, number) for number in range(5)))
    await scene.hear()
    await scene.sync()
    assert len(await scene.rows("SELECT FROM billing_subscriptions")) == 5
    assert len(await scene.rows("SELECT FROM billing_invoices")) == 5
    assert await scene.granted() == [5000] * 5


async def test_what_comes_during_a_look_is_another_look(scene: Syncing):
    await scene.hear()
    scene.payments.gate.clear()
    looking = asyncio.create_task(scene.sync())
    while not scene.payments.calls:
        await asyncio.sleep(0.01)
    await scene.hear()
    scene.payments.gate.set()
    assert await looking == Synced(applied=True, events=1, is_due=True)
    assert await scene.events() == ["applied", "pending"]
    assert await scene.sync() == Synced(applied=True, events=1, is_due=False)
    assert await scene.events() == ["applied", "applied"]


async def test_of_two_looks_the_one_that_was_taken_later_is_applied(scene: Syncing):
    """The first is of somebody who was taken for dead: what they read is old, and must undo nothing."""
    bought(scene)
    stale = FakePayments()
    stale.put(PayingCustomer(scene.customer_id, scene.workspace_id))
    stale.gate.clear()
    await scene.hear()
    zombie = asyncio.create_task(scene.sync(stale))
    while not stale.calls:
        await asyncio.sleep(0.01)
    assert await scene.sync() == Synced(applied=True, events=1, is_due=False)
    before = await scene.customer()
    stale.gate.set()
    assert await zombie == NOTHING
    assert await scene.customer() == before
    assert [row["status"] for row in await scene.rows("SELECT status FROM billing_subscriptions")] == ["active"]


async def test_a_look_that_fails_is_still_to_be_taken(scene: Syncing):
    bought(scene)
    await scene.hear()
    scene.payments.before = lambda call: Transient("stripe", "status 500") if call.method == "payments" else None
    with pytest.raises(Transient):
        await scene.sync()
    assert await scene.events() == ["pending"]
    assert await scene.granted() == []
    scene.payments.before = lambda _: None
    assert (await scene.sync()).applied
    assert await scene.granted() == [5000]


@pytest.mark.parametrize(
    ("refusal", "expected", "seconds"),
    [
        (CircuitOpen("stripe", "the circuit is open", retry_after=600), CircuitOpen, 30),
        (CircuitOpen("stripe", "the circuit is open", retry_after=10), CircuitOpen, 13),
        (CredentialRejected("stripe", "refuses the API key"), SyncPostponed, 30),
    ],
    ids=["long", "short", "key"],
)
async def test_while_stripe_cannot_be_asked_the_look_parks_for_half_a_minute_at_the_most(
    scene: Syncing, refusal: ProviderError, expected: type[Exception], seconds: float
):
    await scene.hear()
    scene.payments.before = lambda _: refusal
    with pytest.raises(expected) as raised:
        await scene.sync()
    assert raised.value.retryable  # type: ignore[attr-defined]
    assert 0 < raised.value.retry_after <= seconds  # type: ignore[attr-defined]


async def test_a_key_to_another_account_ends_nothing(scene: Syncing):
    """There no customer of ours is known; of one that was deleted Stripe says so for ever."""
    bought(scene)
    await scene.hear()
    await scene.sync()
    del scene.payments.by_id[scene.customer_id]
    await scene.hear()
    with pytest.raises(SyncPostponed, match="is the key that of the account"):
        await scene.sync()
    assert not (await scene.customer())["is_deleted"]
    assert [row["status"] for row in await scene.rows("SELECT status FROM billing_subscriptions")] == ["active"]


async def test_of_a_customer_that_was_deleted_everything_has_ended(scene: Syncing):
    bought(scene)
    await scene.hear()
    await scene.sync()
    scene.payments.by_id[scene.customer_id] = replace(scene.payments.by_id[scene.customer_id], is_deleted=True)
    await scene.hear()
    assert (await scene.sync()).applied
    assert (await scene.customer())["is_deleted"]
    assert [row["status"] for row in await scene.rows("SELECT status FROM billing_subscriptions")] == ["canceled"]
    assert [row["status"] for row in await scene.rows("SELECT status FROM billing_invoices")] == ["paid"]


async def test_half_a_list_ends_nothing(scene: Syncing):
    """What a page begins behind is gone when it is asked for."""
    scene.payments.put(*(subscription(scene.customer_id, number) for number in range(3)))
    await scene.hear()
    await scene.sync()
    scene.payments.page_size = 1
    asked: list[Call] = []

    def gone(call: Call) -> ProviderError | None:
        asked.append(call)
        is_second = [each.method for each in asked].count("subscriptions") == 2
        return Missing("stripe", "there is nothing of this id") if is_second else None

    scene.payments.before = gone
    await scene.hear()
    with pytest.raises(SyncPostponed):
        await scene.sync()
    assert [row["status"] for row in await scene.rows("SELECT status FROM billing_subscriptions")] == ["active"] * 3


async def test_of_a_workspace_without_a_customer_there_is_nothing_to_read(scene: Syncing):
    await scene.execute("UPDATE billing_customers SET id = NULL, due_at = now() WHERE workspace_id = :workspace_id")
    assert await scene.sync() == Synced(applied=True, events=0, is_due=False)
    assert scene.payments.calls == []
    assert (await scene.customer())["due_at"] is None


async def test_what_should_have_changed_by_itself_is_looked_at_again_after_a_while(scene: Syncing):
    """The period is over, and Stripe has not begun another yet: without a pause there would be a look without end."""
    ended = NOW - timedelta(days=1)
    scene.payments.put(subscription(scene.customer_id, period_start=ended - PERIOD, period_end=ended))
    await scene.hear()
    assert await scene.sync() == Synced(applied=True, events=1, is_due=False)
    customer = await scene.customer()
    assert customer["due_at"] > customer["synced_at"] + timedelta(minutes=4)


async def test_an_event_that_came_while_the_customer_was_stored_is_not_ignored_for_good(scene: Syncing):
    await scene.execute("UPDATE billing_customers SET id = NULL WHERE workspace_id = :workspace_id")
    await scene.hear()
    await scene.execute(
        "UPDATE billing_customers SET id = :id, due_at = now() WHERE workspace_id = :workspace_id",
        id=scene.customer_id,
    )
    await scene.sync()
    assert await scene.events() == ["applied"]


async def taken(scene: Syncing) -> list[UUID]:
    """Whom a waker wakes now, of this test's workspace: the database is shared."""
    return [each for each in await woken(scene, places=1000) if each == scene.workspace_id]


async def woken(scene: Syncing, *, places: int) -> Sequence[UUID]:
    apart, again = timedelta(seconds=0.5), timedelta(seconds=10)
    async with scene.platform.unscoped() as session:
        return await wake_repository.take_waiting(session, apart=apart, again=again, places=places)


async def test_who_is_due_is_woken_once_until_something_else_comes(scene: Syncing):
    assert await taken(scene) == []
    await scene.hear()
    assert await taken(scene) == [scene.workspace_id]
    assert await taken(scene) == []
    # Long after it was not taken.
    await scene.execute("UPDATE billing_customers SET woken_at = now() - interval '11 seconds'")
    assert await taken(scene) == [scene.workspace_id]
    # Something else comes, and half a second is over.
    await scene.execute("UPDATE billing_customers SET woken_at = now() - interval '1 second'")
    await scene.hear()
    assert await taken(scene) == [scene.workspace_id]


async def test_of_many_who_are_due_only_some_are_on_their_way_at_a_time(database: Database):
    async with syncing(database) as scene, syncing(database) as second, syncing(database) as third:
        scenes = {each.workspace_id: each for each in (scene, second, third)}
        for each in scenes.values():
            await each.hear()
        first, other = await woken(scene, places=2)
        assert await woken(scene, places=2) == []
        await scenes[first].sync()
        (last,) = await woken(scene, places=2)
        assert {first, other, last} == scenes.keys()


async def test_who_is_being_looked_at_is_not_woken(scene: Syncing):
    await scene.hear()
    scene.payments.gate.clear()
    looking = asyncio.create_task(scene.sync())
    while not scene.payments.calls:
        await asyncio.sleep(0.01)
    assert await taken(scene) == []
    scene.payments.gate.set()
    await looking
    assert await taken(scene) == []


async def test_who_is_due_at_a_later_time_is_woken_then(scene: Syncing):
    bought(scene)
    await scene.hear()
    await scene.sync()
    assert await taken(scene) == []
    await scene.execute("UPDATE billing_customers SET due_at = now() - interval '1 second'")
    assert await taken(scene) == [scene.workspace_id]


async def test_work_that_went_silent_is_found_and_made_due_again(scene: Syncing):
    await scene.hear()
    scene.payments.before = lambda _: Transient("stripe", "status 500")
    with pytest.raises(Transient):
        await scene.sync()
    customers = Customers(scene.sessions, scene.platform)
    assert scene.workspace_id not in {work.reference for work in await customers.claim_silent(60, 1000)}
    await scene.execute(
        "UPDATE billing_customers SET due_at = due_at - interval '2 minutes', seen_at = seen_at - interval '2 minutes',"
        " checked_at = checked_at - interval '2 minutes' WHERE workspace_id = :workspace_id"
    )
    (silent,) = [work for work in await customers.claim_silent(60, 1000) if work.reference == scene.workspace_id]
    assert silent.workflow_id == f"billing-customer/{scene.workspace_id}"
    # A look is one reconciler's at a time.
    assert scene.workspace_id not in {work.reference for work in await customers.claim_silent(60, 1000)}
    assert await taken(scene) == []
    await customers.start_again(silent)
    assert await taken(scene) == [scene.workspace_id]


async def test_somebody_may_ask_for_a_look(scene: Syncing):
    async with scene.sessions.for_workspace(scene.workspace_id) as session:
        assert await wake_repository.make_due(session, scene.workspace_id)
    assert (await scene.sync()).applied
    async with scene.platform.unscoped() as session:
        assert await wake_repository.make_due(session, scene.workspace_id)
    assert (await scene.sync()).applied


async def test_a_change_of_the_price_is_applied_whichever_event_told_of_it(scene: Syncing):
    bought(scene)
    await scene.hear()
    await scene.sync()
    scene.payments.put(replace(subscription(scene.customer_id), price_id="price_growth_monthly"))
    await scene.hear()
    await scene.sync()
    found = await scene.rows("SELECT price_id FROM billing_subscriptions")
    assert [row["price_id"] for row in found] == ["price_growth_monthly"]
