"""What Stripe sends: checked, stored once as it came, and forgotten after a time. That there is something to look at is
all that an event is believed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from app.billing import event_repository as repository
from app.billing.errors import EventMalformed, EventUnsupported
from app.db import Session, Sessions, in_batches

# Stripe's own are kept as long, and sent again for three days.
KEPT = timedelta(days=30)

_BATCH = 1000
_MAX_BATCHES = 1000
_LONGEST_TEXT = 255
# Beyond the year 9999 there is no datetime.
_LAST_SECOND = 253_402_300_799


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event, and what it names of what it is about: the customer, or else the payment, or neither."""

    id: str
    type: str
    customer_id: str | None
    payment_id: str | None
    created_at: datetime


def read_event(body: bytes) -> ReceivedEvent:
    """The event that a body with a good signature holds.

    Raises EventMalformed, EventUnsupported.
    """
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise EventMalformed("The body is not JSON.") from None
    if not isinstance(event, dict):
        raise EventMalformed("The body is not an object.")
    if event.get("object") == "v2.core.event":
        raise EventUnsupported("Thin events are not taken: have the endpoint at Stripe send snapshot events.")
    event_id, kind, created = _text(event, "id"), _text(event, "type"), event.get("created")
    if event_id is None or kind is None or type(created) is not int or not 0 <= created <= _LAST_SECOND:
        raise EventMalformed("The body is not an event: id, type or created is missing.")
    about = _about(event)
    customer_id = _text(about, "id") if about.get("object") == "customer" else _reference(about, "customer")
    payment_id = _reference(about, "payment_intent")
    return ReceivedEvent(event_id, kind, customer_id, payment_id, datetime.fromtimestamp(created, UTC))


async def receive(sessions: Sessions, event: ReceivedEvent, body: bytes) -> bool:
    """Store an event as it came, and have its customer looked at; False where it was known already, and so is not
    stored again. Raises Unavailable."""
    return await repository.store(
        sessions,
        event_id=event.id,
        type=event.type,
        customer_id=event.customer_id,
        payment_id=event.payment_id,
        created_at=event.created_at,
        body=body,
    )


async def adopt(session: Session, workspace_id: UUID, customer_id: str) -> int:
    """The events of a customer that came before we knew whose it is, in the transaction that stored that it is this
    workspace's: they are looked at now. How many. In the workspace's session, or the platform's."""
    return await repository.adopt(session, workspace_id, customer_id)


async def sweep(platform_sessions: Sessions) -> int:
    """Delete events that came longer ago than `KEPT`, a batch a transaction; how many. Raises Unavailable between
    batches."""
    delete = partial(repository.sweep, keep=KEPT, limit=_BATCH)
    return await in_batches(platform_sessions, delete, batch=_BATCH, max_batches=_MAX_BATCHES)


def _about(event: Mapping[str, Any]) -> Mapping[str, Any]:
    data = event.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    return about if isinstance(about, dict) else {}


def _reference(about: Mapping[str, Any], name: str) -> str | None:
    """The id of another object, which may stand there as a whole."""
    other = about.get(name)
    return _text(other, "id") if isinstance(other, dict) else _text(about, name)


def _text(of: Mapping[str, Any], name: str) -> str | None:
    """A text that can be stored as an id; None where there is none."""
    value = of.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or not value.isprintable():
        return None
    return value
