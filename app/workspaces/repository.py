"""The SQL of workspaces."""

from uuid import UUID

from sqlalchemy import insert, select

from app.db import Session
from app.workspaces.models import workspaces


async def add(session: Session, workspace_id: UUID, name: str) -> None:
    await session.execute(insert(workspaces).values(id=workspace_id, name=name))


async def find_by_name(session: Session, name: str) -> UUID | None:
    """The oldest workspace of that name: names are not unique."""
    query = select(workspaces.c.id).where(workspaces.c.name == name).order_by(workspaces.c.id).limit(1)
    found: UUID | None = (await session.execute(query)).scalar_one_or_none()
    return found
