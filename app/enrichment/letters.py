"""The dead letters of enrichment: one for each record that ended `failed` while its job ran.

None for a miss or a cancelled record: that is an answer, or somebody's will. None for one whose input is invalid,
either: another try would read the same input; whoever corrects it submits it anew.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from app.db import Session
from app.deadletters import service as deadletters
from app.deadletters.service import Failure
from app.enrichment import letters_repository as repository

# By the reason of a failed record. What the providers said is in the record; here are no names, of anybody.
_MESSAGES: Mapping[str, str] = {
    "provider_unavailable": "No provider that was asked gave an answer for as long as the job waits.",
    "provider_rejected": "A provider refused the request, or the credential that it came with.",
    "malformed": "A provider's answer could not be read, twice.",
    "budget": "The credits that the job, or a record of it, may cost were spent.",
    "job_failed": "The job ended before the record did.",
}


def id_of(job_id: UUID, position: int) -> str:
    """What names a record in a dead letter."""
    return f"{job_id}:{position}"


def position_of(payload_id: str) -> int:
    """The position of the record that `id_of` named."""
    return int(payload_id.partition(":")[2])


async def failed(
    session: Session, workspace_id: UUID, job_id: UUID, failures: Sequence[tuple[int, str]], *, run_id: UUID | None
) -> None:
    """Records of the job, (position, reason), have failed in this transaction."""
    await deadletters.open_many(
        session,
        workspace_id,
        "enrichment",
        [
            Failure(id_of(job_id, position), reason, _MESSAGES.get(reason, "The record failed."), run_id)
            for position, reason in failures
        ],
    )


async def tried_again(session: Session, workspace_id: UUID, job_id: UUID, *, retry_of: UUID) -> None:
    """The job tries failed records of another one again: it stands for them now."""
    moves = [
        (id_of(retry_of, earlier), id_of(job_id, position))
        for earlier, position in await repository.retried(session, job_id, retry_of=retry_of)
    ]
    await deadletters.redriven(session, workspace_id, "enrichment", moves)


async def job_ended(
    session: Session, workspace_id: UUID, job_id: UUID, *, unfinished: str | None, is_retry: bool, run_id: UUID | None
) -> None:
    """The job has ended: with it, as `unfinished` says, the records that had no end; None: there were none.

    Of the letters for which it stands those of records that ended well are resolved.
    """
    if unfinished == "failed":
        abandoned = [(position, "job_failed") for position in await repository.abandoned(session, job_id)]
        await failed(session, workspace_id, job_id, abandoned, run_id=run_id)
    elif unfinished == "cancelled" and is_retry:
        cancelled = [id_of(job_id, position) for position in await repository.cancelled(session, job_id)]
        await deadletters.reopen(session, workspace_id, "enrichment", cancelled)
    if is_retry:
        await deadletters.resolve_within(session, workspace_id, "enrichment", str(job_id))


async def erased(session: Session, workspace_id: UUID, job_id: UUID, leaders: Sequence[int]) -> int:
    """What these records, and those that shared their answers, were about was erased: nothing is left to try again. How
    many letters were discarded for it."""
    gone = [id_of(job_id, position) for position in await repository.failed_of(session, job_id, leaders)]
    return await deadletters.discard_many(session, workspace_id, "enrichment", gone, reason="erased")
