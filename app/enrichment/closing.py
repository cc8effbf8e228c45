"""The end of all jobs of a workspace that was deleted."""

from uuid import UUID

from app.db import Sessions
from app.enrichment import repository
from app.outbox import service as outbox
from workflows import ids

# Jobs that one transaction locks.
_BATCH = 200


async def cancel_unfinished(sessions: Sessions, workspace_id: UUID) -> int:
    """Have every job that has not ended be cancelled, a batch a transaction; how many have not ended yet.

    A job that was told so before is not told again.
    """
    while True:
        async with sessions.for_workspace(workspace_id) as session:
            told = await repository.cancel_unfinished(session, limit=_BATCH)
            for job_id in told:
                await outbox.wake(session, workspace_id, ids.enrichment_job(str(job_id)))
            if len(told) < _BATCH:
                return await repository.count_unfinished(session)
