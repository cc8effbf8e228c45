"""The SQL of events."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select, text
from sqlalchemy.dialects.postgresql import insert

from app.db import Session
from app.webhooks.models import events

_SWEEP = text("""
    DELETE FROM events WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM events WHERE created_at < now() - CAST(:keep AS interval)
        ORDER BY created_at LIMIT :limit))
""")


async def add(session: Session, **event: Any) -> None:
    """Store an event whose id is not there yet; one that is there stays as it is."""
    await session.execute(insert(events).values(**event).on_conflict_do_nothing())


async def has(session: Session, workspace_id: UUID, event_id: UUID) -> bool:
    table = events.c
    query = select(exists().where(table.workspace_id == workspace_id, table.id == event_id))
    return bool((await session.execute(query)).scalar_one())


async def sweep(session: Session, *, keep: timedelta, limit: int) -> int:
    """Delete up to `limit` events older than `keep`; how many."""
    return (await session.execute(_SWEEP, {"keep": keep, "limit": limit})).rowcount
