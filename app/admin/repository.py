"""The SQL of the platform's staff: functions that look at all tenants, for a superadmin only."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app.db import Session


@dataclass(frozen=True, slots=True)
class AnyWorkspace:
    """A workspace as the staff sees it, with how many members and credits it has."""

    workspace_id: UUID
    name: str
    created_at: datetime
    deleted_at: datetime | None
    members: int
    balance: int
    held: int


@dataclass(frozen=True, slots=True)
class AnyUser:
    """A person as the staff sees them; `workspaces` is of how many they are a member."""

    user_id: UUID
    email: str
    name: str
    email_verified: bool
    is_superadmin: bool
    created_at: datetime
    workspaces: int


_WORKSPACES = text("""
    SELECT workspace_id, name, created_at, deleted_at, members, balance, held
    FROM all_workspaces(:superadmin, :before, :most)
""")
_USERS = text("""
    SELECT user_id, email, name, email_verified, is_superadmin, created_at, workspaces
    FROM all_users(:superadmin, :before, :most)
""")


async def list_workspaces(session: Session, superadmin: UUID, *, before: UUID | None, limit: int) -> list[AnyWorkspace]:
    """Newest first; nothing for who is no superadmin."""
    rows = await session.execute(_WORKSPACES, {"superadmin": superadmin, "before": before, "most": limit})
    return [AnyWorkspace(**row) for row in rows.mappings()]


async def list_users(session: Session, superadmin: UUID, *, before: UUID | None, limit: int) -> list[AnyUser]:
    """Newest first; nothing for who is no superadmin."""
    rows = await session.execute(_USERS, {"superadmin": superadmin, "before": before, "most": limit})
    return [AnyUser(**row) for row in rows.mappings()]
