"""Closings of deleted workspaces that went silent, for the reconciler."""

from collections.abc import Sequence
from uuid import UUID

from app.db import Session
from app.outbox.reconciler import ReconciledProcess, SilentWork
from app.workspaces import repository, service
from workflows import ids


class Closings(ReconciledProcess):
    """A closing that failed waits for what a person sets right, and then finishes by itself."""

    async def _claim(self, session: Session, *, seconds: float, limit: int) -> Sequence[tuple[UUID, UUID]]:
        closings = await repository.claim_silent_closings(session, seconds=seconds, limit=limit)
        return [(workspace_id, workspace_id) for workspace_id in closings]

    def _workflow_id(self, reference: str) -> str:
        return ids.close_workspace(reference)

    async def start_again(self, work: SilentWork) -> None:
        await service.close_again(self._sessions, work.workspace_id)
