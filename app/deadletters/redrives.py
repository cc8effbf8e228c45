"""Trying dead letters again, many at a time; the work is done by the workflow RedriveDeadLetters.

Each process makes its new work of a group of letters (of one job, of one endpoint) in one transaction with the results
of their items. So whatever dies in between, a letter is redriven by it once or not at all.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from time import monotonic
from typing import TypeAlias
from uuid import UUID

from app.audit_log import service as audit_log
from app.auth.permissions import Caller
from app.db import Session, Sessions, new_id
from app.deadletters import redrives_repository as repository
from app.deadletters.redrives_repository import Redrive, RedriveItem
from app.deadletters.repository import LetterFilter, Process
from app.errors import AppError, Detail, InvalidRequest, NotFound
from app.idempotency import service as idempotency
from app.idempotency.answers import Once, Remembered
from app.outbox import service as outbox
from app.outbox.reconciler import ReconciledProcess, SilentWork
from workflows import ids
from workflows.contracts.deadletters import PageRedriven, RedriveDone, RedriveRef

MOST_ITEMS = 100_000
"""Letters of one redrive; what a filter finds beyond them stays open for another."""

PAGE_SECONDS = 20.0
"""After which an activity hands back what it has: how often a sign of life is written."""

_GROUPS = 100
# Of a letter that its process had nothing to make of.
_NOTHING = "nothing_to_retry"
# Of a letter whose process has no way to try it again.
_NOT_REDRIVABLE = "not_redrivable"

Again: TypeAlias = Callable[[Session, Caller, str, Sequence[str]], Awaitable[UUID | None]]
"""How a process tries letters again. Joins the transaction; gets in whose name, the group and the payload ids of its
letters, marks those that it takes by `service.redriven`, and returns the id of what it started anew, if it did."""


async def start(
    sessions: Sessions,
    caller: Caller,
    wanted: Collection[UUID] | LetterFilter,
    answer: Callable[[Redrive], Remembered],
    *,
    once: Once | None,
) -> tuple[Remembered, bool]:
    """Have these letters be tried again, those of a filter where they are open; what `answer` says of that, and whether
    it was said before.

    Raises InvalidRequest for ids that no letter has, IdempotencyInProgress, IdempotencyKeyReused.
    """
    workspace_id, redrive_id = caller.workspace_id, new_id()
    async with sessions.for_workspace(workspace_id) as session:
        if once and (first := await idempotency.replay_or_begin(session, once)):
            return first, True
        if not isinstance(wanted, LetterFilter):
            _refuse_unknown(wanted, await repository.existing(session, workspace_id, wanted))
        total = await repository.add(
            session,
            workspace_id,
            redrive_id,
            wanted,
            requested_by=caller.id,
            by_key=caller.api_key_id is not None,
            limit=MOST_ITEMS,
        )
        await audit_log.record(
            session,
            workspace_id,
            caller,
            "dead_letters.redrive",
            ("dead_letter_redrive", str(redrive_id)),
            after={"items": total},
        )
        await _start_workflow(session, workspace_id, redrive_id, total=total)
        said = answer(_found(await repository.get(session, workspace_id, redrive_id)))
        if once:
            await idempotency.remember(session, once, said)
        return said, False


async def get_redrive(
    sessions: Sessions, workspace_id: UUID, redrive_id: UUID, *, after: UUID | None, limit: int
) -> tuple[Redrive, list[RedriveItem]]:
    """With a page of its items, by letter; `after` continues after the last one seen. Raises NotFound."""
    async with sessions.for_workspace(workspace_id) as session:
        redrive = _found(await repository.get(session, workspace_id, redrive_id))
        return redrive, await repository.items(session, workspace_id, redrive_id, after=after, limit=limit)


async def redrive_page(
    sessions: Sessions, ref: RedriveRef, process: Process, again: Again, *, lock: bool
) -> PageRedriven:
    """Go through the pending items of a process for PAGE_SECONDS, or to the end: whatever `again` refuses for good is
    the result of its items, and their letters stay open. Raises Unavailable, and what else may pass.

    With `lock` the letters are locked before `again` is called: for a process in which doing it twice would be two.
    Without, `again` locks rows of its own first, as the process does when it opens a letter.
    """
    workspace_id, redrive_id = UUID(ref.workspace_id), UUID(ref.redrive_id)
    deadline = monotonic() + PAGE_SECONDS
    while monotonic() < deadline:
        async with sessions.for_workspace(workspace_id) as session:
            if await repository.is_finished(session, workspace_id, redrive_id):
                return PageRedriven(is_last=True)
            redrive = _found(await repository.get(session, workspace_id, redrive_id))
            groups = await repository.pending_groups(session, workspace_id, redrive_id, process, limit=_GROUPS)
        if not groups:
            return PageRedriven(is_last=True)
        caller = _caller(workspace_id, redrive)
        for group_id in groups:
            await _redrive_group(sessions, caller, redrive_id, process, group_id, again, lock=lock)
            if monotonic() >= deadline:
                break
    return PageRedriven(is_last=False)


async def finish(sessions: Sessions, ref: RedriveRef) -> RedriveDone:
    """Say that the redrive is done. Raises Unavailable."""
    workspace_id, redrive_id = UUID(ref.workspace_id), UUID(ref.redrive_id)
    async with sessions.for_workspace(workspace_id) as session:
        await repository.finish(session, workspace_id, redrive_id, otherwise=_NOT_REDRIVABLE)
        redrive = _found(await repository.get(session, workspace_id, redrive_id))
    return RedriveDone(redrive.redriven, redrive.refused, redrive.skipped)


async def _redrive_group(
    sessions: Sessions, caller: Caller, redrive_id: UUID, process: Process, group_id: str, again: Again, *, lock: bool
) -> None:
    workspace_id = caller.workspace_id
    try:
        async with sessions.for_workspace(workspace_id) as session:
            due = await repository.due(session, workspace_id, redrive_id, process, group_id, lock=lock)
            if due:
                made = await again(session, caller, group_id, [each.payload_id for each in due])
                await repository.conclude(session, workspace_id, redrive_id, due, resource_id=made, otherwise=_NOTHING)
    except AppError as error:
        if error.retryable:
            raise
        # What was begun is rolled back: the letters are open.
        async with sessions.for_workspace(workspace_id) as session:
            due = await repository.due(session, workspace_id, redrive_id, process, group_id, lock=lock)
            await repository.refuse(session, workspace_id, redrive_id, due, reason=error.code)


def _refuse_unknown(wanted: Collection[UUID], known: Collection[UUID]) -> None:
    if unknown := [
        Detail(f"ids[{index}]", "There is no such dead letter.")
        for index, letter_id in enumerate(wanted)
        if letter_id not in known
    ]:
        raise InvalidRequest(f"{len(unknown)} of these ids are of no dead letter here.", details=unknown[:100])


def _caller(workspace_id: UUID, redrive: Redrive) -> Caller:
    """In whose name the new work is started. What they may do was asked when they asked for it."""
    who = {"api_key_id" if redrive.by_key else "user_id": redrive.requested_by}
    return Caller(workspace_id, frozenset(), "viewer", **who)


class Redrives(ReconciledProcess):
    """What is pending is still to be tried, however the workflow ended."""

    async def _claim(self, session: Session, *, seconds: float, limit: int) -> Sequence[tuple[UUID, UUID]]:
        return await repository.claim_silent(session, seconds=seconds, limit=limit)

    def _workflow_id(self, reference: str) -> str:
        return ids.redrive(reference)

    async def start_again(self, work: SilentWork) -> None:
        async with self._sessions.for_workspace(work.workspace_id) as session:
            redrive = await repository.get(session, work.workspace_id, work.reference)
            if redrive is not None and redrive.finished_at is None:
                await _start_workflow(session, work.workspace_id, redrive.id, total=redrive.total, again=True)


async def _start_workflow(
    session: Session, workspace_id: UUID, redrive_id: UUID, *, total: int, again: bool = False
) -> None:
    await outbox.start_workflow(
        session,
        workspace_id,
        workflow="RedriveDeadLetters",
        workflow_id=ids.redrive(str(redrive_id)),
        argument={"workspace_id": str(workspace_id), "redrive_id": str(redrive_id)},
        summary=f"redrive {str(redrive_id)[-8:]} · {total} dead letters",
        process="deadletters",
        again=again,
    )


def _found(redrive: Redrive | None) -> Redrive:
    if redrive is None:
        raise NotFound("There is no such redrive.")
    return redrive
