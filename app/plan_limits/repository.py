"""The SQL of workspaces' plans."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from sqlalchemy import text

from app.db import OwnRead, Session, Sessions

_PLAN = text("SELECT plan FROM workspaces WHERE id = :workspace_id")
_PLANS = text("SELECT id, plan FROM workspaces WHERE id = ANY(CAST(:workspace_ids AS uuid[]))")
_OWN_PLAN = OwnRead("SELECT w.plan FROM workspaces AS w WHERE w.id = own.workspace_id", {})


async def plan(session: Session, workspace_id: UUID) -> str | None:
    """The name of the workspace's plan; None where it never had another than the free one."""
    found: str | None = (await session.execute(_PLAN, {"workspace_id": workspace_id})).scalar_one_or_none()
    return found


async def read_plan(sessions: Sessions, workspace_id: UUID) -> str | None:
    """`plan`, in a round trip of its own. Raises Unavailable."""
    rows = await sessions.read_own(workspace_id, _OWN_PLAN)
    found: str | None = rows[0]["plan"] if rows else None
    return found


async def plans(session: Session, workspace_ids: Iterable[UUID]) -> Mapping[UUID, str | None]:
    """`plan` of each of these workspaces that the session can see."""
    rows = await session.execute(_PLANS, {"workspace_ids": list(workspace_ids)})
    return {row.id: row.plan for row in rows}
