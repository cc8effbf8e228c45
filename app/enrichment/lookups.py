"""A job of one record, waited for."""

import asyncio
from contextlib import suppress
from uuid import UUID

from app.db import Sessions
from app.enrichment import service
from app.enrichment.repository import ENDED, Job
from app.enrichment.service import Record
from app.errors import Unavailable
from app.notices import Notices

# The end of the record is announced. This is for when that is not heard: the connection was lost, or is not there yet.
_LOOK_EVERY_SECONDS = 1.0


async def ended(
    sessions: Sessions, notices: Notices, workspace_id: UUID, job_id: UUID, *, within_seconds: float
) -> Job | None:
    """The job as soon as its record has an end, or as it is after so long; None where the database was away at last.
    The job itself is settled a moment later. Holds no connection while it waits. Raises NotFound."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    with notices.expected(ENDED, str(job_id)) as heard:
        while True:
            heard.clear()
            job = None
            with suppress(Unavailable):
                job = await service.get_job(sessions, workspace_id, job_id)
            left = deadline - loop.time()
            if left <= 0 or (job is not None and service.pending(job) == 0):
                return job
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LOOK_EVERY_SECONDS)):
                    await heard.wait()


async def only_record(sessions: Sessions, workspace_id: UUID, job: Job) -> Record:
    """What is known of the record of a job of one. Raises Unavailable."""
    async with sessions.for_workspace(workspace_id) as session:
        [record] = await service.read_records(session, job, after=0, limit=1)
    return record
