"""What workspaces used is summed up once, and counts once at Stripe, whatever becomes of the answers."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.billing.usage import Reporter, close_batches, redrive_page
from app.db import new_id
from app.deadletters import redrives
from app.deadletters.redrives_repository import Redrive
from app.deadletters.repository import LetterFilter
from app.idempotency.answers import Remembered
from app.providers.errors import CircuitOpen, InvalidQuery, Missing, StoredFailure, Transient
from app.providers.payments import PayingCustomer
from tests.app.billing.charging import charge
from tests.app.billing.stripe_events import add_customer
from tests.app.billing.syncing import Syncing, syncing
from tests.builders import make_workspace
from tests.fakes_payments import Call, works
from tests.servers import Database
from workflows.contracts.deadletters import RedriveRef
from workflows.contracts.usage import Reported, Workspaces

LOST = Transient("stripe", "the connection broke")


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Syncing]:
    async with syncing(database) as scene:
        yield scene


async def close(scene: Syncing) -> int:
    return (await close_batches(scene.sessions, scene.platform, Workspaces())).batches


async def report(scene: Syncing) -> Reported:
    return await Reporter(scene.sessions, scene.platform, scene.payments).report(Workspaces())


async def batches(scene: Syncing) -> list[dict[str, Any]]:
    return await scene.rows("SELECT * FROM billing_usage_batches ORDER BY after_seq")


def counted(scene: Syncing) -> list[int]:
    """The credits that Stripe was told of, by identifier."""
    return [each.credits for each in scene.payments.usage.values()]


async def tried(scene: Syncing, ago: timedelta) -> None:
    """Have the first attempts at what is not reported be so long ago."""
    await scene.execute("UPDATE billing_usage_batches SET attempted_at = now() - CAST(:ago AS interval)", ago=ago)


async def redriven(scene: Syncing) -> list[str]:
    """Redrive the letters that are open, as the API and the workflow do; the results."""
    admin = Caller(scene.workspace_id, ROLE_PERMISSIONS["admin"], "admin", user_id=new_id())
    wanted = LetterFilter(state="open")
    told: list[Redrive] = []

    def answer(redrive: Redrive) -> Remembered:
        told.append(redrive)
        return Remembered(202, {}, {})

    await redrives.start(scene.sessions, admin, wanted, answer, once=None)
    await redrive_page(scene.sessions, RedriveRef(str(scene.workspace_id), str(told[0].id)))
    _, items = await redrives.get_redrive(scene.sessions, scene.workspace_id, told[0].id, after=None, limit=10)
    return [item.result for item in items]


async def states(scene: Syncing) -> list[str]:
    return [row["state"] for row in await scene.rows("SELECT state FROM dead_letters")]


async def letters(scene: Syncing) -> list[tuple[str, str, str]]:
    rows = await scene.rows("SELECT process, payload_id, reason FROM dead_letters")
    return [(row["process"], row["payload_id"], row["reason"]) for row in rows]


async def test_what_was_charged_is_one_batch_and_counts_once(scene: Syncing):
    await charge(scene, 5)
    await charge(scene, 7)
    assert await close(scene) == 1
    assert await close(scene) == 0
    assert await report(scene) == Reported(1, 0, str(scene.workspace_id))
    [batch] = await batches(scene)
    assert (batch["credits"], batch["error"]) == (12, None)
    assert batch["reported_at"] is not None
    assert counted(scene) == [12]
    assert await report(scene) == Reported(0, 0, None)
    assert len(scene.payments.made("report_usage")) == 1


async def test_the_next_batch_begins_where_the_last_one_ended(scene: Syncing):
    await charge(scene, 5)
    await close(scene)
    await charge(scene, 7)
    await close(scene)
    first, second = await batches(scene)
    assert (first["credits"], second["credits"]) == (5, 7)
    assert second["after_seq"] == first["through_seq"]
    await report(scene)
    assert counted(scene) == [5, 7]


async def test_what_was_used_before_there_was_a_customer_is_not_billed(scene: Syncing):
    await charge(scene, 5)
    await scene.execute("UPDATE billing_customers SET created_at = clock_timestamp()")
    assert await close(scene) == 0
    await charge(scene, 7)
    assert await close(scene) == 1
    assert [batch["credits"] for batch in await batches(scene)] == [7]


@pytest.mark.parametrize("change", ["id = NULL", "is_deleted = true"], ids=["no-customer", "deleted"])
async def test_whoever_cannot_be_billed_is_left_out(scene: Syncing, change: str):
    await charge(scene, 5)
    await scene.execute(f"UPDATE billing_customers SET {change}")
    assert await close(scene) == 0


async def test_each_workspace_pays_for_its_own(scene: Syncing):
    other = await make_workspace(scene.owner, credit=0)
    async with scene.owner.unscoped() as session:
        await add_customer(session, other, "cus_other")
    scene.payments.put(PayingCustomer("cus_other", other))
    await charge(scene, 5)
    await charge(scene, 7, other)
    assert await close(scene) == 2
    assert (await report(scene)).reported == 2
    told = {(each.customer_id, each.credits) for each in scene.payments.usage.values()}
    assert told == {(scene.customer_id, 5), ("cus_other", 7)}


async def test_a_report_whose_answer_was_lost_counts_once(scene: Syncing):
    await charge(scene, 5)
    await close(scene)
    scene.payments.after = lambda _: LOST
    with pytest.raises(Transient):
        await report(scene)
    scene.payments.after = works
    assert (await report(scene)).reported == 1
    assert counted(scene) == [5]
    first, second = scene.payments.made("report_usage")
    assert first == second


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_failure_that_stripe_stored_is_got_over_with_another_key(scene: Syncing, when: str):
    await charge(scene, 5)
    await close(scene)
    setattr(scene.payments, when, lambda _: StoredFailure("stripe", "status 500"))
    with pytest.raises(Transient):
        await report(scene)
    setattr(scene.payments, when, works)
    with pytest.raises(StoredFailure):
        await report(scene)
    assert (await report(scene)).reported == 1
    assert counted(scene) == [5]
    keys = [(call.key or "").rsplit(":", 1)[1] for call in scene.payments.made("report_usage")]
    assert keys == ["0", "0", "1"]


async def test_one_that_cannot_be_reported_now_keeps_no_other_workspace_waiting(scene: Syncing):
    other = await make_workspace(scene.owner, credit=0)
    async with scene.owner.unscoped() as session:
        await add_customer(session, other, "cus_other")
    scene.payments.put(PayingCustomer("cus_other", other))
    await charge(scene, 5)
    await charge(scene, 7, other)
    await close(scene)

    def before(call: Call) -> Transient | None:
        return LOST if call.about == scene.customer_id else None

    scene.payments.before = before
    with pytest.raises(Transient):
        await report(scene)
    assert counted(scene) == [7]


async def test_what_stripe_counted_in_spite_of_the_answer_is_not_sent_again_a_day_later(scene: Syncing):
    await charge(scene, 5)
    await close(scene)
    scene.payments.after = lambda _: LOST
    with pytest.raises(Transient):
        await report(scene)
    scene.payments.after = works
    await tried(scene, timedelta(hours=21))
    assert (await report(scene)).reported == 1
    assert counted(scene) == [5]
    assert len(scene.payments.made("report_usage")) == 1


async def test_what_stripe_never_heard_of_is_sent_again_a_day_later(scene: Syncing):
    for amount in (5, 7):
        await charge(scene, amount)
        await close(scene)
        if amount == 5:
            await report(scene)
    scene.payments.before = lambda _: CircuitOpen("stripe", "the circuit is open")
    with pytest.raises(CircuitOpen):
        await report(scene)
    scene.payments.before = works
    await tried(scene, timedelta(hours=21))
    scene.payments.after = lambda call: LOST if call.method == "report_usage" else None
    with pytest.raises(Transient):
        await report(scene)
    scene.payments.after = works
    # The time within which Stripe knows it again begins anew with what was sent now.
    assert (await report(scene)).reported == 1
    assert counted(scene) == [5, 7]
    assert len(scene.payments.made("reported_usage")) == 1


async def test_what_may_have_counted_in_part_is_for_people_to_decide(scene: Syncing):
    await charge(scene, 5)
    await close(scene)
    [batch] = await batches(scene)
    await scene.payments.report_usage(scene.customer_id, 3, identifier="by hand", at=batch["used_at"], key="by hand")
    await tried(scene, timedelta(hours=21))
    assert (await report(scene)).refused == 1
    [batch] = await batches(scene)
    assert (batch["error"], batch["reported_at"]) == ("usage_unclear", None)
    assert await letters(scene) == [("billing", str(batch["id"]), "usage_unclear")]
    assert await report(scene) == Reported(0, 0, None)
    assert counted(scene) == [3]


async def test_what_stripe_takes_no_more_ends_with_a_dead_letter(scene: Syncing):
    await charge(scene, 5)
    await close(scene)
    await scene.execute("UPDATE billing_usage_batches SET used_at = now() - interval '35 days'")
    assert (await report(scene)).refused == 1
    [batch] = await batches(scene)
    assert await letters(scene) == [("billing", str(batch["id"]), "usage_too_old")]
    assert scene.payments.calls == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Missing("stripe", "no such customer"), "customer_missing"),
        (InvalidQuery("stripe", "no such meter"), "usage_refused"),
    ],
    ids=["customer", "meter"],
)
async def test_what_stripe_refuses_ends_with_a_dead_letter(scene: Syncing, error: InvalidQuery, reason: str):
    await charge(scene, 5)
    await close(scene)
    scene.payments.before = lambda _: error
    assert (await report(scene)).refused == 1
    [batch] = await batches(scene)
    assert await letters(scene) == [("billing", str(batch["id"]), reason)]


async def test_a_redriven_letter_is_resolved_by_the_next_report(scene: Syncing):
    await charge(scene, 5)
    await close(scene)
    scene.payments.before = lambda _: InvalidQuery("stripe", "no such meter")
    await report(scene)
    assert await redriven(scene) == ["redriven"]
    assert await states(scene) == ["redriven"]
    assert (await report(scene)).refused == 1
    assert await states(scene) == ["open"]
    scene.payments.before = works
    assert await redriven(scene) == ["redriven"]
    assert (await report(scene)).reported == 1
    assert await states(scene) == ["resolved"]
    assert counted(scene) == [5]
    keys = [call.key for call in scene.payments.made("report_usage")]
    assert len(set(keys)) == len(keys) == 3


async def test_a_letter_of_what_was_reported_meanwhile_is_not_redriven(scene: Syncing):
    await charge(scene, 5)
    await close(scene)
    scene.payments.before = lambda _: InvalidQuery("stripe", "no such meter")
    await report(scene)
    scene.payments.before = works
    await scene.execute("UPDATE billing_usage_batches SET error = NULL, reported_at = now()")
    assert await redriven(scene) == ["refused"]
    assert await report(scene) == Reported(0, 0, None)
    assert counted(scene) == []


async def test_workspaces_are_gone_through_in_turn(scene: Syncing):
    await charge(scene, 5)
    closed = await close_batches(scene.sessions, scene.platform, Workspaces())
    assert (closed.batches, closed.last) == (1, str(scene.workspace_id))
    after = Workspaces(str(scene.workspace_id))
    assert (await close_batches(scene.sessions, scene.platform, after)).last is None
    reporter = Reporter(scene.sessions, scene.platform, scene.payments)
    assert await reporter.report(after) == Reported(0, 0, None)
