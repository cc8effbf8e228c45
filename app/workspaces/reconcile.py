"""Closings of deleted workspaces that went silent, for the reconciler."""

from collections.abc import Sequence

from app.db import Sessions
from app.outbox.reconciler import SilentWork
from app.workspaces import repository, service
from workflows import ids


class Closings:
    """`platform_sessions` find closings of every workspace; each is started again in its own workspace."""

    def __init__(self, sessions: Sessions, platform_sessions: Sessions) -> None:
        self._sessions = sessions
        self._platform_sessions = platform_sessions

    async def claim_silent(self, seconds: float, limit: int) -> Sequence[SilentWork]:
        async with self._platform_sessions.unscoped() as session:
            closings = await repository.claim_silent_closings(session, seconds=seconds, limit=limit)
        return [SilentWork(each, ids.close_workspace(str(each)), each) for each in closings]

    async def start_again(self, work: SilentWork) -> None:
        await service.close_again(self._sessions, work.workspace_id)

    async def end(self, work: SilentWork) -> None:
        """However it ended, what it was to do is not done: a closing that failed waits for what a person sets right,
        and then finishes by itself."""
        await service.close_again(self._sessions, work.workspace_id)
