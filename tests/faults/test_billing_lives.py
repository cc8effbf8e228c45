"""Random lives of customers, whose events are duplicated, late, out of order and lost, on a Stripe that fails and with
workers that are killed: after a reconciliation our books are those that Stripe's objects make.

20 of them, the same ones every time; with ``FAULTS=all`` 200 others, unless LIVES_SEED names the seed of a run.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.billing_scene import BillingScene, selling
from tests.servers import Database

ALL = os.environ.get("FAULTS") == "all"
SEED = os.environ.get("LIVES_SEED") or (secrets.token_hex(4) if ALL else "1")
# Customers, their steps a round, rounds, and the share of events that never come.
CASES = {"a third is lost": (200, 8, 2, 1 / 3), "all are lost": (40, 8, 2, 1.0)}
if not ALL:
    CASES = {"a third is lost": (20, 6, 1, 1 / 3)}

log = logging.getLogger(__name__)


@pytest.fixture
async def scene(database: Database, temporal_server: str, tmp_path: Path) -> AsyncIterator[BillingScene]:
    async with selling(database, temporal_server, tmp_path) as scene:
        yield scene


@pytest.mark.parametrize(("customers", "steps", "rounds", "drop_share"), CASES.values(), ids=CASES)
async def test_after_a_reconciliation_all_is_as_stripe_has_it_and_each_grant_was_made_once(
    scene: BillingScene, customers: int, steps: int, rounds: int, drop_share: float
) -> None:
    log.warning("LIVES_SEED=%s", SEED)
    random = Random(f"{SEED} {drop_share}")
    switches = {
        "drop_share": drop_share,
        "duplicate_share": 0.2,
        "reorder_share": 0.3,
        "delay_to_ms": 200,
        "fail_share": 0.1,
        "draft_seconds": 3600,
        "unpaid_as": random.choice(("canceled", "unpaid", "past_due")),
        "proration_parent": random.choice(("subscription_item_details", "invoice_item_details")),
    }
    await scene.stripe.set(**switches)
    await scene.start_worker()
    starting = asyncio.create_task(scene.start_worker())
    await scene.open_lives(customers, random)
    await scene.add_stranger()
    # The first reconciliation compares everything, each later one what changed since.
    for _ in range(rounds):
        await starting
        lives = asyncio.create_task(scene.live(steps))
        if drop_share < 1:
            await scene.until_taken(scene.steps + customers * steps // 2)
            await scene.kill_worker_amid_looks()
            await scene.start_worker()
        await lives
        await scene.until_delivered()
        await scene.until_looked()
        # And then all is lost: no later event makes up for it.
        await scene.stripe.set(**switches | {"drop_share": 1})
        await scene.live(2)
        await scene.stripe.set(**switches)

        reconciling = asyncio.create_task(scene.reconcile())
        await scene.kill_worker_amid_reconciliation()
        starting = asyncio.create_task(scene.start_worker())
        found = await reconciling
        assert found["unfinished"] == 0
        assert found["differences"] > 0
        assert await scene.differences() == []
        assert await scene.unknown() <= scene.strangers | {None}
    await starting
    assert (await scene.reconcile())["differences"] == 0
    log.warning("%s", await scene.figures())
