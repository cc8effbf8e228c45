"""Random lives of customers, whose events are duplicated, late, out of order and lost, on a Stripe that fails and with
workers that are killed: after a reconciliation our books are those that Stripe's objects make.

25 of them, the same ones every time; with ``FAULTS=all`` 200 others, unless LIVES_SEED names the seed of a run.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio

from tests.faults.billing_scene import BillingScene, selling
from tests.servers import PostgresServer

ALL = os.environ.get("FAULTS") == "all"
CUSTOMERS, STEPS = (200, 15) if ALL else (25, 8)
KILLS = 2
SEED = os.environ.get("LIVES_SEED") or (secrets.token_hex(4) if ALL else "1")

log = logging.getLogger(__name__)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(
    postgres_server: PostgresServer, temporal_server: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BillingScene]:
    with postgres_server.migrated_database() as database:
        async with selling(database, temporal_server, tmp_path_factory.mktemp("billing")) as scene:
            yield scene


async def test_after_a_reconciliation_all_is_as_stripe_has_it_and_each_grant_was_made_once(scene: BillingScene) -> None:
    random = Random(SEED)
    log.warning("LIVES_SEED=%s", SEED)
    await scene.stripe.set(
        drop_share=1 / 3,
        duplicate_share=0.2,
        reorder_share=0.3,
        delay_to_ms=200,
        fail_share=0.1,
        draft_seconds=3600,
        unpaid_as=random.choice(("canceled", "unpaid", "past_due")),
        proration_parent=random.choice(("subscription_item_details", "invoice_item_details")),
    )
    await scene.open_lives(CUSTOMERS, random)
    await scene.add_stranger()
    before, steps = scene.steps, CUSTOMERS * STEPS
    lives = asyncio.create_task(scene.live(STEPS))
    for kill in range(KILLS):
        await scene.replace_worker_at(before + (kill + 1) * steps // (KILLS + 1))
    await lives
    await scene.stripe.settle(seconds=60)

    assert (await scene.reconcile())["unfinished"] == 0
    assert await scene.differences() == []
    assert await scene.unknown() <= scene.strangers | {None}
    assert (await scene.reconcile())["differences"] == 0
    log.warning("%s", await scene.figures())


async def test_where_no_event_comes_a_reconciliation_alone_makes_all_as_stripe_has_it(scene: BillingScene) -> None:
    await scene.stripe.set(drop_share=1, fail_share=0.1)
    await scene.open_lives(CUSTOMERS // 3, Random(f"{SEED} unheard"))
    await scene.live(STEPS // 2)
    assert await scene.differences() != []

    found = await scene.reconcile()
    assert found["unfinished"] == 0
    assert found["differences"] > 0
    assert await scene.differences() == []
    assert (await scene.reconcile())["differences"] == 0
