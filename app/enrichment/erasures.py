"""Erasures of a person or a company as people see them; the work is done by the workflow EraseSubject."""

import hashlib
from collections.abc import Callable, Sequence
from uuid import UUID

from app.audit_log import service as audit_log
from app.auth.permissions import Caller
from app.db import Session, Sessions, new_id
from app.enrichment import erasure_repository as repository
from app.enrichment.erasure_repository import Erasure
from app.enrichment.traces import Trace
from app.errors import NotFound
from app.idempotency import service as idempotency
from app.idempotency.answers import Once, Remembered
from app.outbox import service as outbox
from app.outbox.reconciler import ReconciledProcess, SilentWork
from app.workspaces import service as workspaces
from workflows import ids
from workflows.contracts.erasures import Erased, ErasureRef

_TARGET = "enrichment_erasure"


async def start(
    sessions: Sessions, caller: Caller, trace: Trace, answer: Callable[[Erasure], Remembered], *, once: Once | None
) -> tuple[Remembered, bool]:
    """Have the subject of the trace be erased; what `answer` says of that, and whether it was said before.

    Raises NoSuchWorkspace, IdempotencyInProgress, IdempotencyKeyReused.
    """
    workspace_id, erasure_id = caller.workspace_id, new_id()
    async with sessions.for_workspace(workspace_id) as session:
        if once and (first := await idempotency.replay_or_begin(session, once)):
            return first, True
        await workspaces.keep_open(session, workspace_id)
        digest = hashlib.sha256(f"{erasure_id}:{trace.kind}:{trace.subject}".encode()).digest()
        await repository.add(
            session, workspace_id, erasure_id, kind=trace.kind, subject=trace.subject, digest=digest, by=caller.id
        )
        await audit_log.record(
            session,
            workspace_id,
            caller,
            "enrichment_erasure.start",
            (_TARGET, str(erasure_id)),
            after={"kind": trace.kind},
        )
        await _start_workflow(session, workspace_id, erasure_id)
        said = answer(_found(await repository.get(session, workspace_id, erasure_id)))
        if once:
            await idempotency.remember(session, once, said)
        return said, False


async def get_erasure(sessions: Sessions, workspace_id: UUID, erasure_id: UUID) -> Erasure:
    """Raises NotFound."""
    async with sessions.for_workspace(workspace_id) as session:
        return _found(await repository.get(session, workspace_id, erasure_id))


async def list_erasures(sessions: Sessions, workspace_id: UUID, *, before: UUID | None, limit: int) -> list[Erasure]:
    """The newest first; `before` continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.page(session, workspace_id, before=before, limit=limit)


async def finish(sessions: Sessions, ref: ErasureRef) -> Erased:
    """Say that the erasure is done: from here on nothing says who it was. Raises Unavailable."""
    workspace_id, erasure_id = UUID(ref.workspace_id), UUID(ref.erasure_id)
    async with sessions.for_workspace(workspace_id) as session:
        is_first = await repository.finish(session, workspace_id, erasure_id)
        erasure = _found(await repository.get(session, workspace_id, erasure_id))
        counts = counts_of(erasure)
        if is_first:
            target = (_TARGET, str(erasure_id))
            after = {"kind": erasure.kind, **counts}
            await audit_log.record(session, workspace_id, None, "enrichment_erasure.complete", target, after=after)
    return Erased(sum(counts.values()) - counts["running_jobs"])


def counts_of(erasure: Erasure) -> dict[str, int]:
    """In how many places something was removed, by the kind of place; and from how many jobs that had not ended."""
    return {
        "inputs": erasure.inputs,
        "results": erasure.results,
        "raw_answers": erasure.raw_answers,
        "reuse": erasure.reuse,
        "events": erasure.events,
        "remembered_answers": erasure.remembered_answers,
        "receivers_answers": erasure.receivers_answers,
        "dead_letters": erasure.dead_letters,
        "running_jobs": len(erasure.running_jobs),
    }


class Erasures(ReconciledProcess):
    """Somebody is still to be erased, however the workflow ended."""

    async def _claim(self, session: Session, *, seconds: float, limit: int) -> Sequence[tuple[UUID, UUID]]:
        return await repository.claim_silent(session, seconds=seconds, limit=limit)

    def _workflow_id(self, reference: str) -> str:
        return ids.erasure(reference)

    async def start_again(self, work: SilentWork) -> None:
        async with self._sessions.for_workspace(work.workspace_id) as session:
            erasure = await repository.get(session, work.workspace_id, work.reference)
            if erasure is not None and erasure.finished_at is None:
                await _start_workflow(session, work.workspace_id, work.reference, again=True)


async def _start_workflow(session: Session, workspace_id: UUID, erasure_id: UUID, *, again: bool = False) -> None:
    await outbox.start_workflow(
        session,
        workspace_id,
        workflow="EraseSubject",
        workflow_id=ids.erasure(str(erasure_id)),
        argument={"workspace_id": str(workspace_id), "erasure_id": str(erasure_id)},
        summary=f"erasure {str(erasure_id)[-8:]}",
        process="erasures",
        again=again,
    )


def _found(erasure: Erasure | None) -> Erasure:
    if erasure is None:
        raise NotFound("There is no such erasure.")
    return erasure
