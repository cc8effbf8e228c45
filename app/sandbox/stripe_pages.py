"""The pages that Stripe hosts, small: pay a checkout, change or cancel a plan, pay an invoice that was not paid."""

from collections.abc import Callable
from html import escape
from urllib.parse import parse_qsl

from app.sandbox.emulator import HTML, Answer, http_answer
from app.sandbox.stripe_customers import DECLINES, GOOD_CARD, with_card
from app.sandbox.stripe_errors import StripeError
from app.sandbox.stripe_parts import Parts
from app.sandbox.stripe_subscriptions import OVER, Change
from app.sandbox.stripe_world import Object

_CARDS = {GOOD_CARD: "a card that works", next(iter(DECLINES)): "a card that is declined"}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}"
    "button{font:inherit;padding:.4rem .9rem;margin:.2rem .4rem .2rem 0}p.said{color:#b00020}"
)

Form = dict[str, str]


class Pages:
    """Answers to a browser. Whoever has the address of a page may use it, as at Stripe."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._world = parts.world

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """The page, or what its buttons do."""
        _, room, identifier, *_ = [*path.split("/"), ""]
        kinds: dict[str, tuple[str, Callable[[Object, Form], Answer], Callable[[Object, str], Answer]]] = {
            "checkout": ("checkout_sessions", self._pay, self._checkout),
            "portal": ("portal_sessions", self._manage, self._portal),
            "invoices": ("invoices", self._settle, self._invoice),
        }
        kind, act, show = kinds[room]
        item = self._world.collections[kind].find(identifier)
        if item is None:
            return _page(404, "Something went wrong", "<p>There is no such page.</p>")
        if method != "POST":
            return show(item, "")
        try:
            return act(item, dict(parse_qsl(body.decode("utf-8", "replace"))))
        except StripeError as error:
            return show(item, str(error))

    def _checkout(self, session: Object, said: str) -> Answer:
        if session["status"] != "open":
            return _page(200, "Checkout", f"<p>This checkout is {escape(session['status'])}.</p>")
        amount = f"{session['amount_total'] / 100:.2f} {session['currency'].upper()}"
        buttons = "".join(_button("card", card, f"Pay with {text}") for card, text in _CARDS.items())
        back = session["cancel_url"]
        link = f'<p><a href="{escape(back)}">Back</a></p>' if back else ""
        return _page(200, "Subscribe", f"<p>{escape(session['_price'])}: {amount}</p>{buttons}{link}", said)

    def _pay(self, session: Object, form: Form) -> Answer:
        self._parts.checkout.complete(session, form.get("card") or GOOD_CARD)
        return _see(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))

    def _portal(self, session: Object, said: str) -> Answer:
        customer = session["customer"]
        subscriptions = self._world.collections["subscriptions"].of(customer)
        sections = [self._subscription(each) for each in subscriptions if each["status"] not in OVER]
        invoices = self._world.collections["invoices"].of(customer)
        listed = "".join(
            f'<li><a href="{escape(each["hosted_invoice_url"])}">{escape(each["number"])}</a> '
            f"{each['total'] / 100:.2f} {escape(each['status'])}</li>"
            for each in reversed(invoices)
            if each["number"]
        )
        cards = "".join(_button("card", card, f"Use {text}") for card, text in _CARDS.items())
        back = session["return_url"]
        link = f'<p><a href="{escape(back)}">Back</a></p>' if back else ""
        content = "".join(sections) or "<p>There is no subscription.</p>"
        return _page(200, "Your plan", f"{content}<h2>Card</h2>{cards}<h2>Invoices</h2><ul>{listed}</ul>{link}", said)

    def _subscription(self, subscription: Object) -> str:
        item, identifier = subscription["items"]["data"][0], subscription["id"]
        prices = [
            each
            for each in self._world.collections["prices"].rows
            if each["active"] and each["recurring"] and each["id"] != item["price"]["id"]
        ]
        buttons = "".join(_button("price", each["id"], f"Change to {each['id']}", identifier) for each in prices)
        ends = subscription["cancel_at_period_end"]
        text = "Keep it" if ends else "Cancel at the end of the period"
        buttons += _button("ends", "no" if ends else "yes", text, identifier)
        now = f"{subscription['status']}{', ends with the period' if ends else ''}"
        if subscription["_next"]:
            now += f", then {escape(subscription['_next']['id'])}"
        return f"<h2>{escape(item['price']['id'])}</h2><p>{now}</p>{buttons}"

    def _manage(self, session: Object, form: Form) -> Answer:
        if card := form.get("card"):
            customer = self._world.collections["customers"][session["customer"]]
            with self._world.changing(customer, "customer.updated"):
                customer["invoice_settings"] = with_card(card)
            for each in self._world.collections["subscriptions"].of(session["customer"]):
                with self._world.changing(each, "customer.subscription.updated"):
                    each["default_payment_method"] = None
        subscription = self._world.collections["subscriptions"].find(form.get("subscription", ""))
        if subscription is not None and subscription["customer"] == session["customer"]:
            price = self._world.collections["prices"].find(form.get("price", ""))
            if price is not None:
                self._change(subscription, price)
            if ends := form.get("ends"):
                self._parts.subscriptions.stop_later(subscription, None, at_period_end=ends == "yes")
        return _see(session["url"])

    def _change(self, subscription: Object, price: Object) -> None:
        """As a portal is to be set up for Holdfast: an upgrade at once, a downgrade with the next period."""
        item = subscription["items"]["data"][0]
        before = item["price"]
        if before["recurring"] == price["recurring"] and price["unit_amount"] < before["unit_amount"]:
            self._parts.subscriptions.change_later(subscription, price)
        else:
            self._parts.subscriptions.change(subscription, Change(price, item["quantity"], "always_invoice"))

    def _invoice(self, invoice: Object, said: str) -> Answer:
        amount = f"{invoice['amount_due'] / 100:.2f} {invoice['currency'].upper()}"
        buttons = ""
        if invoice["status"] == "open":
            buttons = "".join(_button("card", card, f"Pay with {text}") for card, text in _CARDS.items())
        return _page(
            200, f"Invoice {invoice['number']}", f"<p>{amount}, {escape(invoice['status'])}</p>{buttons}", said
        )

    def _settle(self, invoice: Object, form: Form) -> Answer:
        if invoice["status"] == "open" and (declined := self._parts.invoices.collect(invoice, form.get("card"))):
            raise self._parts.invoices.refusal(invoice, declined)
        return _see(f"{self._world.base_url}/invoices/{invoice['id']}")


def _button(name: str, value: str, text: str, subscription: str = "") -> str:
    hidden = f'<input type="hidden" name="subscription" value="{escape(subscription)}">' if subscription else ""
    button = f'<button name="{name}" value="{escape(value)}">{escape(text)}</button>'
    return f'<form method="post">{hidden}{button}</form>'


def _see(url: str) -> Answer:
    # A header ends with its line: what a caller gave must not begin another one.
    return http_answer(303, b"", HTML, headers=f"Location: {''.join(url.split())}\r\n")


def _page(status: int, title: str, content: str, said: str = "") -> Answer:
    failed = f'<p class="said">{escape(said)}</p>' if said else ""
    page = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{failed}{content}"
        "<p><small>Emulated: no money moves.</small></p></body></html>"
    )
    return http_answer(status, page.encode(), HTML)
