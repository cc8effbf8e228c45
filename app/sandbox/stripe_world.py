"""What the emulated Stripe has: objects of each kind in the order in which they were made, and the time they live in.

An object is the JSON that Stripe answers with. Its keys that begin with `_` are the emulator's own and never leave it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

import orjson

from app.sandbox.stripe_clocks import WORLD, Clock, Clocks

Object = dict[str, Any]

API_VERSION = "2026-10-28.endive"

# Kinds by the prefix of their ids, which tells what an id is of.
PREFIXES: Mapping[str, str] = {
    "customers": "cus_",
    "products": "prod_",
    "prices": "price_",
    "subscriptions": "sub_",
    "invoices": "in_",
    "charges": "ch_",
    "payment_intents": "pi_",
    "refunds": "re_",
    "disputes": "du_",
    "checkout_sessions": "cs_test_",
    "portal_sessions": "bps_",
    "meters": "mtr_",
    "webhook_endpoints": "we_",
    "test_clocks": "clock_",
    "events": "evt_",
}


def new_id(prefix: str, length: int = 24) -> str:
    """An id that nothing else has. Not of the sandbox's seed: what knows objects by it outlives a sandbox."""
    return prefix + token_hex(length // 2)


class Collection:
    """Objects of one kind, oldest first; those of a customer are found without looking at the others."""

    __slots__ = ("_of", "_places", "rows")

    def __init__(self) -> None:
        self.rows: list[Object] = []
        self._places: dict[str, int] = {}
        self._of: dict[str, list[int]] = {}

    def add(self, item: Object) -> Object:
        """Put it at the end."""
        self._places[item["id"]] = len(self.rows)
        self.rows.append(item)
        if item.get("customer"):
            self.own(item)
        return item

    def own(self, item: Object) -> None:
        """It has a customer now."""
        places = self._of.setdefault(item["customer"], [])
        place = self._places[item["id"]]
        places.insert(bisect_left(places, place), place)

    def __getitem__(self, identifier: str) -> Object:
        """The object that is there for certain."""
        return self.rows[self._places[identifier]]

    def find(self, identifier: str) -> Object | None:
        place = self._places.get(identifier)
        return None if place is None else self.rows[place]

    def of(self, customer: str) -> list[Object]:
        """Those of a customer, oldest first."""
        return [self.rows[place] for place in self._of.get(customer, ())]

    def page(
        self,
        keep: Callable[[Object], bool],
        *,
        customer: str | None,
        limit: int,
        after: str | None,
        before: str | None,
    ) -> tuple[list[Object], bool]:
        """A page of those that are kept, newest first, and whether there are more in its direction; beyond `after`, or
        the ones next to `before`. KeyError where there is no such object."""
        places: Sequence[int] = range(len(self.rows)) if customer is None else self._of.get(customer, [])
        if before is not None:
            begin = bisect_left(places, self._places[before] + 1)
            found = self._some((places[at] for at in range(begin, len(places))), keep, limit)
            return list(reversed(found[:limit])), len(found) > limit
        end = len(places) if after is None else bisect_left(places, self._places[after])
        found = self._some((places[at] for at in range(end - 1, -1, -1)), keep, limit)
        return found[:limit], len(found) > limit

    def _some(self, places: Iterator[int], keep: Callable[[Object], bool], limit: int) -> list[Object]:
        found: list[Object] = []
        for place in places:
            row = self.rows[place]
            if keep(row):
                found.append(row)
                if len(found) > limit:
                    break
        return found


class World:
    """All objects, their time, and what happens to them. `base_url` is where the emulator itself is reached."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self.base_url = ""
        self.collections: dict[str, Collection] = {}
        self.clocks = Clocks(wall)
        # Who made what happens now: an API call has an id and maybe an idempotency key.
        self.request: Object = {"id": None, "idempotency_key": None}
        # Off while a crowd is made that nobody is to hear of.
        self.tells = True
        self.listener: Callable[[Object], None] = _nobody
        # Raised with each change, for whoever keeps it on disk.
        self.revision = 0
        self.clear()

    def clear(self) -> None:
        """Nothing was ever there."""
        self.collections = {kind: Collection() for kind in PREFIXES}
        self.clocks.clear()
        self.revision += 1

    # Time.

    def clock(self, customer: str | None) -> Clock:
        """The clock that a customer lives by; without one, that of everybody."""
        owner = self.collections["customers"].find(customer) if customer else None
        return self.clocks.get(owner["_clock"] if owner else WORLD)

    def now(self, customer: str | None = None) -> int:
        """Unix seconds, by the customer's clock."""
        return self.clock(customer).now()

    def schedule(self, item: Object, at: int | None) -> None:
        """Look at it again then: its own rules say what is to happen. None: never by itself."""
        if at is not None:
            self.clock(item.get("customer")).schedule(at, item["id"])

    # Objects.

    def kind_of(self, identifier: str) -> str | None:
        return next((kind for kind, prefix in PREFIXES.items() if identifier.startswith(prefix)), None)

    def find(self, identifier: str) -> Object | None:
        kind = self.kind_of(identifier)
        return self.collections[kind].find(identifier) if kind else None

    def add(self, kind: str, item: Object) -> Object:
        """A new object; who made it says so by `emit`."""
        self.revision += 1
        return self.collections[kind].add(item)

    # Events.

    def emit(self, event: str, item: Object, previous: Object | None = None) -> None:
        """Tell of what happened to an object, as it is now."""
        self.revision += 1
        if not self.tells:
            return
        data: Object = {"object": orjson.Fragment(orjson.dumps(render(item)))}
        if previous is not None:
            data["previous_attributes"] = previous
        told = {
            "id": new_id("evt_"),
            "object": "event",
            "api_version": API_VERSION,
            # Of the real time, also where the object lives in another: it is when it is told.
            "created": self.clocks.get(WORLD).now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": dict(self.request),
            "type": event,
        }
        self.collections["events"].add(told)
        self.listener(told)

    @contextmanager
    def changing(self, item: Object, event: str) -> Iterator[None]:
        """Tell of what the block changes in an object, if it changes anything that can be seen."""
        before = {name: orjson.dumps(value) for name, value in render(item).items()}
        yield
        after = render(item)
        previous = {name: orjson.loads(text) for name, text in before.items() if orjson.dumps(after.get(name)) != text}
        self.revision += 1
        if previous or after.keys() != before.keys():
            self.emit(event, item, previous)


def render(item: Object) -> Object:
    """What leaves the emulator."""
    return {name: value for name, value in item.items() if name[0] != "_"}


def _nobody(_event: Object) -> None:
    """Nobody listens."""
