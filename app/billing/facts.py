"""What is kept of the payment provider's objects, and how two such differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Self, TypeAlias

from pydantic import JsonValue

from app.billing.grants import Dispute, returned
from app.providers.payments import Invoice, InvoiceStatus, Payment, Subscription, SubscriptionStatus


@dataclass(frozen=True, slots=True)
class SubscriptionFacts:
    """A subscription as Stripe had it."""

    id: str
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

    @classmethod
    def of(cls, subscription: Subscription) -> Self:
        return cls(**{field.name: getattr(subscription, field.name) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class InvoiceFacts:
    """An invoice as Stripe had it, with what went back of its payments; amounts in minor units of `currency`."""

    id: str
    subscription_id: str | None
    status: InvoiceStatus
    number: str | None
    currency: str
    amount_due: int
    amount_paid: int
    amount_refunded: int
    dispute: Dispute
    attempts: int
    next_attempt_at: datetime | None
    hosted_url: str | None
    payment_ids: tuple[str, ...]
    created_at: datetime
    paid_at: datetime | None

    @classmethod
    def of(cls, invoice: Invoice, payments: Mapping[str, Sequence[Payment]]) -> Self:
        """`payments` are those that were made, by their `payment_id`."""
        back = returned(invoice, payments)
        return cls(
            id=invoice.id,
            subscription_id=invoice.subscription_id,
            status=invoice.status,
            number=invoice.number,
            currency=invoice.currency,
            amount_due=invoice.amount_due,
            amount_paid=invoice.amount_paid,
            amount_refunded=back.refunded,
            dispute=back.dispute,
            attempts=invoice.attempts,
            next_attempt_at=invoice.next_attempt_at,
            hosted_url=invoice.hosted_url,
            payment_ids=tuple(sorted(set(invoice.payment_ids))),
            created_at=invoice.created_at,
            paid_at=invoice.paid_at,
        )


Facts: TypeAlias = SubscriptionFacts | InvoiceFacts

# Kept, and not compared: Stripe may give another address for the same page, and how payments are found is nobody's
# business.
_NO_FACTS = ("hosted_url", "payment_ids")


def by_payment_id(payments: Sequence[Payment]) -> Mapping[str, Sequence[Payment]]:
    """As InvoiceFacts takes them."""
    made: dict[str, list[Payment]] = {}
    for payment in payments:
        made.setdefault(payment.payment_id, []).append(payment)
    return made


def difference(
    ours: Facts | None, theirs: Facts | None
) -> tuple[dict[str, JsonValue] | None, dict[str, JsonValue] | None] | None:
    """In what two facts about one object differ, as each has it; of one that only one of them has, all. None: in
    nothing that counts."""
    mine, other = _plain(ours), _plain(theirs)
    if mine is None or other is None:
        return None if mine is other else (mine, other)
    names = [name for name in other if mine[name] != other[name]]
    return ({name: mine[name] for name in names}, {name: other[name] for name in names}) if names else None


def _plain(facts: Facts | None) -> dict[str, JsonValue] | None:
    if facts is None:
        return None
    names = [field.name for field in fields(facts) if field.name not in _NO_FACTS]
    return {name: _json(getattr(facts, name)) for name in names}


def _json(value: JsonValue | datetime) -> JsonValue:
    return value.isoformat() if isinstance(value, datetime) else value
