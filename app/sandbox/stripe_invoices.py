"""Invoices: from draft to open to paid, with everything that can go wrong on the way."""

from collections.abc import Callable, Sequence
from typing import Protocol

from app.sandbox.stripe_calls import Call, Routes, as_list, found, listing, named, part
from app.sandbox.stripe_errors import StripeError, card_declined, invalid
from app.sandbox.stripe_options import StripeOptions
from app.sandbox.stripe_payments import Payments
from app.sandbox.stripe_world import Object, World, new_id

_DAY = 86_400
# Of the lines of an invoice; the others are read by themselves.
_LINES_SHOWN = 10


class Subscribed(Protocol):
    """What follows from an invoice for the subscription that it is of."""

    def settled(self, invoice: Object) -> None:
        """It is paid, or nobody wants it any more."""

    def declined(self, invoice: Object) -> None:
        """It was not paid; it is tried again as its `next_payment_attempt` says."""


class Invoices:
    """`subscribed` is told of each that was settled or not paid."""

    def __init__(self, world: World, payments: Payments, rules: Callable[[], StripeOptions]) -> None:
        self._world = world
        self._payments = payments
        self._rules = rules
        self.subscribed: Subscribed

    def routes(self) -> Routes:
        return {
            ("GET", "/v1/invoices"): self._list,
            ("GET", "/v1/invoices/{id}"): lambda call: found(self._world, "invoices", call, "invoice"),
            ("GET", "/v1/invoices/{id}/lines"): self._list_lines,
            ("GET", "/v1/invoice_payments"): self._list_payments,
            ("POST", "/v1/invoices/{id}/finalize"): self._finalize,
            ("POST", "/v1/invoices/{id}/pay"): self._pay,
            ("POST", "/v1/invoices/{id}/void"): self._void,
            ("POST", "/v1/invoices/{id}/mark_uncollectible"): self._write_off,
        }

    def draft(
        self,
        subscription: Object,
        reason: str,
        lines: Sequence[Object],
        period: tuple[int, int],
        *,
        for_seconds: int = 0,
    ) -> Object:
        """A new invoice, a draft for so long; then it finalises itself and is collected, if nobody does before."""
        world, now = self._world, self._world.now(subscription["customer"])
        customer = world.collections["customers"][subscription["customer"]]
        identifier, total = new_id("in_"), sum(each["amount"] for each in lines)
        whole = [{**each, "invoice": identifier} for each in lines]
        invoice = {
            "id": identifier,
            "object": "invoice",
            "account_country": "US",
            "amount_due": max(0, total),
            "amount_overpaid": 0,
            "amount_paid": 0,
            "amount_remaining": max(0, total),
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": True,
            "automatically_finalizes_at": now + for_seconds,
            "billing_reason": reason,
            "collection_method": "charge_automatically",
            "created": now,
            "currency": subscription["currency"],
            "customer": customer["id"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "default_payment_method": None,
            "description": None,
            "discounts": [],
            "due_date": None,
            "effective_at": None,
            "ending_balance": None,
            "hosted_invoice_url": None,
            "invoice_pdf": None,
            "latest_revision": None,
            "lines": as_list(
                whole[:_LINES_SHOWN], f"/v1/invoices/{identifier}/lines", has_more=len(whole) > _LINES_SHOWN
            ),
            "livemode": False,
            "metadata": {},
            "next_payment_attempt": now + for_seconds,
            "number": None,
            "parent": {
                "quote_details": None,
                "subscription_details": {"metadata": {}, "subscription": subscription["id"]},
                "type": "subscription_details",
            },
            "period_end": period[1],
            "period_start": period[0],
            "starting_balance": customer["balance"],
            "status": "draft",
            "status_transitions": {
                "finalized_at": None, "marked_uncollectible_at": None, "paid_at": None, "voided_at": None,
            },
            "subtotal": total,
            "test_clock": customer["test_clock"],
            "total": total,
            "total_discount_amounts": [],
            "total_taxes": [],
            "_lines": whole,
            "_more": {"payments": as_list([], "/v1/invoice_payments")},
        }  # fmt: skip
        world.add("invoices", invoice)
        world.emit("invoice.created", invoice)
        world.schedule(invoice, self.due(invoice))
        return invoice

    def due(self, invoice: Object) -> int | None:
        """When something happens to it by itself."""
        if invoice["status"] == "draft":
            return invoice["automatically_finalizes_at"] if invoice["auto_advance"] else None
        return invoice["next_payment_attempt"] if invoice["status"] == "open" else None

    def happen(self, invoice: Object) -> None:
        """What was due."""
        if invoice["status"] == "draft":
            self.finalize(invoice)
        if invoice["status"] == "open":
            self.collect(invoice)

    def finalize(self, invoice: Object) -> None:
        """From draft to open; to paid where nothing is due. What a customer has good is used up first."""
        world, now = self._world, self._world.now(invoice["customer"])
        customer = world.collections["customers"][invoice["customer"]]
        total, good = invoice["total"], -customer["balance"]
        used = min(max(good, 0), total) if total > 0 else total
        invoice["starting_balance"] = customer["balance"]
        if used:
            with world.changing(customer, "customer.updated"):
                customer["balance"] += used
        invoice["ending_balance"] = customer["balance"]
        invoice["amount_due"] = invoice["amount_remaining"] = max(0, total) - max(0, used)
        invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04}"
        customer["next_invoice_sequence"] += 1
        invoice["status"] = "open"
        invoice["effective_at"] = invoice["status_transitions"]["finalized_at"] = now
        invoice["automatically_finalizes_at"] = None
        invoice["hosted_invoice_url"] = f"{world.base_url}/invoices/{invoice['id']}"
        world.emit("invoice.finalized", invoice)
        if invoice["amount_due"] == 0:
            self._paid(invoice)

    def collect(self, invoice: Object, card: str | None = None) -> str | None:
        """Take the money of an open one, with this card or the customer's; the reason where it is declined."""
        declined = self._payments.attempt(invoice, card or self.card_of(invoice))
        invoice["attempted"] = True
        invoice["attempt_count"] += 1
        if declined is None:
            self._paid(invoice)
            return None
        rules, again = self._rules(), None
        if invoice["auto_advance"] and invoice["attempt_count"] <= rules.retries:
            again = self._world.now(invoice["customer"]) + rules.retry_days * _DAY
        self._next_attempt(invoice, again)
        self._world.emit("invoice.payment_failed", invoice)
        self.subscribed.declined(invoice)
        return declined

    def card_of(self, invoice: Object) -> str | None:
        """What it is collected with."""
        subscription = self._world.find(invoice["parent"]["subscription_details"]["subscription"]) or {}
        customer = self._world.collections["customers"][invoice["customer"]]
        card: str | None = subscription.get("default_payment_method")
        return card or customer["invoice_settings"]["default_payment_method"]

    def give_up(self, invoice: Object) -> None:
        """Nothing happens to it by itself any more; it can still be paid."""
        invoice["auto_advance"] = False
        invoice["next_payment_attempt"] = None
        self._world.revision += 1

    def void(self, invoice: Object) -> None:
        """Nobody is to pay it."""
        self._end(invoice, "void", "voided_at", "invoice.voided")

    def _paid(self, invoice: Object) -> None:
        invoice["status"] = "paid"
        invoice["amount_paid"], invoice["amount_remaining"] = invoice["amount_due"], 0
        invoice["next_payment_attempt"] = None
        invoice["auto_advance"] = False
        invoice["attempted"] = True
        invoice["status_transitions"]["paid_at"] = self._world.now(invoice["customer"])
        self._world.emit("invoice.paid", invoice)
        self._world.emit("invoice.payment_succeeded", invoice)
        self.subscribed.settled(invoice)

    def _next_attempt(self, invoice: Object, at: int | None) -> None:
        invoice["next_payment_attempt"] = at
        self._world.schedule(invoice, at)

    def _end(self, invoice: Object, status: str, moment: str, event: str) -> None:
        self._payments.cancel(invoice)
        invoice["status"] = status
        invoice["auto_advance"] = False
        invoice["next_payment_attempt"] = None
        invoice["status_transitions"][moment] = self._world.now(invoice["customer"])
        self._world.emit(event, invoice)
        self.subscribed.settled(invoice)

    # What is called.

    def _list(self, call: Call) -> Object:
        taken = call.parameters
        status = taken.choice("status", "draft", "open", "paid", "uncollectible", "void")
        subscription = taken.text("subscription")
        return listing(
            self._world,
            "invoices",
            call,
            lambda item: (
                (status is None or item["status"] == status)
                and (subscription is None or item["parent"]["subscription_details"]["subscription"] == subscription)
            ),
        )

    def _list_lines(self, call: Call) -> Object:
        return part(found(self._world, "invoices", call, "invoice")["_lines"], call)

    def _list_payments(self, call: Call) -> Object:
        identifier = call.parameters.needed("invoice")
        invoice = named(self._world, "invoices", identifier, "invoice", "invoice")
        return part(invoice["_more"]["payments"]["data"], call)

    def _finalize(self, call: Call) -> Object:
        invoice = self._in_status(call, "draft")
        automatic = call.parameters.flag("auto_advance")
        call.parameters.finish()
        self.finalize(invoice)
        if invoice["status"] == "open":
            invoice["auto_advance"] = invoice["auto_advance"] if automatic is None else automatic
            self._next_attempt(invoice, self._world.now(invoice["customer"]) if invoice["auto_advance"] else None)
        return invoice

    def _pay(self, call: Call) -> Object:
        invoice, taken = found(self._world, "invoices", call, "invoice"), call.parameters
        card, elsewhere = taken.text("payment_method"), taken.flag("paid_out_of_band")
        taken.ignore("off_session")
        taken.finish()
        if invoice["status"] == "draft":
            self.finalize(invoice)
        elif invoice["status"] not in ("open", "uncollectible"):
            raise invalid("Invoice is already paid" if invoice["status"] == "paid" else "Invoice is not open")
        if invoice["status"] != "paid":
            if elsewhere:
                self._paid(invoice)
            elif declined := self.collect(invoice, card):
                raise self.refusal(invoice, declined)
        return invoice

    def refusal(self, invoice: Object, declined: str) -> StripeError:
        """402 with what was tried."""
        payment = invoice["_more"]["payments"]["data"][0]["payment"]["payment_intent"]
        intent = self._world.collections["payment_intents"][payment]
        return card_declined(declined, charge=intent["latest_charge"], payment_intent=intent)

    def _void(self, call: Call) -> Object:
        invoice = self._in_status(call, "open", "uncollectible")
        call.parameters.finish()
        self.void(invoice)
        return invoice

    def _write_off(self, call: Call) -> Object:
        invoice = self._in_status(call, "open")
        call.parameters.finish()
        self._end(invoice, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible")
        return invoice

    def _in_status(self, call: Call, *statuses: str) -> Object:
        invoice = found(self._world, "invoices", call, "invoice")
        if invoice["status"] not in statuses:
            said = f"This invoice is {invoice['status']}; it must be {' or '.join(statuses)}."
            raise invalid(said, code="invoice_not_editable")
        return invoice
