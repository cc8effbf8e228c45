"""ReportUsage on a real Temporal server and a real PostgreSQL, with a provider in memory."""

from collections.abc import AsyncIterator

import pytest

from app.providers.errors import CircuitOpen, InvalidQuery, Transient
from tests.app.billing.charging import charge
from tests.fakes_payments import Call, FakePayments, works
from tests.servers import Database
from tests.stack import open_stack
from tests.workflows.billing_scenes import Scene
from tests.workflows.reconciliation_scenes import start_report


@pytest.fixture
async def scene(database: Database, temporal_server: str) -> AsyncIterator[Scene]:
    async with open_stack(database, temporal_server, [], payments=FakePayments()) as stack:
        yield await Scene.on(stack)


def counted(scene: Scene) -> list[int]:
    return [each.credits for each in scene.payments.usage.values()]


async def test_what_was_charged_since_the_last_time_is_reported(scene: Scene):
    async with scene.stack.worker():
        for amount in (5, 7):
            await charge(scene.syncing, amount)
            handle = await start_report(scene.stack)
            assert await handle.result() == {"closed": 1, "reported": 1, "refused": 0, "is_complete": True}
        handle = await start_report(scene.stack)
        assert await handle.result() == {"closed": 0, "reported": 0, "refused": 0, "is_complete": True}
    assert counted(scene) == [5, 7]


async def test_a_report_whose_answer_was_lost_is_repeated_and_counts_once(scene: Scene):
    await charge(scene.syncing, 5)

    def lose_the_first(call: Call) -> Transient | None:
        return Transient("stripe", "the connection broke") if len(scene.payments.made(call.method)) == 1 else None

    scene.payments.after = lose_the_first
    async with scene.stack.worker():
        assert (await (await start_report(scene.stack)).result())["reported"] == 1
    assert counted(scene) == [5]
    assert len(scene.payments.made("report_usage")) == 2


async def test_what_cannot_be_reported_in_time_is_left_to_the_next(scene: Scene):
    """The circuit would be open for longer than until the next report."""
    await charge(scene.syncing, 5)
    scene.payments.before = lambda _: CircuitOpen("stripe", "the circuit is open", retry_after=3000)
    async with scene.stack.worker():
        first = await start_report(scene.stack)
        assert await first.result() == {"closed": 1, "reported": 0, "refused": 0, "is_complete": False}
        assert (await first.describe()).search_attributes["Outcome"] == ["unfinished"]
        scene.payments.before = works
        await charge(scene.syncing, 7)
        assert (await (await start_report(scene.stack)).result())["reported"] == 2
    assert counted(scene) == [5, 7]


async def test_what_is_refused_keeps_nothing_else_waiting(scene: Scene):
    await charge(scene.syncing, 5)
    scene.payments.before = lambda _: InvalidQuery("stripe", "no such meter")
    async with scene.stack.worker():
        handle = await start_report(scene.stack)
        assert await handle.result() == {"closed": 1, "reported": 0, "refused": 1, "is_complete": True}
        scene.payments.before = works
        await charge(scene.syncing, 7)
        assert (await (await start_report(scene.stack)).result())["reported"] == 1
    assert counted(scene) == [7]
