"""When keys were last used: to the minute, and written behind the requests that used them."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import structlog

from app.auth import repository
from app.auth.permissions import Caller
from app.db import Sessions
from app.errors import AppError
from app.tasks import BackgroundTasks

_EVERY = timedelta(minutes=1)
# At a time, so that the pool's other connections are left to requests.
_AT_A_TIME = 2
# Keys remembered at the most: a forgotten one costs a write that changes nothing.
_MAX_KEYS = 10_000
_CLOSE_SECONDS = 2

_log = structlog.get_logger(__name__)


class KeyUsage:
    """Writes `last_used_at` of keys, at most once a minute each. What fails is not tried again before the next use."""

    def __init__(self, sessions: Sessions, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions = sessions
        self._clock = clock
        self._due: dict[UUID, float] = {}
        self._tasks = BackgroundTasks(_AT_A_TIME)

    def note(self, caller: Caller) -> None:
        """The key of the caller was used. Never raises and never waits."""
        key_id = caller.api_key_id
        now = self._clock()
        if key_id is None or now < self._due.get(key_id, 0):
            return
        if len(self._due) >= _MAX_KEYS:
            self._due.clear()
        self._due[key_id] = now + _EVERY.total_seconds()
        self._tasks.start(lambda: self._write(caller.workspace_id, key_id))

    async def drain(self) -> None:
        """Wait until all that was noted is written or has failed."""
        await self._tasks.drain()

    async def close(self) -> None:
        """Give what waits a moment to be written."""
        await self._tasks.close(_CLOSE_SECONDS)

    async def _write(self, workspace_id: UUID, key_id: UUID) -> None:
        try:
            async with self._sessions.for_workspace(workspace_id) as session:
                await repository.touch_api_key(session, key_id, every=_EVERY)
        except AppError as error:
            self._due.pop(key_id, None)
            _log.warning("use of a key not written", api_key_id=str(key_id), error=error.message)
