"""Charges of a workspace, for tests of what is reported of them."""

from uuid import UUID

from app.credits import service as credits
from app.credits.service import Charge
from app.db import new_id
from tests.app.billing.syncing import Syncing


async def charge(scene: Syncing, amount: int, workspace_id: UUID | None = None) -> None:
    """The scene's workspace, or another one, got so many credits and has used them."""
    workspace_id = workspace_id or scene.workspace_id
    key = str(new_id())
    async with scene.sessions.for_workspace(workspace_id) as session:
        await credits.grant(session, workspace_id, amount, key=f"grant:{key}", reason="test")
        reference = ("test", key)
        await credits.hold(session, workspace_id, amount, key=f"hold:{key}", reason="test", reference=reference)
        charges = [Charge(f"charge:{key}", amount, key)]
        await credits.charge(session, workspace_id, charges, reason="test", reference_type="test")
