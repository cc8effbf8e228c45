"""The SQL of workspaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, insert, select, text, update

from app.auth.permissions import Role
from app.db import Session
from app.workspaces.models import workspaces


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace as one of its own sees it, who has `role` there."""

    id: UUID
    name: str
    settings: Mapping[str, Any]
    role: Role
    created_at: datetime
    deleted_at: datetime | None = None


_OF_PERSON = text("""
    SELECT workspace_id AS id, name, settings, role, created_at FROM workspaces_of(:user_id)
    WHERE CAST(:before AS uuid) IS NULL OR workspace_id < :before
    ORDER BY workspace_id DESC LIMIT :limit
""")
# One at a time for each person, so that the number is right.
_COUNT_OWNED = text("SELECT count(*) FROM workspaces_of(:user_id) WHERE role = 'owner'")
_LOCK_PERSON = text("SELECT pg_advisory_xact_lock(hashtextextended('holdfast.workspaces_of:' || :user_id, 0))")
_MADE_ONCE = text("SELECT workspace_id FROM workspace_made_once(:user_id, :route, :key)")
# A setting that is null is not set.
_SET_SETTINGS = text("""
    UPDATE workspaces SET settings = jsonb_strip_nulls(settings || CAST(:changes AS jsonb)) WHERE id = :workspace_id
""")
# A closing that has to be started again and again waits for a person: it is looked at less often the older it is. A
# command on its way is a sign of life of its own: the relay has it.
_CLAIM_SILENT = text("""
    UPDATE workspaces SET closing_checked_at = now()
    WHERE id IN (
        SELECT w.id FROM workspaces AS w
        WHERE w.deleted_at IS NOT NULL AND w.closed_at IS NULL
          AND coalesce(w.closing_checked_at, w.deleted_at) < now() - greatest(
                  make_interval(secs => :seconds),
                  (coalesce(w.closing_checked_at, w.deleted_at) - w.deleted_at) / 10)
          AND NOT EXISTS (SELECT FROM outbox_commands AS c
                          WHERE c.workflow_id = 'close-workspace/' || w.id AND c.dead_at IS NULL)
        ORDER BY coalesce(w.closing_checked_at, w.deleted_at) LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING id
""")
_IS_CLOSING = text("""
    SELECT FROM workspaces WHERE id = :workspace_id AND deleted_at IS NOT NULL AND closed_at IS NULL FOR NO KEY UPDATE
""")
_KEEP_OPEN = text("SELECT FROM workspaces WHERE id = :workspace_id AND deleted_at IS NULL FOR SHARE")

_workspace = workspaces.c


async def add(session: Session, workspace_id: UUID, name: str) -> None:
    await session.execute(insert(workspaces).values(id=workspace_id, name=name))


async def find_by_name(session: Session, name: str) -> UUID | None:
    """The oldest workspace of that name: names are not unique."""
    query = select(_workspace.id).where(_workspace.name == name).order_by(_workspace.id).limit(1)
    found: UUID | None = (await session.execute(query)).scalar_one_or_none()
    return found


async def of_person(session: Session, user_id: UUID, *, before: UUID | None, limit: int) -> list[Workspace]:
    """The newest first. Needs no workspace."""
    rows = await session.execute(_OF_PERSON, {"user_id": user_id, "before": before, "limit": limit})
    return [Workspace(**row) for row in rows.mappings()]


async def lock_and_count_owned(session: Session, user_id: UUID) -> int:
    """How many workspaces the person owns, final until the end of the transaction. Needs no workspace."""
    await session.execute(_LOCK_PERSON, {"user_id": str(user_id)})
    return int((await session.execute(_COUNT_OWNED, {"user_id": user_id})).scalar_one())


async def made_once(session: Session, user_id: UUID, route: str, key: str) -> UUID | None:
    """The workspace that the person made last with this Idempotency-Key. Needs no workspace."""
    values = {"user_id": user_id, "route": route, "key": key}
    found: UUID | None = (await session.execute(_MADE_ONCE, values)).scalar_one_or_none()
    return found


async def workspace(session: Session, workspace_id: UUID, role: Role) -> Workspace:
    query = select(_workspace.id, _workspace.name, _workspace.settings, _workspace.created_at, _workspace.deleted_at)
    row = (await session.execute(query.where(_workspace.id == workspace_id))).mappings().one()
    return Workspace(role=role, **row)


async def settings(session: Session, workspace_id: UUID) -> Mapping[str, Any]:
    query = select(_workspace.settings).where(_workspace.id == workspace_id)
    found: Mapping[str, Any] = (await session.execute(query)).scalar_one()
    return found


async def rename(session: Session, workspace_id: UUID, name: str) -> None:
    await session.execute(update(workspaces).where(_workspace.id == workspace_id).values(name=name))


async def change_settings(session: Session, workspace_id: UUID, changes: Mapping[str, Any]) -> None:
    parameters = {"workspace_id": workspace_id, "changes": orjson.dumps(dict(changes)).decode()}
    await session.execute(_SET_SETTINGS, parameters)


async def set_plan(session: Session, workspace_id: UUID, plan: str) -> None:
    """Nothing is written where it has that one."""
    other = (_workspace.id == workspace_id) & _workspace.plan.is_distinct_from(plan)
    await session.execute(update(workspaces).where(other).values(plan=plan))


async def delete(session: Session, workspace_id: UUID) -> None:
    await session.execute(update(workspaces).where(_workspace.id == workspace_id).values(deleted_at=func.now()))


async def keep_open(session: Session, workspace_id: UUID) -> bool:
    """Have a deletion wait for the end of the transaction; False where it came first."""
    return (await session.execute(_KEEP_OPEN, {"workspace_id": workspace_id})).one_or_none() is not None


async def mark_closed(session: Session, workspace_id: UUID) -> None:
    await session.execute(
        update(workspaces)
        .where(_workspace.id == workspace_id, _workspace.closed_at.is_(None))
        .values(closed_at=func.now())
    )


async def unmark_closed(session: Session, workspace_id: UUID) -> bool:
    """False where it was not marked."""
    is_closed = (_workspace.id == workspace_id) & _workspace.closed_at.is_not(None)
    return (await session.execute(update(workspaces).where(is_closed).values(closed_at=None))).rowcount > 0


async def claim_silent_closings(session: Session, *, seconds: float, limit: int) -> list[UUID]:
    """Deleted workspaces whose closing was not looked at for so long, or for a tenth of its age where that is more;
    each counts as looked at from now on. The session is the platform's."""
    return list((await session.execute(_CLAIM_SILENT, {"seconds": seconds, "limit": limit})).scalars())


async def lock_closing(session: Session, workspace_id: UUID) -> bool:
    """Keep the row to the end of the transaction; False where the workspace is closed, or was never deleted."""
    return (await session.execute(_IS_CLOSING, {"workspace_id": workspace_id})).one_or_none() is not None
