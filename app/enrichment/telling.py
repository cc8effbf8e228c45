"""The event `enrichment.records.completed`: records that got their final status, many at a time."""

from collections.abc import Sequence
from uuid import UUID

from app.db import Session
from app.enrichment.lookup_repository import Ended
from app.webhooks import service as webhooks

# Records that one event tells of.
_RECORDS = 200


async def is_wanted(session: Session, workspace_id: UUID) -> bool:
    """Whether somebody subscribed to the event. Asked once a lookup: who subscribes while one runs hears of the records
    of those that follow."""
    return await webhooks.is_wanted(session, workspace_id, "enrichment.records.completed")


async def records_completed(session: Session, workspace_id: UUID, job_id: UUID, ended: Sequence[Ended]) -> None:
    """Tell of records of the job that ended in this transaction."""
    for first in range(0, len(ended), _RECORDS):
        told = ended[first : first + _RECORDS]
        await webhooks.publish(
            session,
            workspace_id,
            "enrichment.records.completed",
            {
                "job_id": str(job_id),
                "records": [{"key": each.key, "status": each.status, "reason": each.reason} for each in told],
            },
            # A record ends once, so the first one names them all.
            key=f"{job_id}:{told[0].position}",
        )
