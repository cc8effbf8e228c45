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
) -> tuple[Job, Record] | None:
    """The job and its record as soon as that has an end, or as they are after so long; None where the database was away
    at last. The job itself is settled a moment later. Holds no connection while it waits. Raises NotFound."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    with notices.expected(ENDED, str(job_id)) as heard:
        while True:
            heard.clear()
            found = None
            with suppress(Unavailable):
                found = await service.get_job_of_one(sessions, workspace_id, job_id)
            left = deadline - loop.time()
            if left <= 0 or (found is not None and service.pending(found[0]) == 0):
                return found
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LOOK_EVERY_SECONDS)):
                    await heard.wait()
