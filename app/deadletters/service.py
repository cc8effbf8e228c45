"""Dead letters: what could not be done, of every process in one form, until somebody redrives or discards it.

A process opens letters in the transaction in which its work fails, and says in that of the next try what came of it. A
letter refers to what failed; it never holds it.

    open ──redrive──▶ redriven ──ended well──▶ resolved
     │ ◀──────────failed again─────┘
     └──discard──▶ discarded
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from app.audit_log import service as audit_log
from app.auth.permissions import Caller
from app.db import Session, Sessions, new_id
from app.deadletters import repository
from app.deadletters.errors import DeadLetterNotOpen
from app.deadletters.repository import Letter, LetterFilter, Process
from app.errors import NotFound

# What the ids of a process are ids of, and with what between their colons.
REFERENCE_TYPES: Mapping[Process, str] = {
    "enrichment": "enrichment_record",  # <job>:<position>
    "webhook": "webhook_delivery",  # <endpoint>:<delivery>
    "billing": "billing_usage_batch",
    "replication": "replication_row",
}

# Rows of one statement, which are a text of JSON in memory meanwhile.
_BATCH = 10_000

Each = TypeVar("Each")


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be done: the `payload_id` is its id in the process. `reason` is a code; `message` is for people,
    and holds nothing of a tenant's data. It was tried `attempts` times since its letter was opened, or ever."""

    payload_id: str
    reason: str
    message: str
    run_id: UUID | None = None
    attempts: int = 1


async def open_many(session: Session, workspace_id: UUID, process: Process, failures: Sequence[Failure]) -> None:
    """Open a letter for each, or again the one that stands for it; one that was discarded stays so.

    Joins the transaction in which they failed: after the rows of that, before the outbox and the balance.
    """
    for batch in _batches(failures):
        rows = [
            {
                "id": new_id(),
                "payload_id": each.payload_id,
                "reason": each.reason,
                "message": each.message,
                "attempts": each.attempts,
                "run_id": each.run_id,
            }
            for each in batch
        ]
        await repository.open_many(session, workspace_id, process, rows)


async def redriven(session: Session, workspace_id: UUID, process: Process, moves: Sequence[tuple[str, str]]) -> None:
    """What stood behind the old id of each pair is tried again as the new one, which may be the same: its letter, where
    one is open, says so from here on."""
    for batch in _batches(moves):
        await repository.redriven(session, workspace_id, process, batch)


async def reopen(session: Session, workspace_id: UUID, process: Process, payload_ids: Sequence[str]) -> None:
    """The tries of these ended without a failure of their own (somebody cancelled them): their letters are open again,
    where they were redriven, with the reasons that they had."""
    for batch in _batches(payload_ids):
        await repository.reopen(session, workspace_id, process, batch)


async def resolve(session: Session, workspace_id: UUID, process: Process, payload_ids: Sequence[str]) -> None:
    """These ended well; what has no letter needs none."""
    for batch in _batches(payload_ids):
        await repository.resolve(session, workspace_id, process, batch)


async def resolve_within(session: Session, workspace_id: UUID, process: Process, within: str) -> None:
    """All that is still redriven ended well, of the payloads whose ids begin with this one (a job's)."""
    await repository.resolve_within(session, workspace_id, process, within)


async def discard_many(
    session: Session, workspace_id: UUID, process: Process, payload_ids: Sequence[str], *, reason: str
) -> int:
    """These can never be tried again; how many letters are discarded for it."""
    return sum(
        [
            await repository.discard_many(session, workspace_id, process, batch, reason=reason)
            for batch in _batches(payload_ids)
        ]
    )


async def erase_reasons(session: Session, workspace_id: UUID, like: Sequence[str]) -> int:
    """Put ``erased`` in place of the reasons for a discard whose text in lower case one of the patterns of LIKE fits;
    how many. Nothing else of a letter is anybody's words."""
    return await repository.erase_reasons(session, workspace_id, like)


async def open_within(sessions: Sessions, workspace_id: UUID, within: Sequence[str]) -> Mapping[str, int]:
    """How many letters are open of the payloads whose ids begin with these (of jobs, of endpoints), by id; none where
    it has none."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.open_within(session, workspace_id, within)


async def get_letter(sessions: Sessions, workspace_id: UUID, letter_id: UUID) -> Letter:
    """Raises NotFound."""
    async with sessions.for_workspace(workspace_id) as session:
        return _found(await repository.letter(session, workspace_id, letter_id))


async def list_letters(
    sessions: Sessions, workspace_id: UUID, wanted: LetterFilter, *, before: UUID | None, limit: int
) -> list[Letter]:
    """The newest first; `before` continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.newest(session, workspace_id, wanted, before=before, limit=limit)


async def discard(sessions: Sessions, caller: Caller, letter_id: UUID, reason: str) -> Letter:
    """Leave it undone for good. Raises NotFound, DeadLetterNotOpen."""
    async with sessions.for_workspace(caller.workspace_id) as session:
        state = await repository.lock(session, caller.workspace_id, letter_id)
        if state is None:
            raise _no_such_letter()
        if state != "open":
            raise DeadLetterNotOpen(f"The dead letter is {state}: only an open one can be discarded.")
        await repository.discard(session, caller.workspace_id, letter_id, reason=reason)
        await audit_log.record(
            session,
            caller.workspace_id,
            caller,
            "dead_letter.discard",
            ("dead_letter", str(letter_id)),
            before={"state": state},
            after={"state": "discarded", "reason": reason},
        )
        return _found(await repository.letter(session, caller.workspace_id, letter_id))


def _found(letter: Letter | None) -> Letter:
    if letter is None:
        raise _no_such_letter()
    return letter


def _no_such_letter() -> NotFound:
    return NotFound("There is no such dead letter.")


def _batches(items: Sequence[Each]) -> Iterator[Sequence[Each]]:
    for first in range(0, len(items), _BATCH):
        yield items[first : first + _BATCH]
