"""Endpoints whose workflows went silent, for the reconciler."""

from collections.abc import Sequence
from uuid import UUID

from app.db import Session
from app.outbox.reconciler import ReconciledProcess, SilentWork
from app.webhooks import delivery_repository as deliveries
from app.webhooks import wake_repository as repository
from workflows import ids


class Deliveries(ReconciledProcess):
    """However a run ended, what is due is to be sent."""

    async def _claim(self, session: Session, *, seconds: float, limit: int) -> Sequence[tuple[UUID, UUID]]:
        silent = await repository.take_silent(session, seconds=seconds, limit=limit)
        return [(each.workspace_id, each.id) for each in silent]

    def _workflow_id(self, reference: str) -> str:
        return ids.webhook_endpoint(reference)

    async def start_again(self, work: SilentWork) -> None:
        """Nobody waits for what is due: the relay finds it."""
        async with self._sessions.for_workspace(work.workspace_id) as session:
            await deliveries.unclaim(session, work.workspace_id, work.reference)
