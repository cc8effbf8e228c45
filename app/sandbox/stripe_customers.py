"""Customers, and the cards that they pay with: Stripe's test cards by their names, of which some are declined."""

from collections.abc import Callable

from app.sandbox.stripe_calls import Call, Routes, found, listing, named
from app.sandbox.stripe_clocks import WORLD
from app.sandbox.stripe_errors import no_such
from app.sandbox.stripe_parameters import Parameters
from app.sandbox.stripe_world import Object, World, new_id

GOOD_CARD = "pm_card_visa"
DECLINES = {
    "pm_card_chargeCustomerFail": "generic_decline",
    "pm_card_visa_chargeDeclined": "generic_decline",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
}
"""Cards that a charge fails with, and why. They can be attached."""


def with_card(card: str | None) -> Object:
    """The `invoice_settings` of a customer who pays with this card."""
    return {"custom_fields": None, "default_payment_method": card, "footer": None, "rendering_options": None}


class Customers:
    """Who pays. `end` cancels a subscription at once."""

    def __init__(self, world: World, end: Callable[[Object], None]) -> None:
        self._world = world
        self._end = end

    def routes(self) -> Routes:
        return {
            ("POST", "/v1/customers"): self._create,
            ("GET", "/v1/customers"): self._list,
            ("GET", "/v1/customers/{id}"): self._get,
            ("POST", "/v1/customers/{id}"): self._update,
            ("DELETE", "/v1/customers/{id}"): self._delete,
            ("POST", "/v1/payment_methods/{id}/attach"): self._attach,
        }

    def make(self, *, test_clock: str | None = None) -> Object:
        """A new customer, of whom nobody has been told yet."""
        now = self._world.clocks.get(test_clock or WORLD).now()
        customer: Object = {
            "id": new_id("cus_", 14),
            "object": "customer",
            "address": None,
            "balance": 0,
            "created": now,
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "discount": None,
            "email": None,
            "invoice_prefix": new_id("", 8).upper(),
            "invoice_settings": with_card(None),
            "livemode": False,
            "metadata": {},
            "name": None,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": test_clock,
            "_clock": test_clock or WORLD,
        }
        return self._world.add("customers", customer)

    def delete(self, customer: Object) -> None:
        """What is paid for ends with it."""
        for subscription in self._world.collections["subscriptions"].of(customer["id"]):
            self._end(subscription)
        customer["deleted"] = True
        self._world.emit("customer.deleted", customer)

    def _create(self, call: Call) -> Object:
        taken = call.parameters
        clock = taken.text("test_clock")
        if clock is not None:
            named(self._world, "test_clocks", clock, "test_clock", "test clock")
        card = taken.text("payment_method")
        wished = self._wished(taken, {})
        taken.finish()
        customer = self.make(test_clock=clock)
        customer["invoice_settings"]["default_payment_method"] = card
        customer |= wished
        self._world.emit("customer.created", customer)
        return customer

    def _update(self, call: Call) -> Object:
        customer = found(self._world, "customers", call, "customer")
        if customer.get("deleted"):
            raise no_such("customer", customer["id"])
        wished = self._wished(call.parameters, customer)
        call.parameters.finish()
        with self._world.changing(customer, "customer.updated"):
            customer |= wished
        return customer

    def _wished(self, taken: Parameters, before: Object) -> Object:
        wished: Object = {name: taken.text(name) for name in ("name", "email", "description", "phone") if name in taken}
        wished["metadata"] = taken.metadata(before.get("metadata"))
        if card := taken.child("invoice_settings").text("default_payment_method"):
            wished["invoice_settings"] = with_card(card)
        taken.ignore("address", "preferred_locales", "tax_exempt", "shipping")
        return wished

    def _get(self, call: Call) -> Object:
        customer = found(self._world, "customers", call, "customer")
        if customer.get("deleted"):
            return {"id": customer["id"], "object": "customer", "deleted": True}
        return customer

    def _delete(self, call: Call) -> Object:
        customer = found(self._world, "customers", call, "customer")
        if customer.get("deleted"):
            raise no_such("customer", customer["id"])
        self.delete(customer)
        return {"id": customer["id"], "object": "customer", "deleted": True}

    def _list(self, call: Call) -> Object:
        email, clock = call.parameters.text("email"), call.parameters.text("test_clock")
        return listing(
            self._world,
            "customers",
            call,
            # As Stripe has it: those of a test clock are in no list but the clock's.
            lambda item: item["test_clock"] == clock and (email is None or item["email"] == email),
        )

    def _attach(self, call: Call) -> Object:
        """A card is there as soon as somebody names it: only whose it is, is not known here."""
        owner = named(self._world, "customers", call.parameters.needed("customer"), "customer", "customer")
        return {
            "id": call.ids[0],
            "object": "payment_method",
            "card": {"brand": "visa", "last4": "4242"},
            "created": owner["created"],
            "customer": owner["id"],
            "livemode": False,
            "metadata": {},
            "type": "card",
        }
