"""The SQL of the audit log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import Select, insert, select

from app.audit_log.models import audit_entries
from app.db import Session

ActorType: TypeAlias = Literal["user", "api_key", "superadmin", "system"]

# `created_at` is the beginning of the transaction by the database's clock, an id is made later and by ours: they may
# lie apart, and never so far.
_CLOCKS_DIFFER = 24 * 3600

_entry = audit_entries.c


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: `actor_id` is None for Holdfast itself, `address` and `request_id` outside of a request."""

    id: UUID
    actor_type: ActorType
    actor_id: UUID | None
    action: str
    target_type: str
    target_id: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    address: str | None
    request_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries are wanted: those that have each value which is not None, made in [since, until)."""

    actor_id: UUID | None = None
    actor_type: ActorType | None = None
    action: str | None = None
    target_type: str | None = None
    target_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def add(session: Session, **entry: Any) -> None:
    await session.execute(insert(audit_entries).values(**entry))


async def newest(
    session: Session, workspace_id: UUID, wanted: EntryFilter, *, before: UUID | None, limit: int
) -> list[Entry]:
    """The newest first; `before` continues after the last one seen."""
    query = _entries(workspace_id, wanted).order_by(_entry.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_entry.id < before)
    return [Entry(*row) for row in await session.execute(query)]


async def oldest(
    session: Session, workspace_id: UUID, wanted: EntryFilter, *, after: UUID | None, limit: int
) -> list[Entry]:
    """The oldest first; `after` continues after the last one seen."""
    query = _entries(workspace_id, wanted).order_by(_entry.id).limit(limit)
    if after is not None:
        query = query.where(_entry.id > after)
    return [Entry(*row) for row in await session.execute(query)]


def _entries(workspace_id: UUID, wanted: EntryFilter) -> Select[Any]:
    query = select(*(_entry[name] for name in Entry.__slots__)).where(_entry.workspace_id == workspace_id)
    for name in ("actor_id", "actor_type", "action", "target_type", "target_id"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(_entry[name] == value)
    # Ids are in order of time too, and are what the entries are read by.
    if wanted.since is not None:
        query = query.where(_entry.created_at >= wanted.since, _entry.id >= _first_id(wanted.since, -_CLOCKS_DIFFER))
    if wanted.until is not None:
        query = query.where(_entry.created_at < wanted.until, _entry.id < _first_id(wanted.until, _CLOCKS_DIFFER))
    return query


def _first_id(moment: datetime, later_seconds: int) -> UUID:
    """The lowest UUIDv7 of so many seconds after the moment (RFC 9562, 5.7: milliseconds in the first 48 bits)."""
    milliseconds = int((moment.timestamp() + later_seconds) * 1000)
    return UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)
