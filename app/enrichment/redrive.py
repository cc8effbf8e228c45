"""Redriving the dead letters of enrichment: what a job could not do is retried by a new job."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from app.auth.permissions import Caller
from app.db import Session, Sessions
from app.deadletters import redrives
from app.enrichment import letters, submit
from app.enrichment.repository import Job
from app.enrichment.submit import Door
from app.idempotency.answers import Remembered
from app.providers.ports import Offer
from app.settings import EnrichmentSettings
from workflows.contracts.deadletters import PageRedriven, RedriveRef


async def redrive_page(
    sessions: Sessions,
    ref: RedriveRef,
    offers: Mapping[str, Offer],
    settings: EnrichmentSettings,
    *,
    low_threshold: int,
) -> PageRedriven:
    """Retry the records of the redrive, for as long as a page takes, with providers from the installation's `offers`.

    Below `low_threshold` available credits the workspace is told. Raises Unavailable.
    """

    async def again(session: Session, caller: Caller, job_id: str, payload_ids: Sequence[str]) -> UUID:
        door = Door(caller, settings, _answer, low_threshold=low_threshold)
        positions = [letters.position_of(each) for each in payload_ids]
        submitted = await submit.retry_in(session, door, UUID(job_id), offers, positions=positions)
        return UUID(submitted.answer.data)

    return await redrives.redrive_page(sessions, ref, "enrichment", again, lock=True)


def _answer(job: Job) -> Remembered:
    # Nobody waits for it: its id is all that is wanted.
    return Remembered(202, {}, str(job.id))
