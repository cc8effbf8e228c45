"""Comparisons of one workspace with what Stripe has; the work is done by the workflow SyncCustomer."""

from collections.abc import Callable, Sequence
from uuid import UUID

from app.audit_log import service as audit_log
from app.auth.permissions import Caller
from app.billing import sync_repository as repository
from app.billing.sync_repository import Drift, Sync
from app.db import Session, Sessions, new_id
from app.errors import NotFound
from app.idempotency import service as idempotency
from app.idempotency.answers import Once, Remembered
from app.workspaces import service as workspaces


async def start(
    sessions: Sessions, caller: Caller, answer: Callable[[Sync], Remembered], *, once: Once | None
) -> tuple[Remembered, bool]:
    """Have the caller's workspace compared with what Stripe has from now on; what `answer` says of that, and whether it
    was said before. A comparison that runs already is taken; one of a workspace that is no customer has ended.

    Raises NoSuchWorkspace, IdempotencyInProgress, IdempotencyKeyReused.
    """
    workspace_id = caller.workspace_id
    async with sessions.for_workspace(workspace_id) as session:
        if once and (first := await idempotency.replay_or_begin(session, once)):
            return first, True
        await workspaces.keep_open(session, workspace_id)
        sync_id = await _start(session, workspace_id)
        target = ("billing_sync", str(sync_id))
        await audit_log.record(session, workspace_id, caller, "billing_sync.start", target)
        said = answer(_found(await repository.get(session, workspace_id, sync_id)))
        if once:
            await idempotency.remember(session, once, said)
        return said, False


async def finish(session: Session, workspace_id: UUID) -> None:
    """What Stripe had when the customer's `due_at` was last taken (its `seen_at`) is applied in this transaction, which
    holds the customer's row: end the running comparison, with the number of differences recorded under it.

    One that was asked for after that moment goes on: the customer is due once more. Without one nothing happens.
    """
    await repository.finish(session, workspace_id)


async def get_sync(sessions: Sessions, workspace_id: UUID, sync_id: UUID) -> Sync:
    """Raises NotFound."""
    async with sessions.for_workspace(workspace_id) as session:
        return _found(await repository.get(session, workspace_id, sync_id))


async def list_syncs(sessions: Sessions, workspace_id: UUID, *, before: UUID | None, limit: int) -> list[Sync]:
    """The newest first; `before` continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.page(session, workspace_id, before=before, limit=limit)


async def list_drift(
    sessions: Sessions, workspace_id: UUID, sync_id: UUID, *, before: UUID | None, limit: int
) -> Sequence[Drift]:
    """The newest first; `before` continues after the last one seen. Raises NotFound."""
    async with sessions.for_workspace(workspace_id) as session:
        _found(await repository.get(session, workspace_id, sync_id))
        return await repository.drift(session, workspace_id, sync_id, before=before, limit=limit)


async def _start(session: Session, workspace_id: UUID) -> UUID:
    if started := await repository.start(session, [workspace_id]):
        return started[0]
    sync_id = new_id()
    await repository.add_empty(session, workspace_id, sync_id)
    return sync_id


def _found(sync: Sync | None) -> Sync:
    if sync is None:
        raise NotFound("There is no such comparison.")
    return sync
