"""A reconciliation of many customers with the emulated Stripe: calls a hundred objects, memory, and how long it takes
to find that nothing differs, and to correct everything."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from temporalio.client import Client

from app.billing.facts import InvoiceFacts, SubscriptionFacts
from app.billing.models import billing_customers, billing_invoices, billing_subscriptions
from app.db import Sessions, create_engine, new_id
from app.provider_settings import StripeSettings
from app.providers.adapters.stripe import Stripe
from app.providers.adapters.stripe_wire import WORKSPACE
from app.providers.payments import Page
from app.settings import DatabaseSettings
from benchmarks.measure import Row, watched
from benchmarks.rig import Rig, running_rig
from workflows import options
from workflows.contracts.reconciliation import Reconciliation

FEW, MANY, NEW = 1_000, 10_000, 100
MOST_CALLS = 1.1
# What a worker may grow by from FEW to MANY: pages are of the same size, and so is what it remembers.
MOST_GROWTH_MB = 10.0

Item = TypeVar("Item")

_LISTED = ("customers", "subscriptions", "invoices", "payments", "events")


@dataclass(frozen=True, slots=True)
class _Run:
    """A reconciliation: what it answered, how long it took, and by how much the worker grew meanwhile."""

    found: dict[str, Any]
    seconds: float
    growth_mb: float

    @property
    def objects(self) -> int:
        return sum(int(self.found[name]) for name in _LISTED)


async def billing(directory: Path) -> list[Row]:
    """All figures; `directory` is for a stack of our own."""
    async with running_rig(directory) as rig, _database(rig) as sessions, _stripe(rig) as stripe:
        client = await Client.connect(rig.state.temporal_address)
        await _populate(rig, sessions, FEW)
        await _take_over(stripe, sessions)
        few = await _reconcile(rig, client)
        await _populate(rig, sessions, MANY - FEW)
        await _take_over(stripe, sessions)
        many = await _reconcile(rig, client)
        await _populate(rig, sessions, NEW)
        new = await _reconcile(rig, client)
        again = await _reconcile(rig, client)
    calls = 100 * many.found["calls"] / many.objects
    growth = many.growth_mb - few.growth_mb
    label = f"{MANY:,} customers"
    differing, left = many.found["syncs"], new.found["unfinished"] + again.found["syncs"]
    return [
        Row(f"{label} reconciled: time", many.seconds, "s"),
        Row(f"{label} reconciled: objects", many.objects / many.seconds, "objects/s"),
        Row(f"{label} reconciled: looked at though nothing differs", differing, "", target="0", met=differing == 0),
        Row(
            f"{label} reconciled: list calls",
            calls,
            "/100 objects",
            target=f"≤ {MOST_CALLS:g}",
            met=calls <= MOST_CALLS,
        ),
        Row(
            f"{label} reconciled: worker grows beyond {FEW:,}'s",
            growth,
            "MB",
            target=f"< {MOST_GROWTH_MB:g} MB",
            met=growth < MOST_GROWTH_MB,
        ),
        Row(f"{NEW:,} unknown customers among them: time", new.seconds, "s"),
        Row(
            f"{NEW:,} unknown customers among them: still differing",
            left,
            "",
            target="0",
            met=left == 0 and new.found["syncs"] == NEW,
        ),
    ]


async def _populate(rig: Rig, sessions: Sessions, count: int) -> None:
    """Workspaces that have customers at Stripe, with a subscription and three paid invoices each, and know nothing of
    them yet."""
    workspaces = [new_id() for _ in range(count)]
    async with sessions.unscoped() as session:
        await session.execute(
            text("INSERT INTO workspaces (id, name) SELECT id, 'Benchmark' FROM unnest(CAST(:ids AS uuid[])) AS id"),
            {"ids": workspaces},
        )
    metadata = [{WORKSPACE: str(each)} for each in workspaces]
    await rig.sandbox("POST", "/_stripe/populate", customers=count, periods=3, metadata=metadata)


async def _reconcile(rig: Rig, client: Client) -> _Run:
    """One that lists everything, as the schedule starts it."""
    worker = {"worker": rig.state.pids["worker"]}
    async with watched(worker) as before:
        await asyncio.sleep(2)
    began = time.monotonic()
    async with watched(worker, every=0.2) as usage:
        found = await client.execute_workflow(
            "ReconcileBilling",
            Reconciliation(everything=True),
            id=f"reconcile-billing-{uuid4()}",
            task_queue=options.WORKFLOWS,
        )
    return _Run(found, time.monotonic() - began, usage["worker"].peak_mb - before["worker"].peak_mb)


async def _take_over(stripe: Stripe, sessions: Sessions) -> None:
    """Have what Stripe has, as if all customers had been looked at: that takes a look's time for each."""
    owners = {each.id: each.workspace_id async for each in _all(stripe.customers)}
    subscriptions = [
        {"workspace_id": owners[each.customer_id], **asdict(SubscriptionFacts.of(each))}
        async for each in _all(stripe.subscriptions)
    ]
    invoices = [
        {"workspace_id": owners[each.customer_id], **asdict(InvoiceFacts.of(each, {}))}
        async for each in _all(stripe.invoices)
    ]
    customers = [{"workspace_id": workspace_id, "id": each} for each, workspace_id in owners.items()]
    async with sessions.unscoped() as session:
        for table, rows in (
            (billing_customers, customers),
            (billing_subscriptions, subscriptions),
            (billing_invoices, [{**row, "payment_ids": list(row["payment_ids"])} for row in invoices]),
        ):
            await session.execute(insert(table).on_conflict_do_nothing(), rows)


async def _all(read: Callable[..., Awaitable[Page[Item]]]) -> AsyncIterator[Item]:
    after = None
    while True:
        page = await read(after=after)
        for each in page.items:
            yield each
        if page.next is None:
            return
        after = page.next


@asynccontextmanager
async def _stripe(rig: Rig) -> AsyncIterator[Stripe]:
    key = SecretStr("sk_test_benchmark")
    stripe = Stripe(StripeSettings(base_url=f"{rig.state.sandbox_url}/stripe", api_key=key))
    try:
        yield stripe
    finally:
        await stripe.close()


@asynccontextmanager
async def _database(rig: Rig) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(rig.owner_url), DatabaseSettings(pool_size=2), application="benchmark")
    try:
        yield Sessions(engine)
    finally:
        await engine.dispose()
