"""What a customer's invoices grant, and what of it is taken back: the rules of docs/billing.md, and nothing else.

It follows from what Stripe says now alone. Neither the order of lists nor how often one looks matters.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Literal, TypeAlias

from app.billing.plans import Plan, PlanPrice, Plans
from app.credits.service import MAX_AMOUNT
from app.providers.payments import Invoice, InvoiceLine, Payment

Dispute = Literal["none", "open", "won", "lost"]

# A subscription and the end of one of its periods.
_Period: TypeAlias = tuple[str | None, datetime]

# Of several payments of an invoice: what counts most comes last.
_DISPUTES: Sequence[Dispute] = ("none", "won", "open", "lost")


@dataclass(frozen=True, slots=True)
class Grant:
    """`credits` for a line of a paid invoice; those that are not spent are lost at `expires_at`, None: never."""

    invoice_id: str
    line_id: str
    kind: Literal["period", "upgrade"]
    credits: int
    expires_at: datetime | None

    @property
    def key(self) -> str:
        """Of its entry in the ledger."""
        return f"invoice:{self.invoice_id}:line:{self.line_id}"


@dataclass(frozen=True, slots=True)
class Returned:
    """What went back of an invoice's payments, in minor units, and the state of their dispute."""

    refunded: int
    dispute: Dispute


def grants_of(invoices: Iterable[Invoice], plans: Plans) -> list[Grant]:
    """What all these invoices of one customer grant, by invoice and line."""
    known = list(invoices)
    periods = _period_starts(known)
    granted = [
        grant
        for invoice in known
        if invoice.status == "paid"
        for grant in (*_period_grants(invoice, plans), *_upgrade_grants(invoice, plans, periods))
        if grant.credits > 0
    ]
    return sorted(granted, key=lambda grant: (grant.invoice_id, grant.line_id))


def returned(invoice: Invoice, payments: Mapping[str, Sequence[Payment]]) -> Returned:
    """Of the payments that were made for the invoice, which `payments` has by their `payment_id`."""
    made = [payment for payment_id in set(invoice.payment_ids) for payment in payments.get(payment_id, ())]
    dispute = max([payment.dispute for payment in made], key=_DISPUTES.index, default=_DISPUTES[0])
    return Returned(sum(payment.refunded for payment in made), dispute)


def clawed_back(granted: int, paid: int, back: Returned) -> int:
    """How many of the `granted` credits of an invoice on which `paid` was paid are to be taken back in all: their share
    in what was refunded, rounded down; all of them while a dispute is open, and when it is lost."""
    if back.dispute in ("open", "lost"):
        return granted
    return granted * min(back.refunded, paid) // paid if paid > 0 else 0


def _period_grants(invoice: Invoice, plans: Plans) -> Iterator[Grant]:
    """A line that bills a whole period of a plan grants that period's credits; a trial's costs nothing."""
    for line in invoice.lines:
        if line.is_proration or line.amount <= 0:
            continue
        if sold := _sold(line, plans):
            plan, price = sold
            granted = min(price.credits * line.quantity, MAX_AMOUNT)
            expires_at = _expiry(plan, line.period_start, line.period_end)
            yield Grant(invoice.id, line.id, "period", granted, expires_at)


def _upgrade_grants(invoice: Invoice, plans: Plans, starts: Mapping[_Period, Sequence[datetime]]) -> Iterator[Grant]:
    """A change within a period gives back the rest of the old price and bills that of the new one. Where more credits
    come with the new one, it grants their difference for what is left of the period, rounded down."""
    changes: dict[tuple[str | None, datetime, datetime], list[InvoiceLine]] = {}
    for line in invoice.lines:
        if line.is_proration:
            changes.setdefault((line.subscription_id, line.period_start, line.period_end), []).append(line)
    for (subscription_id, changed_at, end), lines in changes.items():
        # A year and its last month end together, where one was changed for the other in the moment that it began.
        begun = [each for each in starts.get((subscription_id, end), ()) if each <= changed_at]
        start = max(begun, default=None)
        sold = [(line, *found) for line in lines if (found := _sold(line, plans))]
        billed = [(line.id, plan) for line, plan, _ in sold if line.amount > 0]
        is_change = bool(billed) and any(line.amount < 0 for line in lines)
        # Else what it is the difference to is not ours to know, or is not for the same time.
        is_comparable = len(sold) == len(lines) and len({price.interval for _, _, price in sold}) == 1
        if start is None or not is_change or not is_comparable:
            continue
        more = sum(price.credits * line.quantity * _sign(line.amount) for line, _, price in sold)
        line_id, plan = min(billed, key=itemgetter(0))
        granted = min(more * (end - changed_at) // (end - start), MAX_AMOUNT)
        yield Grant(invoice.id, line_id, "upgrade", granted, _expiry(plan, start, end))


def _period_starts(invoices: Iterable[Invoice]) -> Mapping[_Period, Sequence[datetime]]:
    """When the periods of subscriptions began, by their ends: as the lines have it that bill whole ones."""
    starts: dict[_Period, list[datetime]] = {}
    for invoice in invoices:
        for line in invoice.lines:
            if not line.is_proration and line.period_start < line.period_end:
                starts.setdefault((line.subscription_id, line.period_end), []).append(line.period_start)
    return starts


def _sold(line: InvoiceLine, plans: Plans) -> tuple[Plan, PlanPrice] | None:
    return plans.price(line.price_id) if line.price_id is not None else None


def _sign(amount: int) -> int:
    return (amount > 0) - (amount < 0)


def _expiry(plan: Plan, start: datetime, end: datetime) -> datetime | None:
    return None if plan.rollover_periods is None else end + plan.rollover_periods * (end - start)
