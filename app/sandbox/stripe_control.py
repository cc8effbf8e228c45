"""What a test does to the emulated Stripe. No key, JSON both ways; what is wrong is said as `{"error": …}` with 400.

    GET    /_stripe                       the time there, and how many objects of each kind
    DELETE /_stripe                       204; nothing is left but what is for sale
    POST   /_stripe/advance               {"seconds": 86400, "customer": "cus_…"}: moves the time of that customer on,
                                          who has an own one from then on (nobody sees it: `test_clock` stays null);
                                          without a customer that of all without one of their own. {"now": …}
    POST   /_stripe/customers/{id}/card   {"card": "pm_card_chargeCustomerFail"}: pays with it from now on; null: none
    POST   /_stripe/checkout/{id}         {"card": …}: the person pays; the session. Declined: 400, it stays open
    POST   /_stripe/charges/{id}/dispute  {"reason": "fraudulent"}: the dispute
    POST   /_stripe/disputes/{id}         {"won": true}: the bank decides
    POST   /_stripe/populate              a crowd that nobody is told of; see `stripe_crowd`
    GET    /_stripe/objects/{kind}        all of a kind (customers, subscriptions, invoices, charges, disputes, events,
                                          …), oldest first; invoices with their payments
    GET    /_stripe/usage                 what was reported to meters, by event name and customer
    GET    /_stripe/deliveries            what was sent when, and what came back; and how much is still under way
    POST   /_stripe/events/{id}/send      to all endpoints once more, past the switches
    PUT    /_stripe/webhook               {"url": …, "secret": "whsec_…"}: an endpoint for all events, one for a url
    DELETE /_stripe/idempotency           204; a day has passed for idempotency keys

The switches that duplicate, drop, delay and reorder events and fail calls are options (`stripe_options`), set by
`PUT /_options/stripe`; faults, counters (`GET /_calls`, by method and path) and the log are those of all providers.
"""

from collections.abc import Callable, Mapping
from json import loads
from typing import Any

import orjson

from app.sandbox.checks import Check, RefusedError, checked, count, flag, optional
from app.sandbox.emulator import Answer, Request, encode, http_answer
from app.sandbox.stripe_crowd import CHECKS, populate
from app.sandbox.stripe_customers import GOOD_CARD, with_card
from app.sandbox.stripe_errors import StripeError
from app.sandbox.stripe_idempotency import Idempotency
from app.sandbox.stripe_parts import Parts
from app.sandbox.stripe_world import Object, render

_DONE = Answer(b"", b"HTTP/1.1 204 No Content\r\n")

Action = Callable[[str, dict[str, Any]], object]


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise RefusedError("must be a text")
    return value


