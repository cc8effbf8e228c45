"""Money: what is taken for an invoice, given back, or fought over with a bank."""

from app.sandbox.stripe_calls import Call, Routes, as_list, found, listing, named
from app.sandbox.stripe_customers import DECLINES
from app.sandbox.stripe_errors import StripeError, invalid, missing
from app.sandbox.stripe_world import Object, World, new_id

_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


class Payments:
    """Payment intents, one for each invoice with an amount; charges, one for each attempt; refunds and disputes."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> Routes:
        return {
            ("GET", "/v1/charges"): self._list_charges,
            ("GET", "/v1/charges/{id}"): lambda call: found(self._world, "charges", call, "charge"),
            ("GET", "/v1/payment_intents"): lambda call: listing(self._world, "payment_intents", call),
            ("GET", "/v1/payment_intents/{id}"): lambda call: found(
                self._world, "payment_intents", call, "payment_intent"
            ),
            ("POST", "/v1/refunds"): self._create_refund,
            ("GET", "/v1/refunds"): lambda call: self._list_of_charge("refunds", call),
            ("GET", "/v1/refunds/{id}"): lambda call: found(self._world, "refunds", call, "refund"),
            ("GET", "/v1/disputes"): lambda call: self._list_of_charge("disputes", call),
            ("GET", "/v1/disputes/{id}"): lambda call: found(self._world, "disputes", call, "dispute"),
        }

    def attempt(self, invoice: Object, card: str | None) -> str | None:
        """Try to take what the invoice asks for; the reason of the bank where it declines. Without a card there is
        nothing to try."""
        intent = self._intent(invoice)
        if card is None:
            return "no_payment_method"
        declined = DECLINES.get(card)
        charge = self._charge(intent, card, declined)
        world = self._world
        world.emit("charge.failed" if declined else "charge.succeeded", charge)
        intent["latest_charge"], intent["payment_method"] = charge["id"], card
        if declined:
            intent["status"] = "requires_payment_method"
            intent["last_payment_error"] = {"type": "card_error", "code": "card_declined", "decline_code": declined}
            world.emit("payment_intent.payment_failed", intent)
            return declined
        intent["status"], intent["amount_received"] = "succeeded", intent["amount"]
        intent["last_payment_error"] = None
        paid = invoice["_more"]["payments"]["data"][0]
        paid["status"], paid["amount_paid"] = "paid", intent["amount"]
        paid["status_transitions"] = {"canceled_at": None, "paid_at": charge["created"]}
        world.emit("payment_intent.succeeded", intent)
        return None

    def cancel(self, invoice: Object) -> None:
        """Nothing more is to be taken for this invoice."""
        for payment in invoice["_more"]["payments"]["data"]:
            if payment["status"] == "open":
                payment["status"] = "canceled"
                payment["status_transitions"]["canceled_at"] = self._world.now(invoice["customer"])

    def refund(self, charge: Object, amount: int | None, reason: str | None, metadata: Object) -> Object:
        """Give back some of a charge, None: all that is left. Raises StripeError."""
        left = charge["amount"] - charge["amount_refunded"] if charge["paid"] else 0
        if left == 0:
            said = f"Charge {charge['id']} has already been refunded."
            raise invalid(said, param="charge", code="charge_already_refunded")
        if amount is not None and amount > left:
            said = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise invalid(said, param="amount")
        given_back = left if amount is None else amount
        refund = {
            "id": new_id("re_"),
            "object": "refund",
            "amount": given_back,
            "charge": charge["id"],
            "created": self._world.now(charge["customer"]),
            "currency": charge["currency"],
            "metadata": metadata,
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "receipt_number": None,
            "status": "succeeded",
        }
        self._world.add("refunds", refund)
        self._world.emit("refund.created", refund)
        charge["amount_refunded"] += given_back
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self._world.emit("charge.refunded", charge)
        return refund

    def dispute(self, charge: Object, reason: str) -> Object:
        """The owner of the card asks the bank for the money back, which is gone from then on."""
        dispute = {
            "id": new_id("du_"),
            "object": "dispute",
            "amount": charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": self._world.now(charge["customer"]),
            "currency": charge["currency"],
            "evidence": {},
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "needs_response",
        }
        self._world.add("disputes", dispute)
        charge["disputed"] = True
        self._world.emit("charge.dispute.created", dispute)
        self._world.emit("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def decide(self, dispute: Object, *, won: bool) -> None:
        """The bank has decided: the money is ours again, or gone for good."""
        dispute["status"] = "won" if won else "lost"
        if won:
            self._world.emit("charge.dispute.funds_reinstated", dispute)
        self._world.emit("charge.dispute.closed", dispute)

    def _intent(self, invoice: Object) -> Object:
        existing = invoice["_more"]["payments"]["data"]
        if existing:
            return self._world.collections["payment_intents"][existing[0]["payment"]["payment_intent"]]
        now, customer = self._world.now(invoice["customer"]), invoice["customer"]
        intent = {
            "id": new_id("pi_"),
            "object": "payment_intent",
            "amount": invoice["amount_remaining"],
            "amount_received": 0,
            "canceled_at": None,
            "created": now,
            "currency": invoice["currency"],
            "customer": customer,
            "description": None,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": {},
            "payment_method": None,
            "payment_method_types": ["card"],
            "status": "requires_payment_method",
        }
        self._world.add("payment_intents", intent)
        self._world.emit("payment_intent.created", intent)
        invoice["_more"]["payments"] = as_list([_payment(invoice, intent, now)], "/v1/invoice_payments")
        return intent

    def _charge(self, intent: Object, card: str, declined: str | None) -> Object:
        paid = declined is None
        charge = {
            "id": new_id("ch_"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": intent["amount"] if paid else 0,
            "amount_refunded": 0,
            "balance_transaction": new_id("txn_") if paid else None,
            "captured": paid,
            "created": self._world.now(intent["customer"]),
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": None,
            "disputed": False,
            "failure_code": None if paid else "card_declined",
            "failure_message": None if paid else "Your card was declined.",
            "livemode": False,
            "metadata": {},
            "outcome": {"network_status": "approved_by_network" if paid else "declined_by_network", "reason": declined},
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": card,
            "receipt_url": None,
            "refunded": False,
            "status": "succeeded" if paid else "failed",
        }
        return self._world.add("charges", charge)

    def _list_charges(self, call: Call) -> Object:
        intent = call.parameters.text("payment_intent")
        return listing(self._world, "charges", call, lambda item: intent is None or item["payment_intent"] == intent)

    def _list_of_charge(self, kind: str, call: Call) -> Object:
        charge, intent = call.parameters.text("charge"), call.parameters.text("payment_intent")
        return listing(
            self._world,
            kind,
            call,
            lambda item: (
                (charge is None or item["charge"] == charge) and (intent is None or item["payment_intent"] == intent)
            ),
        )

    def _create_refund(self, call: Call) -> Object:
        taken = call.parameters
        charge_id, intent_id = taken.text("charge"), taken.text("payment_intent")
        amount, reason = taken.whole("amount", least=1), taken.choice("reason", *_REASONS)
        metadata = taken.metadata()
        taken.finish()
        return self.refund(self._refundable(charge_id, intent_id), amount, reason, metadata)

    def _refundable(self, charge_id: str | None, intent_id: str | None) -> Object:
        if charge_id is not None:
            return named(self._world, "charges", charge_id, "charge", "charge")
        if intent_id is None:
            raise missing("charge")
        intent = named(self._world, "payment_intents", intent_id, "payment_intent", "payment_intent")
        charge = self._world.collections["charges"].find(intent["latest_charge"] or "")
        if charge is None:
            raise _no_charge(intent_id)
        return charge


def _payment(invoice: Object, intent: Object, now: int) -> Object:
    return {
        "id": new_id("inpay_"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": intent["amount"],
        "created": now,
        "currency": intent["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }


def _no_charge(intent: str) -> StripeError:
    return invalid(
        f"This PaymentIntent ({intent}) does not have a successful charge to refund.", param="payment_intent"
    )
