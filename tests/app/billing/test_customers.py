"""One customer for each workspace, whatever happens while it is made; and the end of what it pays for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.billing.customers import cancel_subscriptions, ensure_customer
from app.billing.errors import SyncPostponed
from app.db import Sessions, create_engine, new_id
from app.providers.errors import Outage, ProviderError, StoredFailure, Transient
from app.providers.payments import PayingCustomer
from app.settings import DatabaseSettings
from tests.api import owner_sessions
from tests.app.billing.stripe_events import add_customer, customer_of
from tests.app.billing.syncing import subscription
from tests.builders import make_workspace
from tests.fakes_payments import Call, FakePayments, works
from tests.servers import Database


@dataclass(frozen=True)
class Scene:
    """A workspace, and a Stripe in memory."""

    sessions: Sessions
    owner: Sessions
    payments: FakePayments
    workspace_id: UUID

    async def ensure(self) -> str:
        return await ensure_customer(self.sessions, self.payments, self.workspace_id)

    async def row(self) -> dict[str, Any]:
        return await customer_of(self.owner, self.workspace_id)

    async def execute(self, query: str) -> None:
        async with self.owner.unscoped() as session:
            await session.execute(text(query), {"workspace_id": self.workspace_id})

    def used_keys(self) -> list[str | None]:
        return [call.key for call in self.payments.made("create_customer")]


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Scene]:
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(), application="tests")
    try:
        async with owner_sessions(database) as owner:
            yield Scene(Sessions(engine), owner, FakePayments(), await make_workspace(owner))
    finally:
        await engine.dispose()


def once(error: ProviderError) -> Any:
    """A hook that fails the first call."""
    errors = iter([error])
    return lambda _: next(errors, None)


async def test_a_customer_is_made_with_the_workspaces_name_and_is_looked_at(scene: Scene):
    customer_id = await scene.ensure()
    assert scene.payments.by_id[customer_id].workspace_id == scene.workspace_id
    assert scene.payments.names[customer_id] == "Test"
    row = await scene.row()
    assert row["id"] == customer_id
    assert row["due_at"] is not None
    assert scene.used_keys() == [f"billing-customer/{scene.workspace_id}:create:0"]


async def test_many_who_ask_at_the_same_time_get_the_same_customer(scene: Scene):
    found = await asyncio.gather(*(scene.ensure() for _ in range(20)))
    assert len(set(found)) == 1
    assert len(scene.payments.by_id) == 1
    assert await scene.ensure() == found[0]


async def test_what_stripe_did_before_the_connection_broke_is_not_done_again(scene: Scene):
    scene.payments.after = once(Transient("stripe", "the connection broke"))
    with pytest.raises(Transient):
        await scene.ensure()
    assert (await scene.row())["id"] is None
    # The key goes with the same request, whatever the workspace is called now.
    await scene.execute("UPDATE workspaces SET name = 'Renamed' WHERE id = :workspace_id")
    customer_id = await scene.ensure()
    assert list(scene.payments.by_id) == [customer_id]
    assert len(set(scene.used_keys())) == 1


async def test_who_dies_between_stripes_answer_and_the_commit_is_followed_by_one_who_gets_the_same_answer(scene: Scene):
    def die(_: Call) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    scene.payments.after = die
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(scene.ensure())
    assert (await scene.row())["id"] is None
    scene.payments.after = works
    customer_id = await scene.ensure()
    assert list(scene.payments.by_id) == [customer_id]


async def test_a_failure_that_stripe_stored_gets_another_key_once_it_is_seen_that_there_is_no_customer(scene: Scene):
    scene.payments.before = once(StoredFailure("stripe", "status 500"))
    with pytest.raises(Transient):
        await scene.ensure()
    with pytest.raises(StoredFailure):
        await scene.ensure()
    assert len(scene.payments.made("customers")) == 1
    customer_id = await scene.ensure()
    assert list(scene.payments.by_id) == [customer_id]
    assert [str(key)[-1] for key in scene.used_keys()] == ["0", "0", "1"]


async def test_a_failure_that_stripe_stored_after_the_effect_makes_no_second_customer(scene: Scene):
    scene.payments.put(*(PayingCustomer(f"cus_{number}", new_id()) for number in range(150)))
    scene.payments.after = once(StoredFailure("stripe", "status 500"))
    with pytest.raises(Transient):
        await scene.ensure()
    customer_id = await scene.ensure()
    assert scene.payments.by_id[customer_id].workspace_id == scene.workspace_id
    assert len(scene.payments.by_id) == 151
    assert (await scene.row())["generation"] == 0


async def test_a_key_that_stripe_may_have_forgotten_is_not_used_before_it_is_seen_that_there_is_no_customer(
    scene: Scene,
):
    scene.payments.after = once(Transient("stripe", "the connection broke"))
    with pytest.raises(Transient):
        await scene.ensure()
    await scene.execute("UPDATE billing_customers SET creating_at = now() - interval '13 hours'")
    [made] = scene.payments.by_id
    assert await scene.ensure() == made
    assert len(scene.used_keys()) == 1


async def test_while_stripe_is_away_there_is_no_customer_and_the_key_stays(scene: Scene):
    scene.payments.before = lambda _: Outage("stripe", "no connection can be made")
    for _ in range(3):
        with pytest.raises(Outage):
            await scene.ensure()
    scene.payments.before = works
    assert await scene.ensure() in scene.payments.by_id
    assert len(set(scene.used_keys())) == 1


async def test_every_subscription_that_goes_on_is_cancelled_and_no_other(scene: Scene):
    customer_id = await scene.ensure()
    ended = replace(subscription(customer_id, 1), status="canceled", ended_at=datetime.now(UTC))
    scene.payments.put(
        ended,
        *(subscription(customer_id, number, status=status) for number, status in enumerate(("active", "past_due"), 2)),
        *(subscription(customer_id, number) for number in range(4, 130)),
    )
    await scene.execute("UPDATE billing_customers SET due_at = NULL")
    cancel = await cancel_subscriptions(scene.sessions, scene.payments, scene.workspace_id)
    assert cancel == 128
    assert {each.status for each in scene.payments.subscriptions_by_id.values()} == {"canceled"}
    assert (await scene.row())["due_at"] is not None
    assert await cancel_subscriptions(scene.sessions, scene.payments, scene.workspace_id) == 0
    assert len(scene.payments.made("cancel_subscription")) == 128


async def test_a_workspace_that_is_no_customer_has_nothing_to_cancel(scene: Scene):
    assert await cancel_subscriptions(scene.sessions, scene.payments, scene.workspace_id) == 0
    assert scene.payments.calls == []


async def test_a_customer_that_was_deleted_at_stripe_has_nothing_to_cancel(scene: Scene):
    customer_id = await scene.ensure()
    scene.payments.by_id[customer_id] = replace(scene.payments.by_id[customer_id], is_deleted=True)
    assert await cancel_subscriptions(scene.sessions, scene.payments, scene.workspace_id) == 0


async def test_subscriptions_in_another_account_do_not_count_as_cancelled(scene: Scene):
    async with scene.owner.unscoped() as session:
        await add_customer(session, scene.workspace_id, "cus_elsewhere")
    with pytest.raises(SyncPostponed, match="is the key that of the account"):
        await cancel_subscriptions(scene.sessions, scene.payments, scene.workspace_id)