class StripeControl:
    """The interface described above."""

    def __init__(self, parts: Parts, idempotency: Idempotency) -> None:
        self._parts = parts
        self._world = parts.world
        self._idempotency = idempotency
        self._actions: Mapping[tuple[str, str, str], tuple[Action, Mapping[str, Check]]] = {
            ("GET", "", ""): (self._show, {}),
            ("DELETE", "", ""): (self._clear, {}),
            ("POST", "advance", ""): (self._advance, {"seconds": count, "customer": optional(text)}),
            ("POST", "customers", "card"): (self._card, {"card": optional(text)}),
            ("POST", "checkout", ""): (self._checkout, {"card": text}),
            ("POST", "charges", "dispute"): (self._dispute, {"reason": text}),
            ("POST", "disputes", ""): (self._decide, {"won": flag}),
            ("POST", "populate", ""): (self._populate, CHECKS),
            ("GET", "objects", ""): (self._objects, {}),
            ("GET", "usage", ""): (self._usage, {}),
            ("GET", "deliveries", ""): (self._deliveries, {}),
            ("POST", "events", "send"): (self._send, {}),
            ("PUT", "webhook", ""): (self._webhook, {"url": text, "secret": text}),
            ("DELETE", "idempotency", ""): (self._forget, {}),
        }

    def handle(self, request: Request) -> Answer:
        """Do what a control request asks for."""
        path = request.target.partition("?")[0].removeprefix("/_stripe")
        _, room, identifier, what, *_ = [*path.split("/"), "", "", ""]
        found = self._actions.get((request.method, room, what))
        if found is None:
            return _bad(f"there is no {request.method} /_stripe{path}", 404)
        action, checks = found
        self._parts.life.catch_up()
        try:
            answer = action(identifier, checked(_parsed(request.body), checks))
        except (RefusedError, StripeError) as error:
            return _bad(str(error))
        self._world.revision += 1
        return _DONE if answer is None else http_answer(200, orjson.dumps(answer))

    def set_webhook(self, url: str, secret: str) -> None:
        """Have an endpoint for all events at this address, signed with this secret."""
        for endpoint in self._world.collections["webhook_endpoints"].rows:
            if endpoint["url"] == url and not endpoint.get("deleted"):
                endpoint["_secret"] = secret
                return
        self._parts.webhooks.endpoint(url, ["*"], secret)

    def _show(self, _identifier: str, _given: dict[str, Any]) -> object:
        kinds = {kind: len(each.rows) for kind, each in self._world.collections.items()}
        return {"now": self._world.now(), "objects": kinds}

    def _clear(self, _identifier: str, _given: dict[str, Any]) -> None:
        self._parts.stock()
        self._idempotency.clear()

    def _advance(self, _identifier: str, given: dict[str, Any]) -> object:
        if "seconds" not in given:
            raise RefusedError("seconds: is missing")
        customer = given.get("customer")
        owner = self._find("customers", customer) if customer else None
        return {"now": self._parts.life.move(given["seconds"], owner)}

    def _card(self, identifier: str, given: dict[str, Any]) -> object:
        customer = self._find("customers", identifier)
        with self._world.changing(customer, "customer.updated"):
            customer["invoice_settings"] = with_card(given.get("card"))
        for subscription in self._world.collections["subscriptions"].of(identifier):
            subscription["default_payment_method"] = None
        return render(customer)

    def _checkout(self, identifier: str, given: dict[str, Any]) -> object:
        session = self._find("checkout_sessions", identifier)
        self._parts.checkout.complete(session, given.get("card", GOOD_CARD))
        return render(session)

    def _dispute(self, identifier: str, given: dict[str, Any]) -> object:
        charge = self._find("charges", identifier)
        if not charge["paid"] or charge["disputed"]:
            raise RefusedError("only a charge that was paid, and is not disputed yet, can be disputed")
        return self._parts.payments.dispute(charge, given.get("reason", "fraudulent"))

    def _decide(self, identifier: str, given: dict[str, Any]) -> object:
        if "won" not in given:
            raise RefusedError("won: is missing")
        dispute = self._find("disputes", identifier)
        self._parts.payments.decide(dispute, won=given["won"])
        return dispute

    def _populate(self, _identifier: str, given: dict[str, Any]) -> object:
        return {"customers": populate(self._parts, given)}

    def _objects(self, kind: str, _given: dict[str, Any]) -> object:
        if kind not in self._world.collections:
            raise RefusedError(f"there are {', '.join(self._world.collections)}")
        rows = self._world.collections[kind].rows
        return [{**render(row), **row.get("_more", {})} for row in rows if not row.get("deleted")]

    def _usage(self, _identifier: str, _given: dict[str, Any]) -> object:
        used = self._parts.meters.used
        return {event: {owner: sum(each.values()) for owner, each in of.items()} for event, of in used.items()}

    def _deliveries(self, _identifier: str, _given: dict[str, Any]) -> object:
        webhooks = self._parts.webhooks
        return {"pending": len(webhooks.pending), "sent": list(webhooks.log)}

    def _send(self, identifier: str, _given: dict[str, Any]) -> None:
        event = self._find("events", identifier)
        for endpoint in self._world.collections["webhook_endpoints"].rows:
            if not endpoint.get("deleted"):
                self._parts.webhooks.send(event, endpoint)

    def _webhook(self, _identifier: str, given: dict[str, Any]) -> None:
        if missing := {"url", "secret"} - given.keys():
            raise RefusedError(f"{missing.pop()}: is missing")
        self.set_webhook(given["url"], given["secret"])

    def _forget(self, _identifier: str, _given: dict[str, Any]) -> None:
        self._idempotency.clear()

    def _find(self, kind: str, identifier: str) -> Object:
        item = self._world.collections[kind].find(identifier)
        if item is None:
            raise RefusedError(f"there is no {identifier} among the {kind}")
        return item


def _parsed(body: bytes) -> object:
    try:
        return loads(body) if body else {}
    except ValueError:
        raise RefusedError("the body is not JSON") from None


def _bad(said: str, status: int = 400) -> Answer:
    return http_answer(status, encode({"error": said}))
