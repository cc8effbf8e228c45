"""The progress of jobs as server-sent events: one ``progress`` a second at the most, then one ``done``."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from hashlib import blake2b
from uuid import UUID
from weakref import WeakValueDictionary

from app.db import Sessions
from app.enrichment.repository import Job
from app.enrichment.service import get_job
from app.errors import Unavailable

EVERY_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 15.0
_KEEP_ALIVE = b": keep-alive\n\n"


class Watch:
    """One job, read at most once a second however many watch it. Lives as long as somebody holds it."""

    def __init__(self, sessions: Sessions, workspace_id: UUID, job_id: UUID) -> None:
        self._sessions = sessions
        self._workspace_id = workspace_id
        self._job_id = job_id
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._job: Job | None = None

    async def job(self) -> Job:
        """The job as it was less than a second ago. Raises NotFound, Unavailable."""
        async with self._lock:
            if self._job is None or time.monotonic() - self._read_at >= EVERY_SECONDS * 0.9:
                self._read_at = time.monotonic()
                self._job = await get_job(self._sessions, self._workspace_id, self._job_id)
            return self._job


class Watches:
    """The watches of a process."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._watches: WeakValueDictionary[tuple[UUID, UUID], Watch] = WeakValueDictionary()

    def of(self, workspace_id: UUID, job_id: UUID) -> Watch:
        """The watch of a job that others may hold already. Hold it as long as you need it."""
        watch = self._watches.get((workspace_id, job_id))
        if watch is None:
            watch = Watch(self._sessions, workspace_id, job_id)
            self._watches[workspace_id, job_id] = watch
        return watch


async def events(
    watch: Watch,
    render: Callable[[Job], bytes],
    last_event_id: str | None,
    *,
    every_seconds: float = EVERY_SECONDS,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
) -> AsyncIterator[bytes]:
    """The events of a job that exists, `render` making their data; the last is ``done``.

    An event's id says what state it tells: a client that comes back with `last_event_id` hears of the next change.
    After a silence a comment keeps the connection alive; while the database is away there is nothing else.
    """
    told, said_at = last_event_id, time.monotonic()
    while True:
        try:
            job = await watch.job()
        except Unavailable:
            job = None
        if job is not None:
            event_id = _event_id(job)
            if job.finished_at is not None:
                yield _event("done", event_id, render(job))
                return
            if event_id != told:
                yield _event("progress", event_id, render(job))
                told, said_at = event_id, time.monotonic()
        if time.monotonic() - said_at >= keep_alive_seconds:
            yield _KEEP_ALIVE
            said_at = time.monotonic()
        await asyncio.sleep(every_seconds)


def is_told(job: Job, last_event_id: str | None) -> bool:
    """Whether a client with this `last_event_id` has heard that the job is done."""
    return job.finished_at is not None and last_event_id == _event_id(job)


def _event_id(job: Job) -> str:
    """Equal for equal states; time alone makes no difference."""
    state = (
        job.status,
        job.matched,
        job.partial,
        job.not_found,
        job.failed,
        job.cancelled,
        job.charged,
        job.finished_at,
        job.providers,
    )
    return blake2b(repr(state).encode(), digest_size=8).hexdigest()


def _event(kind: str, event_id: str, data: bytes) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (kind.encode(), event_id.encode(), data)
