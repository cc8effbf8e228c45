"""An installation of real processes that sells plans, on an emulated Stripe that loses events and fails calls."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.client import Client, ScheduleActionExecutionStartWorkflow

from app.auth.permissions import KEY_SCOPES
from app.auth.service import create_api_key
from app.db import Sessions, create_engine
from app.sandbox.server import SandboxOptions, serve
from app.settings import DatabaseSettings, TemporalSettings
from app.temporal import connect
from app.workspaces.service import create_workspace
from tests.api import Tenant
from tests.faults.billing_books import Stripe, our_books
from tests.faults.billing_lives import Life
from tests.processes import Installation, Process
from tests.servers import Database
from tests.stripe_sandbox import API_KEY, SECRET, StripeSandbox, open_stripe

log = logging.getLogger(__name__)

SETTINGS = {
    "HOLDFAST_PROVIDERS__STRIPE__API_KEY": API_KEY,
    "HOLDFAST_PROVIDERS__STRIPE__QUOTAS": "[]",
    "HOLDFAST_PROVIDERS__STRIPE__BREAKER__RESET_SECONDS": "0.5",
    "HOLDFAST_BILLING__WEBHOOK_SECRETS": json.dumps([SECRET]),
    "HOLDFAST_RATE_LIMITS__API": "1000000",
}
# The lives have a Stripe that answers: what fails are our calls.
LIVES_KEY = "sk_test_spared"
_AT_A_TIME = 16
_OFFERS = (("starter", "month"), ("starter", "year"), ("growth", "month"), ("growth", "year"), ("scale", "month"))


@dataclass
class Subscriber:
    """A workspace, the customer of Stripe's that it is, and that customer's life."""

    tenant: Tenant
    customer: str
    life: Life


@dataclass
class BillingScene:
    """`steps` counts those that the lives have taken; `kills` those of workers."""

    installation: Installation
    stripe: StripeSandbox
    sessions: Sessions
    platform: Sessions
    owner: Sessions
    temporal: Client
    api: str
    subscribers: list[Subscriber] = field(default_factory=list)
    strangers: set[str] = field(default_factory=set)
    steps: int = 0
    kills: int = 0
    _workers: list[AbstractContextManager[Process]] = field(default_factory=list)

    async def start_worker(self) -> None:
        """A real one; return when it is ready."""
        opened = self.installation.worker()
        # Its start must not keep the emulator from answering, which is in this process.
        await asyncio.to_thread(opened.__enter__)
        self._workers.append(opened)

    def kill_worker(self) -> None:
        """SIGKILL to the one that lives longest; the others live on."""
        self._workers.pop(0).__exit__(None, None, None)
        self.kills += 1

    def stop_workers(self) -> None:
        while self._workers:
            self._workers.pop().__exit__(None, None, None)

    async def kill_worker_amid_looks(self) -> None:
        """As soon as somebody looks at customers."""
        await self._until("billing_customers WHERE due_at <= now() AND seen_at = due_at", seconds=30)
        self.kill_worker()

    async def kill_worker_amid_reconciliation(self) -> None:
        """As soon as one has begun."""
        await self._until("billing_reconciliations WHERE finished_at IS NULL", seconds=30)
        self.kill_worker()

    async def until_delivered(self) -> None:
        """Wait until no event is under way."""
        async with asyncio.timeout(300):
            # Its answer is long.
            while (await self.stripe.control("GET", "/_stripe/deliveries"))["pending"]:
                await asyncio.sleep(0.2)

    async def until_looked(self) -> None:
        """Wait until nobody is to look at any customer."""
        await self._until("billing_customers WHERE due_at <= now()", seconds=300, there_is=False)

    async def open_lives(self, count: int, random: Random) -> None:
        """Workspaces whose owners open a page to buy a plan on, by our API; what they do there is up to them."""
        begun = asyncio.Semaphore(_AT_A_TIME)

        async def begin(seed: str) -> Subscriber:
            async with begun:
                chance = Random(seed)
                tenant = await self._tenant(seed)
                page = await self._page(tenant, *chance.choice(_OFFERS))
                session = await self.stripe.api.v1.checkout.sessions.retrieve_async(page)
                customer = str(session.customer)
                life = Life(self.stripe, customer, chance, page=page)
                await life.begin()
                return Subscriber(tenant, customer, life)

        seeds = [f"{random.random()}" for _ in range(count)]
        self.subscribers += await asyncio.gather(*map(begin, seeds))

    async def add_stranger(self) -> None:
        """A customer of Stripe's who is none of ours."""
        customer = await self.stripe.customer()
        await self.stripe.subscribe(customer)
        self.strangers.add(customer)

    async def live(self, steps: int) -> None:
        """Have all lives go on for so many steps, side by side, a few at a time."""
        turn = asyncio.Semaphore(_AT_A_TIME)

        async def go_on(life: Life) -> None:
            for _ in range(steps):
                async with turn:
                    await life.go_on()
                self.steps += 1

        await asyncio.gather(*(go_on(each.life) for each in self.subscribers))

    async def until_taken(self, steps: int) -> None:
        """Wait until the lives have taken so many steps in all."""
        while self.steps < steps:
            await asyncio.sleep(0.005)

    async def reconcile(self) -> dict[str, Any]:
        """As an operator does it who triggers the schedule; what came of it."""
        schedule = self.temporal.get_schedule_handle(f"{self.installation.prefix}reconcile-billing")
        async with asyncio.timeout(30):
            while not await self._has_schedule():
                await asyncio.sleep(0.05)
        before = (await schedule.describe()).info.num_actions
        await schedule.trigger()
        async with asyncio.timeout(30):
            while (info := (await schedule.describe()).info).num_actions == before:
                await asyncio.sleep(0.05)
        started = info.recent_actions[-1].action
        assert isinstance(started, ScheduleActionExecutionStartWorkflow)
        handle = self.temporal.get_workflow_handle(started.workflow_id, run_id=started.first_execution_run_id)
        found: dict[str, Any] = await handle.result()
        log.warning("reconciled: %s", found)
        return found

    async def differences(self) -> list[str]:
        """Between our books and those that follow from what Stripe has; and what is wrong with ours alone."""
        stripe = await Stripe.read(self.stripe)
        covered: Counter[str] = Counter()
        async with self.platform.unscoped() as session:
            now = (await session.execute(text("SELECT extract(epoch FROM now())"))).scalar_one()
        found = []
        for each in self.subscribers:
            ours, wrong = await our_books(self.sessions, each.tenant.workspace_id)
            theirs = stripe.books(each.customer, now=float(now))
            covered.update(theirs.marks())
            found += [f"{each.customer}: {said}" for said in (*wrong, *ours.differences(theirs))]
        made = Counter(each["metadata"].get("workspace_id") for each in stripe.customers.values())
        found += [f"{workspace} is {times} customers" for workspace, times in made.items() if workspace and times > 1]
        log.warning("lived: %s", dict(sorted(covered.items())))
        return found

    async def unknown(self) -> set[str | None]:
        """The customers of the events that found nobody whom they are about."""
        query = text("SELECT DISTINCT customer_id FROM billing_events WHERE reason = 'unknown_customer'")
        async with self.platform.unscoped() as session:
            return set((await session.execute(query)).scalars())

    async def figures(self) -> dict[str, int]:
        """What happened to events and to calls."""
        sent = (await self.stripe.control("GET", "/_stripe/deliveries"))["sent"]
        calls = (await self.stripe.control("GET", "/_log/stripe"))["calls"]
        times = Counter(each["event"] for each in sent if each["outcome"] == 200)
        return {
            "customers": len(self.subscribers),
            "steps": self.steps,
            "events": len({each["event"] for each in sent}),
            "dropped": sum(each["outcome"] == "dropped" for each in sent),
            "delivered": len(times),
            "twice": sum(count > 1 for count in times.values()),
            "calls": len(calls),
            "failed calls": sum(status == 0 or status >= 500 for _, status in calls),
            "kills": self.kills,
        }

    async def _tenant(self, name: str) -> Tenant:
        async with self.owner.unscoped() as session:
            workspace_id = await create_workspace(session, name)
            return Tenant(workspace_id, *await create_api_key(session, workspace_id, name, KEY_SCOPES))

    async def _page(self, tenant: Tenant, plan: str, interval: str) -> str:
        """A checkout session, opened by our API; Stripe's id of it."""
        url = f"{self.api}{tenant.path}/billing/checkout-sessions"
        body = {"plan": plan, "interval": interval}
        async with aiohttp.ClientSession(headers=tenant.headers) as client:
            async with client.post(url, json=body, params={"wait_seconds": 30}) as answer:
                said = await answer.json()
                assert answer.status in (201, 202), said
            async with asyncio.timeout(60):
                while (page := said["data"])["status"] == "pending":
                    async with client.get(f"{url}/{page['id']}") as answer:
                        said = await answer.json()
                    await asyncio.sleep(0.05)
        assert page["status"] == "open", page
        return str(page["url"]).rpartition("/")[2]

    async def _until(self, rows: str, *, seconds: float, there_is: bool = True) -> None:
        """Wait until there is such a row, or none."""
        query = text(f"SELECT EXISTS (SELECT FROM {rows})")
        async with asyncio.timeout(seconds):
            while True:
                async with self.platform.unscoped() as session:
                    if (await session.execute(query)).scalar_one() is there_is:
                        return
                await asyncio.sleep(0.005)

    async def _has_schedule(self) -> bool:
        wanted = f"{self.installation.prefix}reconcile-billing"
        return wanted in [each.id async for each in await self.temporal.list_schedules()]


@asynccontextmanager
async def selling(database: Database, temporal: str, logs: Path) -> AsyncIterator[BillingScene]:
    """With an API, and no worker yet."""
    engines = [
        create_engine(SecretStr(url), DatabaseSettings(), application="test")
        for url in (database.app_url, database.platform_url, database.owner_url)
    ]
    sandbox = await serve(SandboxOptions())
    settings = SETTINGS | {"HOLDFAST_PROVIDERS__STRIPE__BASE_URL": f"{sandbox.url}/stripe"}
    installation = Installation(database, temporal, sandbox.url, logs, settings)
    client = await connect(TemporalSettings(address=temporal, task_queue_prefix=installation.prefix), lazy=False)
    opened = installation.api()
    try:
        api = await asyncio.to_thread(opened.__enter__)
        async with open_stripe(sandbox.url, LIVES_KEY) as stripe:
            await stripe.webhook(f"{api.url}/api/v1/billing/stripe/events")
            app, platform, owner = map(Sessions, engines)
            scene = BillingScene(installation, stripe, app, platform, owner, client, api.url)
            try:
                yield scene
            finally:
                scene.stop_workers()
    finally:
        opened.__exit__(None, None, None)
        await sandbox.close()
        for engine in engines:
            await engine.dispose()
