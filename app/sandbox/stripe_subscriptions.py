"""Subscriptions of one item: how they begin, change, renew, fall behind and end."""

from collections.abc import Callable
from dataclasses import dataclass, field

from app.sandbox.stripe_customers import DECLINES
from app.sandbox.stripe_errors import card_declined, invalid
from app.sandbox.stripe_invoices import Invoices
from app.sandbox.stripe_lines import line, period_after
from app.sandbox.stripe_options import StripeOptions
from app.sandbox.stripe_world import Object, World, new_id

_HOUR, _DAY = 3_600, 86_400
_INCOMPLETE_FOR = 23 * _HOUR
_WARNED_BEFORE = 3 * _DAY

OVER = ("canceled", "incomplete_expired")


@dataclass(frozen=True, slots=True)
class Start:
    """How a subscription is to begin. `trial_end` is a moment."""

    price: Object
    quantity: int = 1
    trial_end: int | None = None
    cancel_at: int | None = None
    cancel_at_period_end: bool = False
    card: str | None = None
    metadata: Object = field(default_factory=dict)
    description: str | None = None
    behavior: str = "allow_incomplete"


@dataclass(frozen=True, slots=True)
class Change:
    """Another price or quantity, and how what was paid counts."""

    price: Object
    quantity: int
    proration: str = "create_prorations"
    behavior: str = "allow_incomplete"
    restart: bool = False


