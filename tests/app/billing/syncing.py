"""A workspace that is a customer of a Stripe in memory, for tests of how the two are kept in step."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text

from app.billing.plans import load_plans
from app.billing.sync import sync
from app.db import Sessions, create_engine, new_id
from app.providers.payments import Invoice, InvoiceLine, PayingCustomer, Payment, Subscription
from app.settings import BillingSettings, DatabaseSettings
from tests.api import owner_sessions
from tests.app.billing.stripe_events import add_customer, customer_of
from tests.builders import make_workspace
from tests.fakes_payments import FakePayments
from tests.servers import Database
from workflows.contracts.billing import Synced

NOW = datetime.now(UTC).replace(microsecond=0)
PERIOD = timedelta(days=30)
PRICE = "price_starter_monthly"


def subscription(customer_id: str, number: int = 1, **more: Any) -> Subscription:
    values: dict[str, Any] = {
        "id": f"sub_{number}",
        "customer_id": customer_id,
        "status": "active",
        "price_id": PRICE,
        "quantity": 1,
        "period_start": NOW,
        "period_end": NOW + PERIOD,
        "cancel_at_period_end": False,
        "cancel_at": None,
        "canceled_at": None,
        "ended_at": None,
        "created_at": NOW,
    }
    return Subscription(**values | more)


def invoice(customer_id: str, number: int = 1, **more: Any) -> Invoice:
    """A paid one, for a period of the subscription of the same number."""
    line = InvoiceLine(f"il_{number}", PRICE, f"sub_{number}", 4900, 1, NOW, NOW + PERIOD, is_proration=False)
    values: dict[str, Any] = {
        "id": f"in_{number}",
        "customer_id": customer_id,
        "subscription_id": f"sub_{number}",
        "status": "paid",
        "number": None,
        "currency": "usd",
        "amount_due": 4900,
        "amount_paid": 4900,
        "attempts": 1,
        "next_attempt_at": None,
        "hosted_url": None,
        "payment_ids": (f"pi_{number}",),
        "lines": (line,),
        "created_at": NOW + timedelta(seconds=number),
        "paid_at": NOW,
    }
    return Invoice(**values | more)


def payment(customer_id: str, number: int = 1, **more: Any) -> Payment:
    """That of the invoice of the same number."""
    values: dict[str, Any] = {
        "id": f"ch_{number}",
        "payment_id": f"pi_{number}",
        "customer_id": customer_id,
        "amount": 4900,
        "refunded": 0,
        "dispute": "none",
        "created_at": NOW,
    }
    return Payment(**values | more)


@dataclass(frozen=True)
class Syncing:
    """`sessions` are the worker's, `platform` those of the waker and the reconciler."""

    sessions: Sessions
    platform: Sessions
    owner: Sessions
    payments: FakePayments
    workspace_id: UUID
    customer_id: str

    async def sync(self, payments: FakePayments | None = None) -> Synced:
        return await sync(
            self.sessions,
            payments or self.payments,
            load_plans(None),
            BillingSettings(),
            self.workspace_id,
            low_threshold=0,
        )

    async def execute(self, statement: str, **values: object) -> None:
        async with self.owner.for_workspace(self.workspace_id) as session:
            await session.execute(text(statement), {"workspace_id": self.workspace_id, **values})

    async def rows(self, query: str) -> list[dict[str, Any]]:
        async with self.sessions.for_workspace(self.workspace_id) as session:
            return [dict(row) for row in (await session.execute(text(query))).mappings()]

    async def hear(self) -> str:
        """An event about the customer comes, as the API stores it; its id."""
        event_id = f"evt_{new_id().hex}"
        async with self.sessions.unscoped() as session:
            await session.execute(
                text("SELECT store_billing_event(:id, 'invoice.paid', :customer, NULL, now(), '{}')"),
                {"id": event_id, "customer": self.customer_id},
            )
        return event_id

    async def customer(self) -> dict[str, Any]:
        return await customer_of(self.owner, self.workspace_id)

    async def events(self) -> list[str]:
        """Their states, in the order in which they came."""
        return [row["state"] for row in await self.rows("SELECT state FROM billing_events ORDER BY received_at, id")]

    async def granted(self) -> list[int]:
        found = await self.rows("SELECT amount FROM credit_entries WHERE kind = 'grant' ORDER BY seq")
        return [row["amount"] for row in found]


@asynccontextmanager
async def syncing(database: Database) -> AsyncIterator[Syncing]:
    settings = DatabaseSettings(pool_size=4)
    app, platform = (
        create_engine(SecretStr(url), settings, application="test") for url in (database.app_url, database.platform_url)
    )
    try:
        async with owner_sessions(database) as owner:
            workspace_id = await make_workspace(owner, credit=0)
            customer_id = f"cus_{workspace_id.hex}"
            async with owner.unscoped() as session:
                await add_customer(session, workspace_id, customer_id)
            payments = FakePayments()
            payments.put(PayingCustomer(customer_id, workspace_id))
            yield Syncing(Sessions(app), Sessions(platform), owner, payments, workspace_id, customer_id)
    finally:
        await app.dispose()
        await platform.dispose()
