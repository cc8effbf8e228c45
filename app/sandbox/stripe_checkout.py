"""Pages that Stripe hosts: checkout sessions, on which a customer subscribes, and portal sessions."""

from app.sandbox.stripe_calls import Call, Routes, as_list, found, listing, named, part
from app.sandbox.stripe_customers import DECLINES, GOOD_CARD, Customers, with_card
from app.sandbox.stripe_errors import card_declined, invalid, missing
from app.sandbox.stripe_subscriptions import Start, Subscriptions
from app.sandbox.stripe_world import Object, World, new_id

_HOUR, _DAY = 3_600, 86_400
# Known to Stripe; whatever they say changes nothing here.
_IGNORED = (
    *("allow_promotion_codes", "automatic_tax", "billing_address_collection", "consent_collection", "customer_update"),
    *("locale", "payment_method_collection", "payment_method_types", "phone_number_collection"),
    *("saved_payment_method_options", "submit_type", "tax_id_collection"),
)


class Checkout:
    """Sessions of both kinds, and what a person does on the page of a checkout."""

    def __init__(self, world: World, customers: Customers, subscriptions: Subscriptions) -> None:
        self._world = world
        self._customers = customers
        self._subscriptions = subscriptions

    def routes(self) -> Routes:
        sessions = "/v1/checkout/sessions"
        return {
            ("POST", sessions): self._create,
            ("GET", sessions): self._list,
            ("GET", f"{sessions}/{{id}}"): self._get,
            ("GET", f"{sessions}/{{id}}/line_items"): self._line_items,
            ("POST", f"{sessions}/{{id}}/expire"): self._expire,
            ("POST", "/v1/billing_portal/sessions"): self._create_portal,
        }

    def due(self, session: Object) -> int | None:
        """When it runs out."""
        return session["expires_at"] if session["status"] == "open" else None

    def happen(self, session: Object) -> None:
        """It ran out."""
        session["status"], session["url"] = "expired", None
        self._world.emit("checkout.session.expired", session)

    def complete(self, session: Object, card: str = GOOD_CARD) -> None:
        """The person pays with this card. Raises StripeError where it is declined, and the page stays open."""
        if session["status"] != "open":
            raise invalid(f"This Checkout Session is {session['status']}.")
        price, quantity = session["_price"], session["_quantity"]
        if card in DECLINES:
            raise card_declined(DECLINES[card])
        if session["customer"] is None:
            made = self._customers.make()
            made["email"] = session["customer_email"]
            self._world.emit("customer.created", made)
            session["customer"] = made["id"]
            self._world.collections["checkout_sessions"].own(session)
        customer = self._world.collections["customers"][session["customer"]]
        with self._world.changing(customer, "customer.updated"):
            customer["invoice_settings"] = with_card(card)
        days = session["_trial_days"]
        subscription = self._subscriptions.start(
            customer,
            Start(
                price=self._world.collections["prices"][price],
                quantity=quantity,
                trial_end=self._world.now(customer["id"]) + days * _DAY if days else None,
                card=card,
                metadata=session["_metadata"],
            ),
        )
        session["status"], session["url"] = "complete", None
        session["payment_status"] = "no_payment_required" if days else "paid"
        session["subscription"], session["invoice"] = subscription["id"], subscription["latest_invoice"]
        self._world.emit("checkout.session.completed", session)

    def _create(self, call: Call) -> Object:
        taken = call.parameters
        if (taken.choice("mode", "payment", "setup", "subscription") or taken.needed("mode")) != "subscription":
            raise invalid("The sandbox has checkout sessions of subscriptions only.", param="mode")
        items = taken.children("line_items")
        if len(items) != 1:
            raise missing("line_items") if not items else invalid("One line item only.", param="line_items")
        price = named(self._world, "prices", items[0].needed("price"), "line_items[0][price]", "price")
        quantity = items[0].whole("quantity", least=1) or 1
        if price["recurring"] is None or not price["active"]:
            raise invalid("The price must be recurring and active.", param="line_items[0][price]")
        owner = taken.text("customer")
        if owner is not None:
            named(self._world, "customers", owner, "customer", "customer")
        now, data = self._world.now(owner), taken.child("subscription_data")
        metadata, days = data.metadata(), data.whole("trial_period_days", least=1, most=730)
        data.ignore("description", "billing_mode")
        expires = taken.whole("expires_at") or now + _DAY
        if not now + _HOUR // 2 <= expires <= now + _DAY:
            raise invalid("expires_at must be between 30 minutes and 24 hours from now.", param="expires_at")
        identifier, amount = new_id("cs_test_", 58), price["unit_amount"] * quantity
        session = {
            "id": identifier,
            "object": "checkout.session",
            "amount_subtotal": amount,
            "amount_total": amount,
            "cancel_url": taken.text("cancel_url"),
            "client_reference_id": taken.text("client_reference_id"),
            "created": now,
            "currency": price["currency"],
            "customer": owner,
            "customer_email": taken.text("customer_email"),
            "expires_at": expires,
            "invoice": None,
            "livemode": False,
            "metadata": taken.metadata(),
            "mode": "subscription",
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "subscription": None,
            "success_url": taken.needed("success_url"),
            "ui_mode": taken.choice("ui_mode", "hosted", "hosted_page") or "hosted_page",
            "url": f"{self._world.base_url}/checkout/{identifier}",
            "_price": price["id"],
            "_quantity": quantity,
            "_metadata": metadata,
            "_trial_days": days,
            "_more": {"line_items": as_list([_item(price, quantity)], f"{call.path}/{identifier}/line_items")},
        }
        taken.ignore(*_IGNORED)
        taken.finish()
        self._world.add("checkout_sessions", session)
        self._world.schedule(session, expires)
        return session

    def _get(self, call: Call) -> Object:
        return found(self._world, "checkout_sessions", call, "checkout.session")

    def _list(self, call: Call) -> Object:
        status = call.parameters.choice("status", "open", "complete", "expired")
        subscription = call.parameters.text("subscription")
        return listing(
            self._world,
            "checkout_sessions",
            call,
            lambda item: (
                (status is None or item["status"] == status)
                and (subscription is None or item["subscription"] == subscription)
            ),
        )

    def _line_items(self, call: Call) -> Object:
        return part(self._get(call)["_more"]["line_items"]["data"], call)

    def _expire(self, call: Call) -> Object:
        session = self._get(call)
        call.parameters.finish()
        if session["status"] != "open":
            raise invalid('Only Checkout Sessions with a status in ["open"] can be expired.')
        self.happen(session)
        return session

    def _create_portal(self, call: Call) -> Object:
        taken = call.parameters
        owner = named(self._world, "customers", taken.needed("customer"), "customer", "customer")
        configuration, back = taken.text("configuration"), taken.text("return_url")
        taken.ignore("locale", "flow_data")
        taken.finish()
        identifier = new_id("bps_")
        session = {
            "id": identifier,
            "object": "billing_portal.session",
            "configuration": configuration or "bpc_sandbox",
            "created": self._world.now(owner["id"]),
            "customer": owner["id"],
            "flow": None,
            "livemode": False,
            "locale": None,
            "on_behalf_of": None,
            "return_url": back,
            "url": f"{self._world.base_url}/portal/{identifier}",
        }
        return self._world.add("portal_sessions", session)


def _item(price: Object, quantity: int) -> Object:
    amount = price["unit_amount"] * quantity
    return {
        "id": new_id("li_"),
        "object": "item",
        "amount_subtotal": amount,
        "amount_total": amount,
        "currency": price["currency"],
        "description": price["nickname"] or price["id"],
        "price": price,
        "quantity": quantity,
    }
