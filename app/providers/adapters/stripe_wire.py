"""Stripe's objects as its API sends them (docs.stripe.com/api, version 2026-10-28), read into those of the port.

An object of another form is Malformed, as a whole: what was paid for is not guessed at. Unknown fields are ignored.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.providers.errors import Malformed
from app.providers.payments import (
    HostedPage,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    PayingCustomer,
    Payment,
    PaymentEvent,
    Subscription,
    SubscriptionStatus,
)

PROVIDER = "stripe"
# In the metadata of a customer: the workspace that it was made for.
WORKSPACE = "workspace_id"

# Most are Stripe's own; those of old prices and customers are whatever somebody chose.
Id = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
# Unix seconds, up to the year 9999.
Moment = Annotated[int, Field(ge=0, le=253_402_300_799)]
# Minor units of a currency: what JSON holds exactly.
Amount = Annotated[int, Field(ge=-(2**53), le=2**53)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Address = Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=4096)]


class Wire(BaseModel):
    """Types are not converted: what is no integer is no amount."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


Read = TypeVar("Read", bound=Wire)


def read(model: type[Read], data: object) -> Read:
    """`data` as that object. Raises Malformed, which names the places that are wrong and quotes nothing."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # Names of ours alone: a key of the body may be anything.
        places = {each["loc"][0] for each in error.errors(include_input=False, include_url=False) if each["loc"]}
        known = ", ".join(sorted(name for name in model.model_fields if name in places))
    raise Malformed(PROVIDER, f"no {model.__name__}: {known or 'not an object'}")


class AnyList(Wire):
    """A part of a list (docs.stripe.com/api/pagination): newest first."""

    data: list[dict[str, Any]]
    has_more: bool = False

    def next(self) -> str | None:
        """Where it goes on, None at its end. Raises Malformed where it has more and does not say where."""
        if not self.has_more:
            return None
        return read(_Listed, self.data[-1] if self.data else None).id


class _Listed(Wire):
    id: Id


class WireCustomer(Wire):
    """docs.stripe.com/api/customers/object; one that was deleted is read back with its id alone."""

    id: Id
    deleted: bool = False
    metadata: dict[str, Any] | None = None

    def customer(self) -> PayingCustomer:
        return PayingCustomer(self.id, _workspace_id(self.metadata or {}), self.deleted)


class _Price(Wire):
    id: Id


class _SubscriptionItem(Wire):
    """Since 2025-03-31 the periods are the items', not the subscription's."""

    price: _Price
    quantity: Count = 1
    current_period_start: Moment
    current_period_end: Moment


class _SubscriptionItems(Wire):
    data: Annotated[list[_SubscriptionItem], Field(min_length=1)]


class WireSubscription(Wire):
    """docs.stripe.com/api/subscriptions/object."""

    id: Id
    customer: Id
    status: SubscriptionStatus
    items: _SubscriptionItems
    cancel_at_period_end: bool
    cancel_at: Moment | None = None
    canceled_at: Moment | None = None
    ended_at: Moment | None = None
    created: Moment

    def subscription(self) -> Subscription:
        item = self.items.data[0]
        return Subscription(
            id=self.id,
            customer_id=self.customer,
            status=self.status,
            price_id=item.price.id,
            quantity=item.quantity,
            period_start=_time(item.current_period_start),
            period_end=_time(item.current_period_end),
            cancel_at_period_end=self.cancel_at_period_end,
            cancel_at=_time_or_none(self.cancel_at),
            canceled_at=_time_or_none(self.canceled_at),
            ended_at=_time_or_none(self.ended_at),
            created_at=_time(self.created),
        )


class _Period(Wire):
    start: Moment
    end: Moment


class _PriceDetails(Wire):
    price: Id


class _Pricing(Wire):
    price_details: _PriceDetails | None = None


class _LineDetails(Wire):
    proration: bool = False
    subscription: Id | None = None


class _LineParent(Wire):
    """What made the line: an item of a subscription, or one that was added to the invoice."""

    subscription_item_details: _LineDetails | None = None
    invoice_item_details: _LineDetails | None = None


class WireLine(Wire):
    """docs.stripe.com/api/invoice-line-item/object. `amount` is before discounts, and before taxes that are not part of
    the price."""

    id: Id
    amount: Amount
    quantity: Count | None = None
    period: _Period
    pricing: _Pricing | None = None
    parent: _LineParent | None = None

    def line(self) -> InvoiceLine:
        price = self.pricing and self.pricing.price_details
        parent = self.parent or _LineParent()
        details = parent.subscription_item_details or parent.invoice_item_details or _LineDetails()
        return InvoiceLine(
            id=self.id,
            price_id=price.price if price else None,
            subscription_id=details.subscription,
            amount=self.amount,
            quantity=1 if self.quantity is None else self.quantity,
            period_start=_time(self.period.start),
            period_end=_time(self.period.end),
            is_proration=details.proration,
        )


class _Paid(Wire):
    """By a payment intent, or by a charge that has none."""

    payment_intent: Id | None = None
    charge: Id | None = None


class WireInvoicePayment(Wire):
    """docs.stripe.com/api/invoice-payment/object."""

    id: Id
    payment: _Paid

    def payment_id(self) -> str | None:
        return self.payment.payment_intent or self.payment.charge


class _Transitions(Wire):
    paid_at: Moment | None = None


class _SubscriptionDetails(Wire):
    subscription: Id | None = None


class _InvoiceParent(Wire):
    subscription_details: _SubscriptionDetails | None = None


class WireInvoice(Wire):
    """docs.stripe.com/api/invoices/object, with its payments expanded. `attempt_count` counts the automatic ones;
    a draft may have no status yet."""

    id: Id
    # One of an account of Connect has none.
    customer: Id | None = None
    status: InvoiceStatus | None = None
    number: Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$", max_length=255)] | None = None
    currency: Annotated[str, Field(pattern=r"^[a-z]{3}$")]
    amount_due: Amount
    amount_paid: Amount
    attempt_count: Count
    next_payment_attempt: Moment | None = None
    hosted_invoice_url: Address | None = None
    parent: _InvoiceParent | None = None
    payments: AnyList
    lines: AnyList
    status_transitions: _Transitions
    created: Moment

    def invoice(self, customer_id: str, payment_ids: tuple[str, ...], lines: tuple[InvoiceLine, ...]) -> Invoice:
        details = self.parent and self.parent.subscription_details
        return Invoice(
            id=self.id,
            customer_id=customer_id,
            subscription_id=details.subscription if details else None,
            status=self.status or "draft",
            number=self.number,
            currency=self.currency,
            amount_due=self.amount_due,
            amount_paid=self.amount_paid,
            attempts=self.attempt_count,
            next_attempt_at=_time_or_none(self.next_payment_attempt),
            hosted_url=self.hosted_invoice_url,
            payment_ids=payment_ids,
            lines=lines,
            created_at=_time(self.created),
            paid_at=_time_or_none(self.status_transitions.paid_at),
        )


Dispute = Literal["none", "open", "won", "lost"]


class WireCharge(Wire):
    """docs.stripe.com/api/charges/object. `amount_refunded` may be a part of the amount."""

    id: Id
    customer: Id | None = None
    status: Literal["succeeded", "pending", "failed"]
    amount: Amount
    amount_refunded: Amount
    disputed: bool
    payment_intent: Id | None = None
    created: Moment

    def payment(self, customer_id: str, dispute: Dispute) -> Payment:
        return Payment(
            id=self.id,
            payment_id=self.payment_intent or self.id,
            customer_id=customer_id,
            amount=self.amount,
            refunded=self.amount_refunded,
            dispute=dispute,
            created_at=_time(self.created),
        )


class WireDispute(Wire):
    """docs.stripe.com/api/disputes/object: those that need a response or are under review have taken the money, an
    inquiry (``warning_…``) and what was prevented have not."""

    status: Literal[
        "warning_needs_response", "warning_under_review", "warning_closed", "needs_response", "under_review", "won",
        "lost", "prevented",
    ]  # fmt: skip

    def dispute(self) -> Dispute:
        match self.status:
            case "needs_response" | "under_review":
                return "open"
            case "won" | "lost":
                return self.status
        return "none"


class _EventObject(Wire):
    """What it happened to. A dispute names no customer, but the charge that it is about."""

    id: Id | None = None
    object: str
    customer: Id | None = None
    charge: Id | None = None


class _EventData(Wire):
    object: _EventObject


class WireEvent(Wire):
    """docs.stripe.com/api/events/object."""

    id: Id
    type: Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,255}$")]
    data: _EventData
    created: Moment

    @property
    def disputed_charge(self) -> str | None:
        """The charge, where it is about a dispute of one."""
        about = self.data.object
        return about.charge if about.object == "dispute" else None

    def event(self, customer_id: str | None = None) -> PaymentEvent:
        """`customer_id` is for events that name none."""
        about = self.data.object
        named = about.id if about.object == "customer" else about.customer
        return PaymentEvent(self.id, self.type, named or customer_id, _time(self.created))


class WireCheckout(Wire):
    """docs.stripe.com/api/checkout/sessions/object, as it is when it opens."""

    id: Id
    url: Address
    expires_at: Moment

    def page(self) -> HostedPage:
        return HostedPage(self.id, self.url, _time(self.expires_at))


class WirePortal(Wire):
    """docs.stripe.com/api/customer_portal/sessions/object: how long it lasts, it does not say."""

    id: Id
    url: Address

    def page(self) -> HostedPage:
        return HostedPage(self.id, self.url, None)


class WireUsage(Wire):
    """docs.stripe.com/api/billing/meter-event-summary/object."""

    aggregated_value: Annotated[float, Field(ge=0, le=2**53)]


class WireError(Wire):
    """docs.stripe.com/api/errors: what it is, and not its message, which may name a card or quote what was sent."""

    type: str | None = None
    code: str | None = None
    param: str | None = None


def _workspace_id(metadata: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(str(metadata.get(WORKSPACE)))
    except ValueError:
        return None


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _time_or_none(seconds: int | None) -> datetime | None:
    return None if seconds is None else _time(seconds)