class Subscriptions:
    """What happens to subscriptions, by whoever asks for it or by themselves."""

    def __init__(self, world: World, invoices: Invoices, rules: Callable[[], StripeOptions]) -> None:
        self._world = world
        self._invoices = invoices
        self._rules = rules
        invoices.subscribed = self

    def start(self, customer: Object, start: Start) -> Object:
        """A new one, with its first invoice. Raises StripeError where it must be paid at once and is not."""
        now = self._world.now(customer["id"])
        card = start.card or customer["invoice_settings"]["default_payment_method"]
        is_free = start.trial_end is not None or not start.price["unit_amount"]
        if card is None and not is_free and start.behavior != "default_incomplete":
            said = "This customer has no attached payment source or default payment method."
            raise invalid(f"{said} Please consider adding a default payment method.", code="resource_missing")
        if start.behavior == "error_if_incomplete" and not is_free:
            _refuse_bad(card)
        subscription = self._new(customer, start, now)
        first = subscription["items"]["data"][0]
        period = (first["current_period_start"], first["current_period_end"])
        text = "Trial period" if start.trial_end is not None else None
        amount = 0 if start.trial_end is not None else start.price["unit_amount"] * start.quantity
        self._world.add("subscriptions", subscription)
        invoice = self._invoices.draft(
            subscription,
            "subscription_create",
            [line(subscription, start.price, start.quantity, amount, period, description=text)],
            (now, now),
        )
        subscription["latest_invoice"] = invoice["id"]
        self._world.emit("customer.subscription.created", subscription)
        self._invoices.finalize(invoice)
        if invoice["status"] == "open":
            if start.behavior == "default_incomplete":
                self._invoices.give_up(invoice)
            else:
                self._invoices.collect(invoice)
        self._reschedule(subscription)
        return subscription

    def change(self, subscription: Object, change: Change) -> None:
        """Another price or quantity. An interval that changes, or a price after a free one, begins a new period that is
        billed at once. Raises StripeError where that must be paid and is not."""
        item = subscription["items"]["data"][0]
        before, price, quantity = item["price"], change.price, change.quantity
        is_trial = subscription["status"] == "trialing"
        restarts = not is_trial and (change.restart or _restarts(before, price))
        if before["id"] == price["id"] and item["quantity"] == quantity and not restarts:
            return
        if change.behavior == "error_if_incomplete":
            _refuse_bad(self._card(subscription))
        now = self._world.now(subscription["customer"])
        begin, end = item["current_period_start"], item["current_period_end"]
        left, whole = max(0, end - now), max(1, end - begin)
        prorates = None if is_trial or change.proration == "none" else self._rules().proration_parent
        lines = []
        invoice: Object | None = None
        with self._world.changing(subscription, "customer.subscription.updated"):
            if prorates:
                unused = -round(before["unit_amount"] * item["quantity"] * left / whole)
                said = f"Unused time on {before['id']}"
                lines.append(
                    line(
                        subscription, before, item["quantity"], unused, (now, end), proration=prorates, description=said
                    )
                )
            self._put(subscription, {"price": price, "quantity": quantity})
            subscription["_next"] = None
            if restarts:
                subscription["billing_cycle_anchor"] = now
                end = period_after(now, now, price["recurring"])
                self._put(subscription, {"current_period_start": now, "current_period_end": end})
                lines.append(line(subscription, price, quantity, price["unit_amount"] * quantity, (now, end)))
            elif prorates:
                rest, said = round(price["unit_amount"] * quantity * left / whole), f"Remaining time on {price['id']}"
                lines.append(
                    line(subscription, price, quantity, rest, (now, end), proration=prorates, description=said)
                )
            if lines and (restarts or change.proration == "always_invoice"):
                invoice = self._invoices.draft(subscription, "subscription_update", lines, (begin, now))
                subscription["latest_invoice"] = invoice["id"]
            else:
                subscription["_pending"] = [*subscription["_pending"], *lines]
            if subscription["cancel_at_period_end"]:
                subscription["cancel_at"] = end
        self._reschedule(subscription)
        if invoice is not None:
            self._invoices.happen(invoice)

    def change_later(self, subscription: Object, price: Object) -> None:
        """Another price from the next period on."""
        subscription["_next"] = price
        self._world.revision += 1

    def stop_later(self, subscription: Object, at: int | None, *, at_period_end: bool) -> None:
        """It ends then, or not any more."""
        with self._world.changing(subscription, "customer.subscription.updated"):
            end = subscription["items"]["data"][0]["current_period_end"]
            subscription["cancel_at_period_end"] = at_period_end
            subscription["cancel_at"] = end if at_period_end else at
            stops = subscription["cancel_at"] is not None
            subscription["canceled_at"] = self._world.now(subscription["customer"]) if stops else None
            subscription["cancellation_details"] = _reason("cancellation_requested" if stops else None)
        self._reschedule(subscription)

    def end_trial(self, subscription: Object) -> None:
        """The first period that is paid for begins now."""
        if subscription["status"] == "trialing":
            subscription["trial_end"] = self._world.now(subscription["customer"])
            self._begin_after_trial(subscription)

    def end(self, subscription: Object, reason: str = "cancellation_requested") -> None:
        """It is over at once; what was not paid is not asked for any more."""
        if subscription["status"] in OVER:
            return
        now = self._world.now(subscription["customer"])
        subscription["status"] = "canceled"
        subscription["canceled_at"] = subscription["canceled_at"] or now
        subscription["ended_at"] = now
        subscription["cancellation_details"] = _reason(reason)
        self._give_up(subscription)
        self._world.emit("customer.subscription.deleted", subscription)

    # What happens by itself.

    def due(self, subscription: Object) -> int | None:
        """When something does."""
        status = subscription["status"]
        if status in OVER:
            return None
        if status == "incomplete":
            expiry: int = subscription["created"] + _INCOMPLETE_FOR
            return expiry
        moments = [subscription["items"]["data"][0]["current_period_end"], subscription["cancel_at"]]
        if status == "trialing" and not subscription["_warned"]:
            moments.append(subscription["trial_end"] - _WARNED_BEFORE)
        known: list[int] = [moment for moment in moments if moment is not None]
        return min(known)

    def happen(self, subscription: Object) -> None:
        """What was due."""
        now = self._world.now(subscription["customer"])
        if subscription["status"] == "incomplete":
            self._expire(subscription)
        elif subscription["cancel_at"] is not None and subscription["cancel_at"] <= now:
            self.end(subscription, subscription["cancellation_details"]["reason"] or "cancellation_requested")
        elif subscription["status"] == "trialing" and not subscription["_warned"]:
            subscription["_warned"] = True
            self._world.emit("customer.subscription.trial_will_end", subscription)
        elif subscription["status"] == "trialing":
            self._begin_after_trial(subscription)
        else:
            item = subscription["items"]["data"][0]
            self._bill(subscription, item["current_period_end"])
        self._reschedule(subscription)

    def settled(self, invoice: Object) -> None:
        """An invoice of it is paid, or nobody wants it any more."""
        subscription = self._of(invoice)
        if subscription is None or subscription["status"] not in ("incomplete", "past_due", "unpaid"):
            return
        if invoice["status"] == "void" and subscription["status"] == "incomplete":
            return
        if self._is_settled(subscription):
            with self._world.changing(subscription, "customer.subscription.updated"):
                subscription["status"] = "active"
            self._reschedule(subscription)

    def declined(self, invoice: Object) -> None:
        """An invoice of it was not paid."""
        subscription = self._of(invoice)
        if subscription is None or subscription["status"] in (*OVER, "incomplete"):
            return
        status = "past_due"
        if invoice["next_payment_attempt"] is None and invoice["auto_advance"]:
            status = self._rules().unpaid_as
            self._invoices.give_up(invoice)
        if status == "canceled":
            self.end(subscription, "payment_failed")
        elif subscription["status"] != "unpaid":
            with self._world.changing(subscription, "customer.subscription.updated"):
                subscription["status"] = status

    def _begin_after_trial(self, subscription: Object) -> None:
        subscription["billing_cycle_anchor"] = subscription["trial_end"]
        with self._world.changing(subscription, "customer.subscription.updated"):
            subscription["status"] = "active"
        self._bill(subscription, subscription["trial_end"])
        self._reschedule(subscription)

    def _bill(self, subscription: Object, begin: int) -> None:
        """A new period, from `begin` on, and its invoice."""
        item = subscription["items"]["data"][0]
        price, quantity = subscription["_next"] or item["price"], item["quantity"]
        end = period_after(subscription["billing_cycle_anchor"], begin, price["recurring"])
        last = item["current_period_start"]
        with self._world.changing(subscription, "customer.subscription.updated"):
            self._put(subscription, {"price": price, "current_period_start": begin, "current_period_end": end})
            lines = [
                *subscription["_pending"],
                line(subscription, price, quantity, price["unit_amount"] * quantity, (begin, end)),
            ]
            subscription["_pending"], subscription["_next"] = [], None
            waits = self._rules().draft_seconds
            invoice = self._invoices.draft(subscription, "subscription_cycle", lines, (last, begin), for_seconds=waits)
            subscription["latest_invoice"] = invoice["id"]
        if subscription["status"] == "unpaid":
            self._invoices.give_up(invoice)
        elif not waits:
            self._invoices.happen(invoice)

    def _expire(self, subscription: Object) -> None:
        subscription["status"] = "incomplete_expired"
        subscription["ended_at"] = self._world.now(subscription["customer"])
        self._world.emit("customer.subscription.updated", subscription, {"status": "incomplete"})
        for invoice in self._open(subscription):
            self._invoices.void(invoice)

    def _give_up(self, subscription: Object) -> None:
        for invoice in self._open(subscription):
            self._invoices.give_up(invoice)

    def _open(self, subscription: Object) -> list[Object]:
        invoices = self._world.collections["invoices"].of(subscription["customer"])
        return [each for each in invoices if each["status"] in ("draft", "open") and self._of(each) is subscription]

    def _is_settled(self, subscription: Object) -> bool:
        latest = self._world.collections["invoices"].find(subscription["latest_invoice"])
        return latest is None or latest["status"] != "open"

    def _of(self, invoice: Object) -> Object | None:
        return self._world.find(invoice["parent"]["subscription_details"]["subscription"])

    def _card(self, subscription: Object) -> str | None:
        customer = self._world.collections["customers"][subscription["customer"]]
        card: str | None = subscription["default_payment_method"]
        return card or customer["invoice_settings"]["default_payment_method"]

    def _reschedule(self, subscription: Object) -> None:
        self._world.schedule(subscription, self.due(subscription))

    def _put(self, subscription: Object, fields: Object) -> None:
        item = subscription["items"]["data"][0]
        subscription["items"] = {**subscription["items"], "data": [{**item, **fields}]}

    def _new(self, customer: Object, start: Start, now: int) -> Object:
        identifier = new_id("sub_")
        anchor = start.trial_end or now
        end = start.trial_end or period_after(now, now, start.price["recurring"])
        item: Object = {
            "id": new_id("si_", 14),
            "object": "subscription_item",
            "billing_thresholds": None,
            "created": now,
            "current_period_end": end,
            "current_period_start": now,
            "discounts": [],
            "metadata": {},
            "price": start.price,
            "quantity": start.quantity,
            "subscription": identifier,
            "tax_rates": [],
        }
        cancel_at = end if start.cancel_at_period_end else start.cancel_at
        return {
            "id": identifier,
            "object": "subscription",
            "application": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": anchor,
            "billing_mode": {"flexible": None, "type": "classic"},
            "cancel_at": cancel_at,
            "cancel_at_period_end": start.cancel_at_period_end,
            "canceled_at": None if cancel_at is None else now,
            "cancellation_details": _reason(None if cancel_at is None else "cancellation_requested"),
            "collection_method": "charge_automatically",
            "created": now,
            "currency": start.price["currency"],
            "customer": customer["id"],
            "days_until_due": None,
            "default_payment_method": start.card,
            "description": start.description,
            "discounts": [],
            "ended_at": None,
            "items": {
                "object": "list",
                "data": [item],
                "has_more": False,
                "url": f"/v1/subscription_items?subscription={identifier}",
            },
            "latest_invoice": None,
            "livemode": False,
            "metadata": start.metadata,
            "pause_collection": None,
            "pending_setup_intent": None,
            "pending_update": None,
            "schedule": None,
            "start_date": now,
            "status": "trialing" if start.trial_end else "incomplete",
            "test_clock": customer["test_clock"],
            "trial_end": start.trial_end,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": now if start.trial_end else None,
            "_pending": [],
            "_next": None,
            "_warned": start.trial_end is not None and start.trial_end - _WARNED_BEFORE <= now,
        }


def _restarts(before: Object, after: Object) -> bool:
    old, new = before["recurring"], after["recurring"]
    same = (old["interval"], old["interval_count"]) == (new["interval"], new["interval_count"])
    return not same or (not before["unit_amount"] and bool(after["unit_amount"]))


def _refuse_bad(card: str | None) -> None:
    if card is None or card in DECLINES:
        raise card_declined(DECLINES.get(card or "", "generic_decline"))


def _reason(reason: str | None) -> Object:
    return {"comment": None, "feedback": None, "reason": reason}
