"""Which plan a customer has, and where its subscription stands: from what Stripe said last, and the time alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from app.billing.facts import InvoiceFacts, SubscriptionFacts
from app.billing.plans import Plan, Plans

Status: TypeAlias = Literal["none", "trialing", "active", "past_due", "canceled"]

# Of a subscription that was never paid: there is none yet, or there never was.
_NOT_BEGUN = ("incomplete", "incomplete_expired")
_ENDED = ("canceled", *_NOT_BEGUN)
_PAID = ("trialing", "active")

# Stripe renews within an hour of the end of a period, and says so; this is for when nobody heard.
_SETTLED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """`plan` is what the customer has: the free one without a subscription that gives another. `subscription` is the
    one that counts, the last one where none does. `grace_until`: how long its plan is kept although it is not paid."""

    plan: Plan
    status: Status
    subscription: SubscriptionFacts | None
    grace_until: datetime | None


def standing(
    subscriptions: Iterable[SubscriptionFacts],
    invoices: Sequence[InvoiceFacts],
    plans: Plans,
    *,
    grace: timedelta,
    now: datetime,
) -> Standing:
    """The best of the plans of its subscriptions that are trialing or active, or past due for less than `grace`."""
    begun = [each for each in subscriptions if each.status not in _NOT_BEGUN]
    if not begun:
        return Standing(plans.free, "none", None, None)

    def gives(subscription: SubscriptionFacts) -> Plan:
        sold = plans.price(subscription.price_id)
        until = _grace_until(subscription, invoices, grace)
        is_held = subscription.status in _PAID or (until is not None and now < until)
        return sold[0] if sold and is_held else plans.free

    def counts(subscription: SubscriptionFacts) -> tuple[int, bool, datetime, str]:
        is_live = subscription.status not in _ENDED
        return plans.rank(gives(subscription)), is_live, subscription.created_at, subscription.id

    best = max(begun, key=counts)
    return Standing(gives(best), _status(best), best, _grace_until(best, invoices, grace))


def next_look_at(
    subscriptions: Iterable[SubscriptionFacts], invoices: Sequence[InvoiceFacts], *, grace: timedelta, now: datetime
) -> datetime | None:
    """When something changes by itself, or should have: a period that ends, a grace that is over. None: never."""
    moments = []
    for subscription in subscriptions:
        if subscription.status in _ENDED:
            continue
        renewed_at = subscription.period_end + _SETTLED
        # One that is overdue is looked at every hour.
        moments.append(renewed_at if renewed_at > now else now + _SETTLED)
        until = _grace_until(subscription, invoices, grace)
        if until is not None and until > now:
            moments.append(until)
    return min(moments, default=None)


def _grace_until(
    subscription: SubscriptionFacts, invoices: Sequence[InvoiceFacts], grace: timedelta
) -> datetime | None:
    """From the oldest invoice that could not be paid; without one, from the beginning of the period that is not."""
    if subscription.status != "past_due":
        return None
    unpaid = [
        invoice.created_at
        for invoice in invoices
        if invoice.subscription_id == subscription.id and invoice.status == "open" and invoice.attempts > 0
    ]
    return min(unpaid, default=subscription.period_start) + grace


def _status(subscription: SubscriptionFacts) -> Status:
    match subscription.status:
        case "trialing" | "active" as status:
            return status
        case "past_due" | "unpaid" | "paused":
            return "past_due"
        case _:
            return "canceled"
