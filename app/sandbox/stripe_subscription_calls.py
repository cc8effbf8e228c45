"""What the API is asked of subscriptions."""

from app.sandbox.stripe_calls import Call, Routes, found, listing, named, part
from app.sandbox.stripe_errors import StripeError, invalid, missing, no_such
from app.sandbox.stripe_parameters import Parameters
from app.sandbox.stripe_subscriptions import OVER, Change, Start, Subscriptions
from app.sandbox.stripe_world import Object, World

_DAY = 86_400
_STATUSES = (
    *("all", "ended", "incomplete", "incomplete_expired", "trialing", "active"),
    *("past_due", "canceled", "unpaid", "paused"),
)
_BEHAVIORS = ("allow_incomplete", "default_incomplete", "error_if_incomplete")
_PRORATIONS = ("create_prorations", "always_invoice", "none")
# Known to Stripe; whatever they say changes nothing here.
_IGNORED = (
    *("automatic_tax", "billing_mode", "collection_method", "currency", "off_session"),
    *("payment_settings", "proration_date", "trial_settings"),
)


class SubscriptionCalls:
    """Reads what is asked for, and has it done."""

    def __init__(self, world: World, subscriptions: Subscriptions) -> None:
        self._world = world
        self._subscriptions = subscriptions

    def routes(self) -> Routes:
        return {
            ("POST", "/v1/subscriptions"): self._create,
            ("GET", "/v1/subscriptions"): self._list,
            ("GET", "/v1/subscriptions/{id}"): lambda call: found(self._world, "subscriptions", call, "subscription"),
            ("POST", "/v1/subscriptions/{id}"): self._update,
            ("DELETE", "/v1/subscriptions/{id}"): self._cancel,
            ("GET", "/v1/subscription_items"): self._items,
        }

    def _create(self, call: Call) -> Object:
        taken = call.parameters
        customer = named(self._world, "customers", taken.needed("customer"), "customer", "customer")
        items = taken.children("items")
        if not items:
            raise missing("items")
        price, quantity = self._priced(items, None)
        start = Start(
            price=price,
            quantity=quantity or 1,
            trial_end=self._trial_end(taken, self._world.now(customer["id"])),
            cancel_at=taken.whole("cancel_at"),
            cancel_at_period_end=taken.flag("cancel_at_period_end") or False,
            card=taken.text("default_payment_method"),
            metadata=taken.metadata(),
            description=taken.text("description"),
            behavior=taken.choice("payment_behavior", *_BEHAVIORS) or "allow_incomplete",
        )
        taken.choice("proration_behavior", *_PRORATIONS)
        taken.ignore(*_IGNORED)
        taken.finish()
        return self._subscriptions.start(customer, start)

    def _update(self, call: Call) -> Object:
        subscription, taken = found(self._world, "subscriptions", call, "subscription"), call.parameters
        if subscription["status"] in OVER:
            said = "A canceled subscription can only update its cancellation_details and metadata."
            raise invalid(said, code="resource_missing", param="id")
        item, items = subscription["items"]["data"][0], taken.children("items")
        price, quantity = self._priced(items, item)
        change = Change(
            price=price,
            quantity=quantity or item["quantity"],
            proration=taken.choice("proration_behavior", *_PRORATIONS) or "create_prorations",
            behavior=taken.choice("payment_behavior", *_BEHAVIORS) or "allow_incomplete",
            restart=taken.choice("billing_cycle_anchor", "now", "unchanged") == "now",
        )
        ends_trial = taken.choice("trial_end", "now") is not None
        unsets = "cancel_at" in taken
        at, at_end = taken.whole("cancel_at"), taken.flag("cancel_at_period_end")
        metadata, card = taken.metadata(subscription["metadata"]), taken.text("default_payment_method")
        taken.ignore(*_IGNORED)
        taken.finish()
        with self._world.changing(subscription, "customer.subscription.updated"):
            subscription["metadata"] = metadata
            subscription["default_payment_method"] = card or subscription["default_payment_method"]
        if ends_trial:
            self._subscriptions.end_trial(subscription)
        self._subscriptions.change(subscription, change)
        if at_end is not None or unsets:
            self._subscriptions.stop_later(subscription, at, at_period_end=at_end or False)
        return subscription

    def _cancel(self, call: Call) -> Object:
        subscription, taken = found(self._world, "subscriptions", call, "subscription"), call.parameters
        if taken.flag("prorate") or taken.flag("invoice_now"):
            raise invalid("The sandbox does not prorate what is canceled at once.", param="prorate")
        taken.child("cancellation_details").ignore("comment", "feedback")
        taken.finish()
        if subscription["status"] in OVER:
            raise no_such("subscription", subscription["id"])
        self._subscriptions.end(subscription)
        return subscription

    def _list(self, call: Call) -> Object:
        taken = call.parameters
        status, price, clock = taken.choice("status", *_STATUSES), taken.text("price"), taken.text("test_clock")
        customer = taken.is_text("customer")

        def keep(item: Object) -> bool:
            if status is None and item["status"] in OVER:
                return False
            if status == "ended" and item["status"] not in OVER:
                return False
            if status not in (None, "all", "ended") and item["status"] != status:
                return False
            # As Stripe has it: those of a test clock are in no list but the clock's and the customer's.
            if item["test_clock"] != clock and not (customer and clock is None):
                return False
            return price is None or item["items"]["data"][0]["price"]["id"] == price

        return listing(self._world, "subscriptions", call, keep)

    def _items(self, call: Call) -> Object:
        taken = call.parameters
        of = named(self._world, "subscriptions", taken.needed("subscription"), "subscription", "subscription")
        return part(of["items"]["data"], call)

    def _priced(self, items: list[Parameters], item: Object | None) -> tuple[Object, int | None]:
        """The price and the quantity that `items` asks for; of `item`, where it names neither."""
        if len(items) > 1:
            raise invalid("The sandbox has subscriptions of one item only.", param="items")
        asked = items[0] if items else Parameters({})
        if item is not None and items and asked.text("id") != item["id"]:
            # Stripe would add a second item.
            raise _not_the_item(item)
        identifier, quantity = asked.text("price"), asked.whole("quantity", least=1)
        asked.metadata()
        if identifier is None:
            if item is None:
                raise missing("items[0][price]")
            return item["price"], quantity
        price = named(self._world, "prices", identifier, "items[0][price]", "price")
        if price["recurring"] is None:
            raise invalid("The price specified is set to `type=one_time`", param="items[0][price]")
        if not price["active"] and (item is None or item["price"]["id"] != identifier):
            raise invalid("The price specified is inactive.", param="items[0][price]")
        return price, quantity

    def _trial_end(self, taken: Parameters, now: int) -> int | None:
        days = taken.whole("trial_period_days", least=1, most=730)
        end = taken.whole("trial_end")
        if end is not None and end <= now:
            raise invalid("Invalid timestamp: must be in the future", param="trial_end")
        return now + days * _DAY if days else end


def _not_the_item(item: Object) -> StripeError:
    said = f"The sandbox has subscriptions of one item only: change it as items[0][id]={item['id']}."
    return invalid(said, param="items[0][id]")
