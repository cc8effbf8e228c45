"""Products and prices. Those of the sandbox are there from the start: what Holdfast sells."""

from app.sandbox.stripe_calls import Call, Routes, found, listing, named
from app.sandbox.stripe_errors import missing
from app.sandbox.stripe_world import Object, World, new_id

PLANS = {
    "starter": (("price_starter_monthly", "month", 4_900), ("price_starter_yearly", "year", 49_000)),
    "growth": (("price_growth_monthly", "month", 19_900), ("price_growth_yearly", "year", 199_000)),
    "scale": (("price_scale_monthly", "month", 79_900),),
}
"""Prices by product, in cents."""

_INTERVALS = ("day", "week", "month", "year")


class Catalog:
    """What is sold."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> Routes:
        return {
            ("POST", "/v1/products"): self._create_product,
            ("GET", "/v1/products"): self._list_products,
            ("GET", "/v1/products/{id}"): lambda call: found(self._world, "products", call, "product"),
            ("POST", "/v1/prices"): self._create_price,
            ("GET", "/v1/prices"): self._list_prices,
            ("GET", "/v1/prices/{id}"): lambda call: found(self._world, "prices", call, "price"),
            ("POST", "/v1/prices/{id}"): self._update_price,
        }

    def stock(self) -> None:
        """Make the prices of the sandbox."""
        for plan, prices in PLANS.items():
            product = self._product(plan.capitalize(), f"prod_{plan}")
            for identifier, interval, amount in prices:
                recurring = {"interval": interval, "interval_count": 1, "meter": None, "usage_type": "licensed"}
                self._price(product["id"], amount, "usd", recurring, identifier)

    def _create_product(self, call: Call) -> Object:
        taken = call.parameters
        name, identifier, description = taken.needed("name"), taken.text("id"), taken.text("description")
        metadata = taken.metadata()
        taken.finish()
        product = self._product(name, identifier, description)
        product["metadata"] = metadata
        self._world.emit("product.created", product)
        return product

    def _list_products(self, call: Call) -> Object:
        active = call.parameters.flag("active")
        return listing(self._world, "products", call, lambda item: active is None or item["active"] is active)

    def _create_price(self, call: Call) -> Object:
        taken = call.parameters
        currency, amount = taken.needed("currency"), taken.whole("unit_amount")
        if amount is None:
            raise missing("unit_amount")
        product, name = taken.text("product"), taken.child("product_data").text("name")
        if product is not None:
            named(self._world, "products", product, "product", "product")
        elif name is None:
            raise missing("product")
        recurring = None
        if "recurring" in taken:
            asked = taken.child("recurring")
            recurring = {
                "interval": asked.choice("interval", *_INTERVALS) or asked.needed("interval"),
                "interval_count": asked.whole("interval_count", least=1) or 1,
                "meter": asked.text("meter"),
                "usage_type": asked.choice("usage_type", "licensed", "metered") or "licensed",
            }
        said = {
            "metadata": taken.metadata(),
            "nickname": taken.text("nickname"),
            "lookup_key": taken.text("lookup_key"),
        }
        taken.ignore("tax_behavior", "billing_scheme")
        taken.finish()
        price = self._price(product or self._product(str(name))["id"], amount, currency, recurring)
        price |= said
        self._world.emit("price.created", price)
        return price

    def _update_price(self, call: Call) -> Object:
        price, taken = found(self._world, "prices", call, "price"), call.parameters
        active = taken.flag("active")
        wished = {
            "active": price["active"] if active is None else active,
            "metadata": taken.metadata(price["metadata"]),
            "nickname": taken.text("nickname") or price["nickname"],
            "lookup_key": taken.text("lookup_key") or price["lookup_key"],
        }
        taken.finish()
        with self._world.changing(price, "price.updated"):
            price |= wished
        return price

    def _list_prices(self, call: Call) -> Object:
        taken = call.parameters
        active, product, keys = taken.flag("active"), taken.text("product"), taken.texts("lookup_keys")
        kind, currency = taken.choice("type", "one_time", "recurring"), taken.text("currency")
        return listing(
            self._world,
            "prices",
            call,
            lambda item: (
                (active is None or item["active"] is active)
                and (product is None or item["product"] == product)
                and (not keys or item["lookup_key"] in keys)
                and (kind is None or item["type"] == kind)
                and (currency is None or item["currency"] == currency)
            ),
        )

    def _product(self, name: str, identifier: str | None = None, description: str | None = None) -> Object:
        product = {
            "id": identifier or new_id("prod_", 14),
            "object": "product",
            "active": True,
            "created": self._world.now(),
            "default_price": None,
            "description": description,
            "images": [],
            "livemode": False,
            "metadata": {},
            "name": name,
            "type": "service",
            "updated": self._world.now(),
        }
        return self._world.add("products", product)

    def _price(
        self, product: str, amount: int, currency: str, recurring: Object | None, identifier: str | None = None
    ) -> Object:
        price = {
            "id": identifier or new_id("price_"),
            "object": "price",
            "active": True,
            "billing_scheme": "per_unit",
            "created": self._world.now(),
            "currency": currency.lower(),
            "custom_unit_amount": None,
            "livemode": False,
            "lookup_key": None,
            "metadata": {},
            "nickname": None,
            "product": product,
            "recurring": recurring,
            "tax_behavior": "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if recurring else "one_time",
            "unit_amount": amount,
            "unit_amount_decimal": str(amount),
        }
        return self._world.add("prices", price)
