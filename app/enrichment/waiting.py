"""A job's waits for its providers: its own clock, the outage in which it waits, and what its workspace is told.

Each function joins the transaction of what it notes, after the lock of the job and before that of the balance.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from app.db import Session
from app.enrichment import waiting_repository as repository
from app.outages import service as outages
from app.outbox import service as outbox
from app.webhooks import service as webhooks
from workflows import ids

_PROCESS = "enrichment"
# A single call that fails is tried again: where no circuit is open, it takes more to say that the job waits.
_WORTH_TELLING_SECONDS = 2.0


async def throttle(session: Session, job_id: UUID, provider: str, *, delay_seconds: float, error: str) -> None:
    """The job waits for quota, or for its turn after an outage; no limit of its own counts that."""
    await repository.note_alive(session, job_id)
    await repository.park(session, job_id, provider, delay_seconds=delay_seconds, error=error, counts=False)


async def park(
    session: Session,
    workspace_id: UUID,
    job_id: UUID,
    provider: str,
    *,
    delay_seconds: float,
    error: str,
    max_wait_seconds: float,
) -> float:
    """The job waits for the provider's recovery; for how many seconds it still may. 0: it has given the provider up,
    and waits for it no longer."""
    job = await repository.note_alive(session, job_id)
    if job is None:
        return 0.0
    wait = await repository.park(session, job_id, provider, delay_seconds=delay_seconds, error=error, counts=True)
    left = max_wait_seconds - wait.waited_seconds
    if wait.since is None or left <= 0:
        for since in (await repository.stop(session, job_id, provider)).values():
            await resume(session, workspace_id, job_id, provider, since, "gave_up")
        return 0.0
    outage_id = await outages.park(
        session, workspace_id, provider, _PROCESS, job_id, records=job.records, credits_held=job.credits_held
    )
    key = _wait(job_id, provider, wait.since)
    is_worth_telling = outage_id is not None or wait.seconds >= _WORTH_TELLING_SECONDS
    if is_worth_telling and not await webhooks.is_published(session, workspace_id, "enrichment.job.waiting", key):
        await webhooks.publish(
            session,
            workspace_id,
            "enrichment.job.waiting",
            {
                "job_id": str(job_id),
                "provider": provider,
                "outage_id": str(outage_id) if outage_id else None,
                "since": wait.since.isoformat(),
                "records": job.records,
                "credits_held": job.credits_held,
            },
            key=key,
        )
        await outbox.review(session, workspace_id, ids.enrichment_job(str(job_id)))
    return left


async def resume(
    session: Session,
    workspace_id: UUID,
    job_id: UUID,
    provider: str,
    since: datetime,
    outcome: Literal["answered", "gave_up"],
) -> None:
    """The job's wait that began at `since` is over: the provider answered, or the job goes on without it.

    The workspace is told where it was told of the wait.
    """
    await outages.unpark(session, workspace_id, provider, _PROCESS, job_id)
    key = _wait(job_id, provider, since)
    if await webhooks.is_published(session, workspace_id, "enrichment.job.waiting", key):
        await webhooks.publish(
            session,
            workspace_id,
            "enrichment.job.resumed",
            {"job_id": str(job_id), "provider": provider, "outcome": outcome, "since": since.isoformat()},
            key=key,
        )
        await outbox.review(session, workspace_id, ids.enrichment_job(str(job_id)))


async def stop(session: Session, workspace_id: UUID, job_id: UUID) -> None:
    """The job waits for no provider any more: it is paused, or has ended. It does not go on, so nobody is told so."""
    if await repository.stop(session, job_id):
        await outages.unpark(session, workspace_id, None, _PROCESS, job_id)


def _wait(job_id: UUID, provider: str, since: datetime) -> str:
    return f"{job_id}:{provider}:{since.isoformat()}"
