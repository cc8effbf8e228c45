"""Endpoints whose workflows went silent, for the reconciler."""

from collections.abc import Sequence

from app.db import Sessions
from app.outbox.reconciler import SilentWork
from app.webhooks import delivery_repository as deliveries
from app.webhooks import wake_repository as repository
from workflows import ids


class Deliveries:
    """`platform_sessions` find endpoints of every workspace; what is done about one is done in its own workspace."""

    def __init__(self, sessions: Sessions, platform_sessions: Sessions) -> None:
        self._sessions = sessions
        self._platform_sessions = platform_sessions

    async def claim_silent(self, seconds: float, limit: int) -> Sequence[SilentWork]:
        async with self._platform_sessions.unscoped() as session:
            silent = await repository.take_silent(session, seconds=seconds, limit=limit)
        return [SilentWork(each.workspace_id, ids.webhook_endpoint(str(each.id)), each.id) for each in silent]

    async def start_again(self, work: SilentWork) -> None:
        """Nobody waits for what is due: the relay finds it."""
        async with self._sessions.for_workspace(work.workspace_id) as session:
            await deliveries.unclaim(session, work.workspace_id, work.reference)

    async def end(self, work: SilentWork) -> None:
        """However its run ended, what is due is to be sent."""
        await self.start_again(work)
