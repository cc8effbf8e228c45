"""What Stripe has of a customer, given by a test, applied as a look at Stripe does."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from app.billing.apply import Applied, apply
from app.billing.plans import load_plans
from app.billing.state import CustomerState
from app.providers.payments import Invoice, InvoiceLine, PayingCustomer, Payment, Subscription
from app.settings import BillingSettings
from tests.app.billing.syncing import NOW, PERIOD, PRICE, Syncing
from tests.builders import violations

PLANS = load_plans(None)
GROWTH = "price_growth_monthly"
GRACE = timedelta(days=7)


@dataclass
class Stripe:
    """What it has of the customer; a test changes it."""

    customer_id: str
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    invoices: dict[str, Invoice] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    is_deleted: bool = False

    def put(self, *objects: Subscription | Invoice | Payment) -> None:
        for each in objects:
            match each:
                case Subscription():
                    self.subscriptions[each.id] = each
                case Invoice():
                    self.invoices[each.id] = each
                case Payment():
                    self.payments[each.id] = each

    def change_subscription(self, number: int = 1, **changes: Any) -> None:
        self.put(replace(self.subscriptions[f"sub_{number}"], **changes))

    def change_invoice(self, number: int = 1, **changes: Any) -> None:
        self.put(replace(self.invoices[f"in_{number}"], **changes))

    def pay(self, number: int = 1, **more: Any) -> None:
        """The payment of an invoice, as it is now."""
        values: dict[str, Any] = {"amount": 4900, "refunded": 0, "dispute": "none", "created_at": NOW}
        payment_id = f"pi_{number}"
        self.put(Payment(id=f"ch_{number}", payment_id=payment_id, customer_id=self.customer_id, **values | more))

    @property
    def state(self) -> CustomerState:
        return CustomerState(
            PayingCustomer(self.customer_id, None, self.is_deleted),
            list(self.subscriptions.values()),
            list(self.invoices.values()),
            list(self.payments.values()),
        )


def upgrade(number: int, price: str = GROWTH) -> tuple[InvoiceLine, ...]:
    """The lines of a change to this price in the middle of the first period."""
    middle = NOW + PERIOD / 2
    values: dict[str, Any] = {"period_start": middle, "period_end": NOW + PERIOD, "is_proration": True, "quantity": 1}
    return (
        InvoiceLine(f"il_{number}_back", PRICE, "sub_1", -2450, **values),
        InvoiceLine(f"il_{number}_bill", price, "sub_1", 9950, **values),
    )


@dataclass(frozen=True)
class Applying:
    """A workspace whose customer has what `stripe` has, once that is applied."""

    scene: Syncing
    stripe: Stripe

    async def apply(self, *, low_threshold: int = 0, plans: Any = PLANS) -> Applied:
        workspace_id = self.scene.workspace_id
        async with self.scene.sessions.for_workspace(workspace_id) as session:
            await session.execute(text("SELECT FROM billing_customers FOR NO KEY UPDATE"))
            return await apply(
                session,
                workspace_id,
                self.stripe.state,
                plans,
                BillingSettings(grace_days=GRACE.days),
                low_threshold=low_threshold,
            )

    async def one(self, query: str) -> Any:
        [row] = await self.scene.rows(query)
        return next(iter(row.values())) if len(row) == 1 else row

    async def balance(self) -> int:
        found = await self.scene.rows("SELECT balance FROM credit_accounts")
        return int(found[0]["balance"]) if found else 0

    async def plan(self) -> str | None:
        return await self.one("SELECT plan FROM workspaces")  # type: ignore[no-any-return]

    async def entries(self) -> list[tuple[str, int, str]]:
        """Of the ledger: kind, amount and key."""
        rows = await self.scene.rows("SELECT kind, amount, business_key FROM credit_entries ORDER BY seq")
        return [(row["kind"], row["amount"], row["business_key"]) for row in rows]

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """What the workspace was told, in order: the type, and the data."""
        rows = await self.scene.rows("SELECT type, data FROM events ORDER BY created_at, id")
        return [(row["type"], row["data"]) for row in rows]

    async def events_of(self, type: str) -> list[dict[str, Any]]:
        return [data for told, data in await self.events() if told == type]

    async def written(self) -> Sequence[Any]:
        """Which version of each row there is, of everything that applying writes."""
        tables = (
            "billing_subscriptions",
            "billing_invoices",
            "billing_grants",
            "billing_drift",
            "billing_customers",
            "credit_entries",
            "credit_accounts",
            "credit_lots",
            "events",
            "workspaces",
        )
        return [await self.scene.rows(f"SELECT xmin::text, ctid::text FROM {table} ORDER BY 1, 2") for table in tables]

    async def violations(self) -> list[str]:
        return await violations(self.scene.sessions, self.scene.workspace_id)
