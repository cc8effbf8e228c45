"""Many customers at once, each with a subscription, its paid invoices and charges; nobody is told of them.

`customers`: how many. `price`: what they have. `periods`: how many of them have begun, each with its invoice.
`metadata`: one object of texts for each customer, in their order (the first ones, where there are fewer).
"""

from collections.abc import Mapping
from typing import Any

from app.sandbox.checks import Check, RefusedError, count
from app.sandbox.stripe_clocks import WORLD
from app.sandbox.stripe_customers import GOOD_CARD, with_card
from app.sandbox.stripe_parts import Parts
from app.sandbox.stripe_subscriptions import Start

_MOST = 100_000
_DAYS = {"day": 1, "week": 7, "month": 31, "year": 366}
_DAY = 86_400


def _texts(value: object) -> list[dict[str, str]]:
    if not isinstance(value, list) or not all(
        isinstance(each, dict) and all(isinstance(text, str) for text in each.values()) for each in value
    ):
        raise RefusedError("must be a list of objects of texts")
    return value


def _price(value: object) -> str:
    if not isinstance(value, str):
        raise RefusedError("must be the id of a price")
    return value


CHECKS: Mapping[str, Check] = {"customers": count, "price": _price, "periods": count, "metadata": _texts}


def populate(parts: Parts, given: Mapping[str, Any]) -> list[str]:
    """Make them; their ids, in order. Raises RefusedError."""
    world = parts.world
    number, periods = given.get("customers", 1), given.get("periods", 1)
    price = world.collections["prices"].find(given.get("price", "price_starter_monthly"))
    if price is None or price["recurring"] is None or number > _MOST:
        raise RefusedError(f"the price must be one that is for sale, and there can be {_MOST} customers at once")
    metadata: list[dict[str, str]] = given.get("metadata", [])
    clock = world.clocks.get(WORLD)
    recurring = price["recurring"]
    ago = (periods - 1) * _DAYS[recurring["interval"]] * recurring["interval_count"] * _DAY
    began, ids = clock.now() - ago, []
    world.tells = False
    try:
        clock.passing(began)
        for index in range(number):
            customer = parts.customers.make()
            customer["name"] = f"Customer {index + 1}"
            customer["metadata"] = metadata[index] if index < len(metadata) else {}
            customer["invoice_settings"] = with_card(GOOD_CARD)
            parts.subscriptions.start(customer, Start(price=price))
            ids.append(customer["id"])
        clock.passing(None)
        parts.life.catch_up()
    finally:
        clock.passing(None)
        world.tells = True
    return ids
