"""Time that passes: renewals, tries to collect, ends of trials and what runs out, each at its moment."""

from collections.abc import Mapping
from typing import Protocol

from app.sandbox.stripe_calls import Call, Routes, found, listing
from app.sandbox.stripe_checkout import Checkout
from app.sandbox.stripe_clocks import WORLD
from app.sandbox.stripe_customers import Customers
from app.sandbox.stripe_errors import invalid, missing
from app.sandbox.stripe_invoices import Invoices
from app.sandbox.stripe_subscriptions import OVER, Subscriptions
from app.sandbox.stripe_world import Object, World, new_id

_DAYS = {"day": 1, "week": 7, "month": 31, "year": 366}
_DAY = 86_400
_KEPT_FOR = 30 * _DAY
_WITHOUT_SUBSCRIPTIONS = 2 * 366


class Rules(Protocol):
    """What a kind of objects does by itself."""

    def due(self, item: Object, /) -> int | None:
        """When something happens to it, None: never."""

    def happen(self, item: Object, /) -> None:
        """What was due happens."""


class Life:
    """Test clocks, and what happens when a clock goes on."""

    def __init__(
        self, world: World, customers: Customers, subscriptions: Subscriptions, invoices: Invoices, checkout: Checkout
    ) -> None:
        self._world = world
        self._customers = customers
        self._rules: Mapping[str, Rules] = {
            "subscriptions": subscriptions,
            "invoices": invoices,
            "checkout_sessions": checkout,
        }

    def routes(self) -> Routes:
        kind, clocks = "test_clocks", "/v1/test_helpers/test_clocks"
        return {
            ("POST", clocks): self._create,
            ("GET", clocks): lambda call: listing(self._world, kind, call),
            ("GET", f"{clocks}/{{id}}"): lambda call: found(self._world, kind, call, "test clock"),
            ("DELETE", f"{clocks}/{{id}}"): self._delete,
            ("POST", f"{clocks}/{{id}}/advance"): self._advance,
        }

    def catch_up(self) -> None:
        """Let happen what is due by now for those who live in the real time."""
        clock = self._world.clocks.get(WORLD)
        clock.pass_until(clock.now(), self._happen)

    def move(self, seconds: int, customer: Object | None = None) -> int:
        """Move the time of a customer on, or that of all who have none of their own. What it is then."""
        world = self._world
        if customer is None:
            clock = world.clocks.get(WORLD)
            clock.offset += seconds
            world.revision += 1
            self.catch_up()
            return clock.now()
        if customer["_clock"] == WORLD:
            self._detach(customer)
        clock = world.clocks.get(customer["_clock"])
        return self._move(customer["_clock"], clock.now() + seconds)

    def reschedule(self) -> None:
        """Find out what is due from the objects themselves, after they were read from a file."""
        for kind, rules in self._rules.items():
            for item in self._world.collections[kind].rows:
                self._world.schedule(item, rules.due(item))

    def _detach(self, customer: Object) -> None:
        """Give a customer a time of its own, which begins now and which nobody sees."""
        key = f"own of {customer['id']}"
        self._world.clocks.make(key, self._world.now())
        customer["_clock"] = key
        for kind, rules in self._rules.items():
            for item in self._world.collections[kind].of(customer["id"]):
                self._world.schedule(item, rules.due(item))

    def _move(self, key: str, until: int) -> int:
        clock = self._world.clocks.get(key)
        clock.pass_until(until, self._happen)
        clock.frozen = until
        self._world.revision += 1
        return until

    def _happen(self, identifier: str) -> None:
        item, kind = self._world.find(identifier), self._world.kind_of(identifier)
        if item is None or kind is None:
            return
        rules = self._rules[kind]
        due, now = rules.due(item), self._world.now(item.get("customer"))
        # Something else may have happened since it was scheduled, which scheduled it anew.
        if due is not None and due <= now:
            rules.happen(item)

    # What is called.

    def _create(self, call: Call) -> Object:
        taken = call.parameters
        frozen, name = taken.whole("frozen_time"), taken.text("name")
        if frozen is None:
            raise missing("frozen_time")
        taken.finish()
        now = self._world.now()
        clock: Object = {
            "id": new_id("clock_"),
            "object": "test_helpers.test_clock",
            "created": now,
            "deletes_after": now + _KEPT_FOR,
            "frozen_time": frozen,
            "livemode": False,
            "name": name,
            "status": "ready",
            "status_details": {},
        }
        self._world.clocks.make(clock["id"], frozen)
        self._world.add("test_clocks", clock)
        self._world.emit("test_helpers.test_clock.created", clock)
        return clock

    def _advance(self, call: Call) -> Object:
        """Answers "advancing", as Stripe does; here it has arrived when the answer goes out."""
        clock, taken = found(self._world, "test_clocks", call, "test clock"), call.parameters
        until = taken.whole("frozen_time")
        taken.finish()
        if until is None:
            raise missing("frozen_time")
        if until <= clock["frozen_time"]:
            raise invalid("The frozen_time must be after the current one.", param="frozen_time")
        if until - clock["frozen_time"] > self._farthest(clock["id"]):
            said = "A test clock can be advanced by at most two intervals of its shortest subscription."
            raise invalid(said, param="frozen_time")
        clock["frozen_time"] = self._move(clock["id"], until)
        self._world.emit("test_helpers.test_clock.ready", clock)
        return {**clock, "status": "advancing"}

    def _delete(self, call: Call) -> Object:
        clock = found(self._world, "test_clocks", call, "test clock")
        for customer in self._of(clock["id"]):
            if not customer.get("deleted"):
                self._customers.delete(customer)
        clock["deleted"] = True
        self._world.emit("test_helpers.test_clock.deleted", clock)
        return {"id": clock["id"], "object": clock["object"], "deleted": True}

    def _farthest(self, key: str) -> int:
        """Two intervals of the shortest subscription."""
        shortest = _WITHOUT_SUBSCRIPTIONS
        for customer in self._of(key):
            for subscription in self._world.collections["subscriptions"].of(customer["id"]):
                if subscription["status"] not in OVER:
                    recurring = subscription["items"]["data"][0]["price"]["recurring"]
                    shortest = min(shortest, 2 * _DAYS[recurring["interval"]] * recurring["interval_count"])
        return shortest * _DAY

    def _of(self, key: str) -> list[Object]:
        return [each for each in self._world.collections["customers"].rows if each["_clock"] == key]
