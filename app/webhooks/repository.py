"""The SQL of events, and of whom they are for."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from sqlalchemy import exists, select, text, update

from app.db import Session
from app.providers.ports import JsonValue
from app.webhooks.models import events

# The time of the beginning of a UUIDv7, put over a random UUID: there may be no function for it before PostgreSQL 18.
_NEW_ID = """
    encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6
    ), 52, 1), 53, 1), 'hex')::uuid
"""
_ADD = text(f"""
    WITH told AS (
        INSERT INTO events (workspace_id, id, type, data)
        VALUES (:workspace_id, :event_id, :type, CAST(:data AS jsonb))
        ON CONFLICT DO NOTHING RETURNING workspace_id, id, type
    )
    INSERT INTO webhook_deliveries (workspace_id, id, endpoint_id, event_id, subject)
    SELECT told.workspace_id, {_NEW_ID}, e.id, told.id, CAST(:subject AS text)
    FROM told JOIN webhook_endpoints AS e ON e.workspace_id = told.workspace_id
    WHERE e.enabled
      AND CASE WHEN CAST(:endpoint_id AS uuid) IS NULL THEN told.type = ANY (e.event_types)
               ELSE e.id = CAST(:endpoint_id AS uuid) END
""")
_IS_WANTED = text("""
    SELECT EXISTS (SELECT FROM webhook_endpoints
                   WHERE workspace_id = :workspace_id AND enabled AND CAST(:type AS text) = ANY (event_types))
""")
_SWEEP = text("""
    DELETE FROM events WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM events WHERE created_at < now() - CAST(:keep AS interval)
        ORDER BY created_at LIMIT :limit))
""")
# Coarse: what is in an event is looked at one by one.
_SUSPECTS = text("""
    WITH page AS (
        SELECT id, data FROM events
        WHERE workspace_id = :workspace_id AND id > :after
          AND (CAST(:since AS timestamptz) IS NULL OR created_at >= CAST(:since AS timestamptz))
        ORDER BY id LIMIT :limit
    )
    SELECT count(*) AS events, (array_agg(id ORDER BY id DESC))[1] AS last,
           coalesce(array_agg(id ORDER BY id) FILTER (WHERE lower(data::text) LIKE ANY (CAST(:like AS text[]))), '{}')
           AS suspects
    FROM page
""")
_ERASE_WORDS = tuple(
    text(f"""
        UPDATE {table} SET {column} = ''
        WHERE workspace_id = :workspace_id AND lower({column}) LIKE ANY (CAST(:like AS text[]))
    """)
    for table, column in (("webhook_attempts", "answer"), ("webhook_endpoints", "description"))
)


async def add(
    session: Session,
    workspace_id: UUID,
    event_id: UUID,
    type: str,
    data: Mapping[str, JsonValue],
    *,
    subject: str | None,
    endpoint_id: UUID | None = None,
) -> None:
    """Store an event whose id is not there yet, and a delivery of it for each endpoint that wants its type, or for the
    one that is named; an event that is there stays as it is, and is delivered no second time."""
    values = {
        "workspace_id": workspace_id,
        "event_id": event_id,
        "type": type,
        "data": orjson.dumps(data).decode(),
        "subject": subject,
        "endpoint_id": endpoint_id,
    }
    await session.execute(_ADD, values)


async def is_wanted(session: Session, workspace_id: UUID, type: str) -> bool:
    return bool((await session.execute(_IS_WANTED, {"workspace_id": workspace_id, "type": type})).scalar_one())


async def has(session: Session, workspace_id: UUID, event_id: UUID) -> bool:
    table = events.c
    query = select(exists().where(table.workspace_id == workspace_id, table.id == event_id))
    return bool((await session.execute(query)).scalar_one())


async def suspects(
    session: Session, workspace_id: UUID, like: list[str], *, after: UUID, since: datetime | None, limit: int
) -> tuple[UUID | None, list[UUID]]:
    """The last id of a page of the workspace's events, None where there is no other page, and the ids of those whose
    data one of the patterns fits."""
    values = {"workspace_id": workspace_id, "like": like, "after": after, "since": since, "limit": limit}
    row = (await session.execute(_SUSPECTS, values)).one()
    return (row.last if row.events == limit else None), list(row.suspects)


async def lock_data(session: Session, workspace_id: UUID, event_id: UUID) -> JsonValue:
    """The event's data, which nobody else changes in this transaction; None where it was swept meanwhile."""
    table = events.c
    query = select(table.data).where(table.workspace_id == workspace_id, table.id == event_id)
    data: JsonValue = (await session.execute(query.with_for_update(key_share=True))).scalar_one_or_none()
    return data


async def change_data(session: Session, workspace_id: UUID, event_id: UUID, data: JsonValue) -> None:
    table = events.c
    chosen = update(events).where(table.workspace_id == workspace_id, table.id == event_id)
    await session.execute(chosen.values(data=data))


async def erase_words(session: Session, workspace_id: UUID, like: list[str]) -> int:
    """Forget what receivers answered, and what endpoints are described as, where a pattern fits it; how many."""
    values = {"workspace_id": workspace_id, "like": like}
    return sum([(await session.execute(statement, values)).rowcount for statement in _ERASE_WORDS])


async def sweep(session: Session, *, keep: timedelta, limit: int) -> int:
    """Delete up to `limit` events older than `keep`; how many."""
    return (await session.execute(_SWEEP, {"keep": keep, "limit": limit})).rowcount
