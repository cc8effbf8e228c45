"""Applying what Stripe has of a customer: our rows become the same, and what follows from them happens once.

Everything is decided by comparing what Stripe said with what is stored, in one transaction that holds the customer:
applied once more, the same changes nothing, writes nothing and tells nobody.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from app.billing import repository
from app.billing import sync_repository as syncs
from app.billing.entitlements import Standing, next_look_at, standing
from app.billing.facts import InvoiceFacts, SubscriptionFacts, by_payment_id, difference
from app.billing.grants import Grant, clawed_back, grants_of, returned
from app.billing.plans import Plans
from app.billing.repository import Customer, StoredInvoice
from app.billing.state import CustomerState
from app.billing.sync_repository import Difference
from app.credits import service as credits
from app.db import Session
from app.plan_limits import repository as plan_limits
from app.settings import BillingSettings
from app.webhooks import service as webhooks
from app.workspaces import service as workspaces


@dataclass(frozen=True, slots=True)
class Applied:
    """`next_look_at`: when something changes by itself, or should have; None: nothing ever does."""

    next_look_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Correction:
    """The `number`-th of an invoice: takes so many of its credits back, or gives back where `credits` is negative."""

    invoice_id: str
    number: int
    credits: int
    expires_at: datetime | None

    @property
    def key(self) -> str:
        """Of its entry in the ledger."""
        return f"invoice:{self.invoice_id}:correction:{self.number}"


@dataclass(frozen=True, slots=True)
class _Invoices:
    """What becomes of a customer's invoices: `all` of them as they are from now on, of which `changed` are others than
    they were."""

    all: Sequence[StoredInvoice]
    changed: Sequence[StoredInvoice]
    granted: Sequence[Grant]
    corrections: Sequence[_Correction]


async def apply(
    session: Session,
    workspace_id: UUID,
    state: CustomerState,
    plans: Plans,
    settings: BillingSettings,
    *,
    low_threshold: int,
) -> Applied:
    """Make our rows, the workspace's plan and its credits what follows from `state`, and tell its endpoints.

    The session is of the workspace and holds its customer's row. While a comparison runs, each difference is recorded
    under it. Below `low_threshold` available credits the workspace is told.
    """
    customer = await repository.customer(session, workspace_id)
    if customer is None:
        return Applied(None)
    grace = timedelta(days=settings.grace_days)
    was = {each.id: each for each in await repository.subscriptions(session, workspace_id)}
    had = {each.facts.id: each for each in await repository.invoices(session, workspace_id)}

    now_is = _subscriptions(state, was, customer.now)
    changed = [each for each in now_is if each != was.get(each.id)]
    invoices = _invoices(state, had, await repository.grants(session, workspace_id), plans)
    facts = [invoice.facts for invoice in invoices.all]
    stands = standing(now_is, facts, plans, grace=grace, now=customer.now)

    if customer.is_deleted != state.customer.is_deleted:
        await repository.mark_deleted(session, workspace_id, is_deleted=state.customer.is_deleted)
    await repository.store_subscriptions(session, workspace_id, changed)
    await repository.store_invoices(session, workspace_id, invoices.changed)
    await repository.add_grants(session, workspace_id, invoices.granted)
    if customer.sync_id is not None:
        drift = [*_drift(state, customer, was, now_is), *_invoice_drift(had, invoices)]
        await syncs.add_drift(session, workspace_id, customer.sync_id, drift)
    had_plan = await plan_limits.plan(session, workspace_id) or plans.free.name
    await workspaces.set_plan(session, workspace_id, stands.plan.name)
    await _tell_subscriptions(session, workspace_id, changed, stands, had_plan)
    await _tell_invoices(session, workspace_id, had, invoices)
    await _move_credits(session, workspace_id, invoices, low_threshold)
    return Applied(next_look_at(now_is, facts, grace=grace, now=customer.now))


def _subscriptions(
    state: CustomerState, was: Mapping[str, SubscriptionFacts], now: datetime
) -> Sequence[SubscriptionFacts]:
    """As they are from now on, by id. What Stripe no longer has, and all of a customer who was deleted, has ended."""
    found = {each.id: SubscriptionFacts.of(each) for each in state.subscriptions}

    def known(subscription_id: str) -> SubscriptionFacts:
        theirs, ours = found.get(subscription_id), was.get(subscription_id)
        if theirs is not None and not state.customer.is_deleted:
            return theirs
        last = theirs or was[subscription_id]
        if last.status in ("canceled", "incomplete_expired"):
            return last
        ended_at = ours.ended_at if ours else None
        return replace(last, status="canceled", ended_at=last.ended_at or ended_at or now)

    return [known(subscription_id) for subscription_id in sorted({*found, *was})]


def _invoices(
    state: CustomerState, had: Mapping[str, StoredInvoice], granted: Sequence[Grant], plans: Plans
) -> _Invoices:
    payments = by_payment_id(state.payments)
    known = {(grant.invoice_id, grant.line_id) for grant in granted}
    new = [grant for grant in grants_of(state.invoices, plans) if (grant.invoice_id, grant.line_id) not in known]
    every: list[StoredInvoice] = []
    corrections: list[_Correction] = []
    for theirs in sorted(state.invoices, key=lambda invoice: invoice.id):
        facts = InvoiceFacts.of(theirs, payments)
        ours = had.get(theirs.id, StoredInvoice(facts))
        total = ours.credits_granted + sum(grant.credits for grant in new if grant.invoice_id == theirs.id)
        taken = clawed_back(total, theirs.amount_paid, returned(theirs, payments))
        number = ours.corrections
        if taken != ours.credits_clawed_back:
            number += 1
            expiries = [grant.expires_at for grant in (*granted, *new) if grant.invoice_id == theirs.id]
            # What is given back lives as long as the longest of what was taken.
            dates = [each for each in expiries if each is not None]
            expires_at = max(dates) if len(dates) == len(expiries) else None
            corrections.append(_Correction(theirs.id, number, taken - ours.credits_clawed_back, expires_at))
        every.append(StoredInvoice(facts, total, taken, number))
    # A draft that was thrown away is gone for good; what was once more than that is never.
    every += [_gone(had[each]) for each in sorted(had.keys() - {invoice.id for invoice in state.invoices})]
    return _Invoices(every, [each for each in every if each != had.get(each.facts.id)], new, corrections)


def _gone(invoice: StoredInvoice) -> StoredInvoice:
    if invoice.facts.status not in ("draft", "open"):
        return invoice
    return replace(invoice, facts=replace(invoice.facts, status="void", next_attempt_at=None))


def _drift(
    state: CustomerState,
    customer: Customer,
    was: Mapping[str, SubscriptionFacts],
    now_is: Sequence[SubscriptionFacts],
) -> Iterator[Difference]:
    if customer.is_deleted != state.customer.is_deleted:
        ours, theirs = customer.is_deleted, state.customer.is_deleted
        yield Difference("customer", state.customer.id, {"is_deleted": ours}, {"is_deleted": theirs}, "updated")
    for each in now_is:
        if differing := difference(was.get(each.id), each):
            yield Difference("subscription", each.id, *differing, "updated" if each.id in was else "added")


def _invoice_drift(had: Mapping[str, StoredInvoice], invoices: _Invoices) -> Iterator[Difference]:
    for each in invoices.changed:
        ours = had.get(each.facts.id)
        if differing := difference(ours.facts if ours else None, each.facts):
            yield Difference("invoice", each.facts.id, *differing, "updated" if ours else "added")
        before = ours or StoredInvoice(each.facts)
        if each.credits_granted != before.credits_granted:
            told = {"granted": before.credits_granted}, {"granted": each.credits_granted}
            yield Difference("credits", each.facts.id, *told, "granted")
        if each.credits_clawed_back != before.credits_clawed_back:
            told = {"clawed_back": before.credits_clawed_back}, {"clawed_back": each.credits_clawed_back}
            is_more = each.credits_clawed_back > before.credits_clawed_back
            yield Difference("credits", each.facts.id, *told, "clawed_back" if is_more else "given_back")


async def _tell_subscriptions(
    session: Session, workspace_id: UUID, changed: Sequence[SubscriptionFacts], stands: Standing, had_plan: str
) -> None:
    """Of each that became another; and of the one that counts when only the plan did, because a grace was over."""
    told = list(changed)
    if not told and stands.subscription is not None and stands.plan.name != had_plan:
        told.append(stands.subscription)
    for subscription in told:
        await webhooks.publish(
            session,
            workspace_id,
            "billing.subscription.updated",
            {
                "subscription_id": subscription.id,
                "status": subscription.status,
                "price_id": subscription.price_id,
                "quantity": subscription.quantity,
                "current_period_end": subscription.period_end.isoformat(),
                "cancel_at_period_end": subscription.cancel_at_period_end,
                # Of the workspace, of which it is one of the subscriptions.
                "plan": stands.plan.name,
            },
        )


async def _tell_invoices(
    session: Session, workspace_id: UUID, had: Mapping[str, StoredInvoice], invoices: _Invoices
) -> None:
    for each in invoices.changed:
        facts = each.facts
        before = had[facts.id].facts if facts.id in had else None
        data = {
            "invoice_id": facts.id,
            "subscription_id": facts.subscription_id,
            "status": facts.status,
            "currency": facts.currency,
            "amount_due": facts.amount_due,
            "amount_paid": facts.amount_paid,
            "attempts": facts.attempts,
            "credits_granted": each.credits_granted,
        }
        is_unpaid = facts.status in ("open", "uncollectible")
        if facts.status == "paid" and (before is None or before.status != "paid"):
            await webhooks.publish(session, workspace_id, "billing.invoice.paid", data, key=facts.id)
        elif is_unpaid and facts.attempts > (before.attempts if before else 0):
            key = f"{facts.id}:{facts.attempts}"
            await webhooks.publish(session, workspace_id, "billing.invoice.failed", data, key=key)


async def _move_credits(session: Session, workspace_id: UUID, invoices: _Invoices, low_threshold: int) -> None:
    """Last: the balance's row is locked for the shortest time."""
    for grant in invoices.granted:
        reason = "an invoice was paid" if grant.kind == "period" else "an upgrade was paid"
        await credits.grant(
            session, workspace_id, grant.credits, key=grant.key, reason=reason, expires_at=grant.expires_at
        )
    for correction in invoices.corrections:
        reference = ("billing_invoice", correction.invoice_id)
        if correction.credits > 0:
            await credits.claw_back(
                session,
                workspace_id,
                correction.credits,
                key=correction.key,
                reason="an invoice was refunded, or its payment is disputed",
                reference=reference,
                low_threshold=low_threshold,
            )
        else:
            await credits.refund(
                session,
                workspace_id,
                -correction.credits,
                key=correction.key,
                reason="a dispute was won",
                reference=reference,
                expires_at=correction.expires_at,
            )
