"""What billing needs of the payment provider, as types. The adapter implements it; billing imports only this and
`errors`. The facts are Stripe's, whose names are kept: docs.stripe.com/api."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeVar
from uuid import UUID

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list, newest first. `next` is where it goes on, None at its end."""

    items: Sequence[Item]
    next: str | None


@dataclass(frozen=True, slots=True)
class PayingCustomer:
    """A customer of the payment provider. `workspace_id` is the one that it was made for, None for one of others."""

    id: str
    workspace_id: UUID | None
    is_deleted: bool = False


async def every(read: Callable[..., Awaitable[Page[Item]]]) -> AsyncIterator[Item]:
    """All of a list of which ``read(after=…)`` reads a page. Raises what that raises."""
    after = None
    while True:
        page = await read(after=after)
        for item in page.items:
            yield item
        after = page.next
        if after is None:
            return


SubscriptionStatus = Literal[
    "incomplete", "incomplete_expired", "trialing", "active", "past_due", "canceled", "unpaid", "paused"
]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it is now, with the price and the period of its first item that has one."""

    id: str
    customer_id: str
    status: SubscriptionStatus
    price_id: str
    quantity: int
    period_start: datetime
    period_end: datetime
    cancel_at_period_end: bool
    cancel_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    created_at: datetime


InvoiceStatus = Literal["draft", "open", "paid", "uncollectible", "void"]


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A line of an invoice: `amount` in minor units, before discounts and taxes, negative where it gives back.
    `is_proration`: it is for a part of the period because something changed in it."""

    id: str
    price_id: str | None
    subscription_id: str | None
    amount: int
    quantity: int
    period_start: datetime
    period_end: datetime
    is_proration: bool


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as it is now, with all its lines; amounts in minor units of `currency`. `payment_ids` name the
    payments that were made for it, which charges name too."""

    id: str
    customer_id: str
    subscription_id: str | None
    status: InvoiceStatus
    number: str | None
    currency: str
    amount_due: int
    amount_paid: int
    attempts: int
    next_attempt_at: datetime | None
    hosted_url: str | None
    payment_ids: tuple[str, ...]
    lines: tuple[InvoiceLine, ...]
    created_at: datetime
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that was taken, and what went back of it: `refunded` in minor units. `dispute` is the last one's state:
    what is under way or lost is gone."""

    id: str
    payment_id: str
    customer_id: str
    amount: int
    refunded: int
    dispute: Literal["none", "open", "won", "lost"]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """That something happened to an object of this customer: what it is now, only a read tells."""

    id: str
    type: str
    customer_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HostedPage:
    """A page of the payment provider for one customer; whoever has its address may use it until it expires."""

    id: str
    url: str
    expires_at: datetime | None


class PaymentsApi(Protocol):
    """The payment provider, behind the gate. `key` of a write is its idempotency key: a repetition with the same one
    has no second effect. Lists are newest first, up to 100 a page; `customer_id` None: of all customers; `since`:
    created then or later; `after`: the `next` of the page before.

    Every method raises a ProviderError: StoredFailure where only another key can help, and then only after a read has
    shown that the effect is not there; Missing where the customer that is named is not there.
    """

    async def create_customer(self, workspace_id: UUID, name: str, *, key: str) -> PayingCustomer:
        """Make the customer of a workspace, with the workspace's id as its metadata."""

    async def open_checkout(
        self, customer_id: str, price_id: str, *, success_url: str, cancel_url: str, reference: str, key: str
    ) -> HostedPage:
        """A page on which the customer subscribes to a price. `reference` is ours, and comes back with its events."""

    async def close_checkouts(self, customer_id: str, *, before: str) -> None:
        """Close the checkout pages of a customer that were opened before this one: a plan is bought once."""

    async def open_portal(self, customer_id: str, *, return_url: str, key: str) -> HostedPage:
        """A page on which the customer changes or cancels the subscription, and sees invoices."""

    async def cancel_subscription(self, subscription_id: str) -> None:
        """End it at once; one that has ended, or was never there, stays as it is: again it has no effect."""

    async def report_usage(self, customer_id: str, credits: int, *, identifier: str, at: datetime, key: str) -> None:
        """Report what was used. One `identifier` counts once, for as long as the provider remembers it (24 hours)."""

    async def reported_usage(self, customer_id: str, since: datetime, until: datetime) -> int:
        """What was reported for this time; both are full hours. The provider adds up reports with a delay."""

    async def customers(self, *, since: datetime | None = None, after: str | None = None) -> Page[PayingCustomer]: ...

    async def subscriptions(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Subscription]:
        """Those that have ended too."""

    async def invoices(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Invoice]: ...

    async def payments(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Payment]: ...

    async def events(self, *, since: datetime | None = None, after: str | None = None) -> Page[PaymentEvent]:
        """Of the last 30 days, whether they were delivered or not."""

    async def find_customer(self, customer_id: str) -> PayingCustomer:
        """The customer, a deleted one too."""
