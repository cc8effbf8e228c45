"""What a customer's invoices grant, and what of it is taken back: the rules of docs/billing.md, and nothing else.

It follows from what Stripe says now alone. Neither the order of lists nor how often one looks matters.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import itemgetter
from typing import Literal, TypeAlias

from app.billing.plans import Plan, PlanPrice, Plans
from app.credits.service import MAX_AMOUNT
from app.providers.payments import Invoice, InvoiceLine, Payment

Dispute = Literal["none", "open", "won", "lost"]

# A subscription and the end of one of its periods.
_Period: TypeAlias = tuple[str | None, datetime]


@dataclass(frozen=True, slots=True)
class _Span:
    """From a moment on to the end of a period: of the credits for a whole one those `above` and `upto` two numbers. It
    counts for what was billed, or paid, after `known_at`."""

    above: int
    upto: int
    since: datetime
    known_at: datetime


# By its beginning, what was billed for a period.
_Billed: TypeAlias = Mapping[_Period, Mapping[datetime, Sequence[_Span]]]

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
    paid = [invoice for invoice in known if invoice.status == "paid"]
    periods = [grant for invoice in paid for grant in _period_grants(invoice, plans)]
    granted = [grant for grant in (*periods, *_upgrade_grants(known, plans)) if grant.credits > 0]
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


@dataclass(frozen=True, slots=True)
class _Change:
    """Within a period, billed by a line of an invoice: from `old` to `new` credits for a whole one."""

    invoice: Invoice
    line_id: str
    plan: Plan
    period: _Period
    start: datetime
    changed_at: datetime
    old: int
    new: int


def _upgrade_grants(invoices: Sequence[Invoice], plans: Plans) -> Iterator[Grant]:
    """Where more credits come with what a change bills, their difference for what is left of the period, rounded down;
    but for what was granted of that already: who goes up, down and up again had it the first time."""
    billed = _periods(invoices, plans)
    paid = (invoice for invoice in invoices if invoice.status == "paid")
    changes = [change for invoice in paid for change in _changes(invoice, plans, billed)]
    # In the order in which they were paid: what comes later changes nothing of what was granted.
    changes.sort(key=lambda change: _paid_at(change.invoice))
    upgraded: dict[tuple[_Period, datetime], list[_Span]] = {}
    for change in changes:
        end, invoice = change.period[1], change.invoice
        earlier = upgraded.setdefault((change.period, change.start), [])
        wanted = _Span(change.old, change.new, change.changed_at, _paid_at(invoice))
        # Not what is of the same second: whoever looks in the middle of it cannot know which of two will be the first.
        had = [span for span in billed[change.period][change.start] if span.known_at < invoice.created_at]
        had += [span for span in earlier if span.known_at < wanted.known_at]
        granted = min(_lacking(wanted, had, end) // (end - change.start), MAX_AMOUNT)
        earlier.append(wanted)
        yield Grant(invoice.id, change.line_id, "upgrade", granted, _expiry(change.plan, change.start, end))


def _changes(invoice: Invoice, plans: Plans, billed: _Billed) -> Iterator[_Change]:
    """Each gives back the rest of the old price and bills that of the new one."""
    found: dict[tuple[_Period, datetime], list[InvoiceLine]] = {}
    for line in invoice.lines:
        if line.is_proration:
            found.setdefault(((line.subscription_id, line.period_end), line.period_start), []).append(line)
    for (period, changed_at), lines in found.items():
        # A year and its last month end together, where one was changed for the other in the moment that it began.
        start = max((each for each in billed.get(period, ()) if each <= changed_at), default=None)
        sold = [(line, *each) for line in lines if (each := _sold(line, plans))]
        bills = [(line.id, plan) for line, plan, _ in sold if line.amount > 0]
        is_change = bool(bills) and any(line.amount < 0 for line in lines)
        # Else what it is the difference to is not ours to know, or is not for the same time.
        is_comparable = len(sold) == len(lines) and len({price.interval for _, _, price in sold}) == 1
        if start is None or not is_change or not is_comparable:
            continue
        # Of several at once, what was begun and given up again is none of either.
        net: Counter[tuple[str | None, int]] = Counter()
        for line, _, price in sold:
            net[line.price_id, price.credits * line.quantity] += _sign(line.amount)
        old = -sum(each * count for (_, each), count in net.items() if count < 0)
        new = sum(each * count for (_, each), count in net.items() if count > 0)
        line_id, plan = min(bills, key=itemgetter(0))
        if new > old:
            yield _Change(invoice, line_id, plan, period, start, changed_at, old, new)


def _periods(invoices: Iterable[Invoice], plans: Plans) -> _Billed:
    """The periods of subscriptions: when each began, and what was billed for the whole of it."""
    periods: dict[_Period, dict[datetime, list[_Span]]] = {}
    for invoice in invoices:
        for line in invoice.lines:
            if line.is_proration or line.period_start >= line.period_end:
                continue
            starts = periods.setdefault((line.subscription_id, line.period_end), {})
            spans = starts.setdefault(line.period_start, [])
            if line.amount > 0 and (sold := _sold(line, plans)):
                spans.append(_Span(0, sold[1].credits * line.quantity, line.period_start, invoice.created_at))
    return periods


def _lacking(wanted: _Span, had: Sequence[_Span], end: datetime) -> timedelta:
    """Until `end`, the time that each credit of `wanted` is not had already, summed."""
    bounds = {bound for span in had for bound in (span.above, span.upto) if wanted.above < bound < wanted.upto}
    steps = sorted({wanted.above, wanted.upto, *bounds})
    lacking = timedelta()
    for above, upto in pairwise(steps):
        since = min((span.since for span in had if span.above <= above and upto <= span.upto), default=end)
        lacking += (upto - above) * max(since - wanted.since, timedelta())
    return lacking


def _paid_at(invoice: Invoice) -> datetime:
    return invoice.paid_at or invoice.created_at


def _sold(line: InvoiceLine, plans: Plans) -> tuple[Plan, PlanPrice] | None:
    return plans.price(line.price_id) if line.price_id is not None else None


def _sign(amount: int) -> int:
    return (amount > 0) - (amount < 0)


def _expiry(plan: Plan, start: datetime, end: datetime) -> datetime | None:
    return None if plan.rollover_periods is None else end + plan.rollover_periods * (end - start)
