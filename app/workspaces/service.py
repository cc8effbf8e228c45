"""Workspaces: the tenants of an installation."""

from uuid import UUID

from app.db import Session, new_id
from app.workspaces import repository


async def create_workspace(session: Session, name: str) -> UUID:
    """Make a workspace without keys and credits; its id. The session must be the owner's."""
    workspace_id = new_id()
    await repository.add(session, workspace_id, name)
    return workspace_id


async def find_workspace(session: Session, name: str) -> UUID | None:
    """The oldest workspace of that name that the session can see."""
    return await repository.find_by_name(session, name)
