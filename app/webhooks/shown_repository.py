"""The SQL of what people see: webhooks, deliveries with their attempts, events. Nothing sealed is read here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import text

from app.db import Session
from app.providers.ports import JsonValue
from app.webhooks.endpoint_repository import DisabledReason

DeliveryState: TypeAlias = Literal["pending", "delivered", "failed"]

# Of each delivery, the last; a redelivered one may have more.
_ATTEMPTS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint without its secrets. `header_names` are those of its own headers."""

    id: UUID
    url: str
    event_types: Sequence[str]
    description: str
    header_names: Sequence[str]
    enabled: bool
    disabled_reason: DisabledReason | None
    disabled_at: datetime | None
    failing_since: datetime | None
    paused_until: datetime | None
    previous_secret_expires_at: datetime | None
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event for an endpoint. `attempts` are mappings of ``at``, ``milliseconds``, ``status``, ``error`` and
    ``answer``, the last ten, in order."""

    id: UUID
    event_id: UUID
    event_type: str
    state: DeliveryState
    error: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    ended_at: datetime | None
    attempts: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Event:
    """What a workspace was told."""

    id: UUID
    type: str
    version: int
    data: JsonValue
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries are wanted; None: all."""

    state: DeliveryState | None = None
    event_type: str | None = None


_WEBHOOKS = """
    SELECT e.id, e.url, e.event_types, e.description, e.header_names, e.enabled, e.disabled_reason, e.disabled_at,
           e.failing_since, CASE WHEN e.paused_until > now() THEN e.paused_until END,
           (SELECT max(s.expires_at) FROM webhook_secrets AS s
            WHERE s.workspace_id = e.workspace_id AND s.endpoint_id = e.id AND s.kind = 'signing'
              AND s.expires_at > now()),
           e.created_by, e.created_at, e.updated_at
    FROM webhook_endpoints AS e WHERE e.workspace_id = :workspace_id
"""
_LIST = text(f"""{_WEBHOOKS}
      AND (CAST(:before AS uuid) IS NULL OR e.id < CAST(:before AS uuid)) ORDER BY e.id DESC LIMIT :limit
""")
_GET = text(f"{_WEBHOOKS} AND e.id = :endpoint_id")
_LOCK = text(f"{_WEBHOOKS} AND e.id = :endpoint_id FOR NO KEY UPDATE OF e")
# Two that are made at the same time must count each other.
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('holdfast.webhooks_of:' || :workspace_id, 0))")
_COUNT = text("SELECT count(*) FROM webhook_endpoints WHERE workspace_id = :workspace_id")
_COUNT_SIGNING = text("""
    SELECT count(*) FROM webhook_secrets
    WHERE workspace_id = :workspace_id AND endpoint_id = :endpoint_id AND kind = 'signing'
      AND (expires_at IS NULL OR expires_at > now())
""")
# What failed at another address says nothing about this one.
_CHANGE = text("""
    UPDATE webhook_endpoints
    SET event_types = :event_types, description = :description, updated_at = clock_timestamp(), url = :url,
        failures = CASE WHEN url = :url THEN failures ELSE 0 END,
        failing_since = CASE WHEN url = :url THEN failing_since END,
        paused_until = CASE WHEN url = :url THEN paused_until END
    WHERE workspace_id = :workspace_id AND id = :endpoint_id
""")
_DELETE = text("DELETE FROM webhook_endpoints WHERE workspace_id = :workspace_id AND id = :endpoint_id")
_DELIVERIES = f"""
    SELECT d.id, d.event_id, e.type, d.state, d.error, d.next_attempt_at, d.created_at, d.ended_at,
           (SELECT coalesce(jsonb_agg(to_jsonb(a) - 'id' ORDER BY a.id), '[]')
            FROM (SELECT id, started_at AS at, milliseconds, status, error, answer FROM webhook_attempts
                  WHERE workspace_id = d.workspace_id AND delivery_id = d.id
                  ORDER BY id DESC LIMIT {_ATTEMPTS_SHOWN}) AS a)
    FROM webhook_deliveries AS d JOIN events AS e ON e.workspace_id = d.workspace_id AND e.id = d.event_id
    WHERE d.workspace_id = :workspace_id AND d.endpoint_id = :endpoint_id
"""
_LIST_DELIVERIES = f"""{_DELIVERIES}
    {{}} ORDER BY d.id DESC LIMIT :limit
"""
_DELIVERY = text(f"{_DELIVERIES} AND d.id = :delivery_id")
_DELIVERY_OF = text(f"{_DELIVERIES} AND d.event_id = :event_id")
_EVENTS = """
    SELECT id, type, version, data, created_at FROM events
    WHERE workspace_id = :workspace_id {} ORDER BY created_at, id LIMIT :limit
"""


