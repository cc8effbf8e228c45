"""A call of the API as the handlers see it, and what all lists and all answers have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.sandbox.stripe_errors import invalid, no_such
from app.sandbox.stripe_parameters import Parameters
from app.sandbox.stripe_world import Object, World, render

_LIMIT = 100
_DEFAULT_LIMIT = 10
_DEPTH = 4
# Of these no list is that of a customer.
_NOBODYS = (
    "customers",
    "products",
    "prices",
    "disputes",
    "refunds",
    "events",
    "meters",
    "webhook_endpoints",
    "test_clocks",
)


@dataclass(frozen=True, slots=True)
class Call:
    """`ids` are those in the path."""

    path: str
    ids: tuple[str, ...]
    parameters: Parameters


Handler = Callable[[Call], Object]
Routes = Mapping[tuple[str, str], Handler]
"""Handlers by method and path, in which `{id}` stands for any id."""


def found(world: World, kind: str, call: Call, name: str) -> Object:
    """The object that the path names. `name` is what Stripe calls it in an error. Raises StripeError."""
    item = world.collections[kind].find(call.ids[0])
    if item is None:
        raise no_such(name, call.ids[0])
    return item


def named(world: World, kind: str, identifier: str, param: str, name: str) -> Object:
    """The object that a parameter names. Raises StripeError."""
    item = world.collections[kind].find(identifier)
    if item is None or item.get("deleted"):
        raise no_such(name, identifier, param, status=400)
    return item


def listing(world: World, kind: str, call: Call, keep: Callable[[Object], bool] = lambda _: True) -> Object:
    """A page of a list: what every list can be asked for is read here, the rest by whoever says what to `keep`."""
    taken = call.parameters
    limit = taken.whole("limit", least=1, most=_LIMIT) or _DEFAULT_LIMIT
    after, before = taken.text("starting_after"), taken.text("ending_before")
    customer = taken.text("customer") if kind not in _NOBODYS else None
    inside = span(taken, "created")
    if after and before:
        raise invalid("Received both starting_after and ending_before", param="starting_after")
    collection = world.collections[kind]
    for param, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and collection.find(cursor) is None:
            raise no_such(kind.rstrip("s"), cursor, param, status=400)
    if customer is not None and world.collections["customers"].find(customer) is None:
        raise no_such("customer", customer, "customer", status=400)

    def wanted(item: Object) -> bool:
        return not item.get("deleted") and inside(item["created"]) and keep(item)

    page, more = collection.page(wanted, customer=customer, limit=limit, after=after, before=before)
    return as_list(page, call.path, has_more=more)


def part(items: Sequence[Object], call: Call) -> Object:
    """A page of a list that is short, in its own order."""
    taken = call.parameters
    limit = taken.whole("limit", least=1, most=_LIMIT) or _DEFAULT_LIMIT
    after, ids = taken.text("starting_after"), [item["id"] for item in items]
    if after is not None and after not in ids:
        raise no_such("object", after, "starting_after", status=400)
    begin = 0 if after is None else ids.index(after) + 1
    return as_list(items[begin : begin + limit], call.path, has_more=len(items) > begin + limit)


def as_list(items: Sequence[Object], url: str, *, has_more: bool = False) -> Object:
    """The JSON of a list."""
    return {"object": "list", "url": url, "has_more": has_more, "data": list(items)}


def span(taken: Parameters, name: str) -> Callable[[int], bool]:
    """Whether a moment is what a parameter wants: `created=…`, or `created[gte]=…&created[lt]=…`."""
    if name not in taken:
        return lambda _: True
    if taken.is_text(name):
        exact = taken.whole(name)
        return lambda moment: moment == exact
    limits = taken.child(name)
    gte, gt, lte, lt = (limits.whole(bound) for bound in ("gte", "gt", "lte", "lt"))
    return lambda moment: (
        (gte is None or moment >= gte)
        and (gt is None or moment > gt)
        and (lte is None or moment <= lte)
        and (lt is None or moment < lt)
    )


def shown(world: World, item: Object, expand: Sequence[str]) -> Object:
    """An object, or a list of them, as it leaves the emulator, with objects in the place of the ids that `expand`
    names. Raises StripeError."""
    answer = render(item)
    if answer.get("object") == "list":
        answer["data"] = [render(each) for each in answer["data"]]
    for path in expand:
        parts = path.split(".")
        if len(parts) > _DEPTH:
            raise invalid("You cannot expand more than 4 levels of a property.", param="expand")
        answer = _expanded(world, answer, parts, path)
    return answer


def _expanded(world: World, value: Any, parts: Sequence[str], path: str) -> Any:
    if isinstance(value, str):
        item = world.find(value)
        if item is None:
            raise invalid(f"This property cannot be expanded ({path}).", param="expand")
        value = render(item)
    if not parts or value is None:
        return value
    name, rest = parts[0], parts[1:]
    if isinstance(value, list):
        return [_expanded(world, each, parts, path) for each in value]
    if name == "data" and value.get("object") == "list":
        return {**value, "data": _expanded(world, value["data"], rest, path)}
    if name in value:
        return {**value, name: _expanded(world, value[name], rest, path)}
    # Some are left out of an answer unless they are asked for.
    whole = world.find(value.get("id", ""))
    if whole is None or name not in whole.get("_more", {}):
        raise invalid(f"This property cannot be expanded ({path}).", param="expand")
    return {**value, name: _expanded(world, whole["_more"][name], rest, path)}