async def webhooks(session: Session, workspace_id: UUID, *, before: UUID | None, limit: int) -> list[Webhook]:
    """The newest first, those before `before`."""
    values = {"workspace_id": workspace_id, "before": before, "limit": limit}
    return [Webhook(*row) for row in await session.execute(_LIST, values)]


async def webhook(session: Session, workspace_id: UUID, endpoint_id: UUID, *, lock: bool = False) -> Webhook | None:
    """`lock` keeps the row as it is to the end of the transaction."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id}
    row = (await session.execute(_LOCK if lock else _GET, values)).one_or_none()
    return Webhook(*row) if row else None


async def count(session: Session, workspace_id: UUID) -> int:
    """How many webhooks there are; nobody else of the workspace who asks makes one before this transaction ends."""
    await session.execute(_ONE_AT_A_TIME, {"workspace_id": str(workspace_id)})
    return int((await session.execute(_COUNT, {"workspace_id": workspace_id})).scalar_one())


async def count_signing(session: Session, workspace_id: UUID, endpoint_id: UUID) -> int:
    """How many secrets sign, the current one among them."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id}
    return int((await session.execute(_COUNT_SIGNING, values)).scalar_one())


async def change(
    session: Session, workspace_id: UUID, endpoint_id: UUID, *, url: str, event_types: Sequence[str], description: str
) -> None:
    """Where the URL is another, it counts as one that has never failed."""
    values = {
        "workspace_id": workspace_id,
        "endpoint_id": endpoint_id,
        "url": url,
        "event_types": list(event_types),
        "description": description,
    }
    await session.execute(_CHANGE, values)


async def delete(session: Session, workspace_id: UUID, endpoint_id: UUID) -> None:
    """With its secrets and its deliveries."""
    await session.execute(_DELETE, {"workspace_id": workspace_id, "endpoint_id": endpoint_id})


async def deliveries(
    session: Session,
    workspace_id: UUID,
    endpoint_id: UUID,
    wanted: DeliveryFilter,
    *,
    before: UUID | None,
    limit: int,
) -> list[Delivery]:
    """The newest first, those before `before`."""
    conditions = {
        "AND d.id < :before": before,
        "AND d.state = :state": wanted.state,
        "AND e.type = :event_type": wanted.event_type,
    }
    query = _LIST_DELIVERIES.format(" ".join(each for each, value in conditions.items() if value is not None))
    values = {
        "workspace_id": workspace_id,
        "endpoint_id": endpoint_id,
        "before": before,
        "state": wanted.state,
        "event_type": wanted.event_type,
        "limit": limit,
    }
    return [Delivery(*row) for row in await session.execute(text(query), values)]


async def delivery(session: Session, workspace_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> Delivery | None:
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id, "delivery_id": delivery_id}
    row = (await session.execute(_DELIVERY, values)).one_or_none()
    return Delivery(*row) if row else None


async def delivery_of(session: Session, workspace_id: UUID, endpoint_id: UUID, event_id: UUID) -> Delivery | None:
    """That of the event for the endpoint."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id, "event_id": event_id}
    row = (await session.execute(_DELIVERY_OF, values)).one_or_none()
    return Delivery(*row) if row else None


async def events(
    session: Session,
    workspace_id: UUID,
    *,
    type: str | None,
    created_after: datetime | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Event]:
    """In the order in which they were told, those behind `after`."""
    conditions = {
        "AND type = :type": type,
        "AND created_at >= :created_after": created_after,
        "AND (created_at, id) > (:after_at, :after_id)": after,
    }
    query = _EVENTS.format(" ".join(each for each, value in conditions.items() if value is not None))
    after_at, after_id = after or (None, None)
    values = {
        "workspace_id": workspace_id,
        "type": type,
        "created_after": created_after,
        "after_at": after_at,
        "after_id": after_id,
        "limit": limit,
    }
    return [Event(*row) for row in await session.execute(text(query), values)]
