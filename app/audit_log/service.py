"""The audit log: what people and keys changed, written in the transaction of the change and never rewritten."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

import structlog

from app.audit_log import repository
from app.audit_log.repository import Entry, EntryFilter
from app.auth.permissions import Caller, Person
from app.db import Session, Sessions, new_id
from app.redaction import redact

_BATCH = 1000


async def record(
    session: Session,
    workspace_id: UUID,
    actor: Caller | Person | None,
    action: str,
    target: tuple[str, str],
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Say who did what: `action` as ``member.remove``, `target` as type and id, `before` and `after` without secrets.

    `actor` None is Holdfast itself. The client's address and the request's id come from the request that is being
    answered. A value whose name or form is that of a secret is masked: what stands here stands for ever.
    """
    context = structlog.contextvars.get_contextvars()
    actor_type, actor_id = _actor(actor)
    await repository.add(
        session,
        id=new_id(),
        workspace_id=workspace_id,
        actor_type=actor_type,
        actor_id=actor_id,
        action=action,
        target_type=target[0],
        target_id=target[1],
        before=redact(before),
        after=redact(after),
        address=context.get("client_address"),
        request_id=context.get("request_id"),
    )


async def list_entries(
    sessions: Sessions, workspace_id: UUID, wanted: EntryFilter, *, before: UUID | None, limit: int
) -> list[Entry]:
    """The newest first; `before` continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.newest(session, workspace_id, wanted, before=before, limit=limit)


async def batches(sessions: Sessions, workspace_id: UUID, wanted: EntryFilter) -> AsyncIterator[list[Entry]]:
    """All wanted entries in order of time, some at a time, each batch in a transaction of its own.

    Raises Unavailable between batches.
    """
    after: UUID | None = None
    while True:
        async with sessions.for_workspace(workspace_id) as session:
            entries = await repository.oldest(session, workspace_id, wanted, after=after, limit=_BATCH)
        if not entries:
            return
        after = entries[-1].id
        yield entries


def _actor(actor: Caller | Person | None) -> tuple[str, UUID | None]:
    match actor:
        case None:
            return "system", None
        case Person():
            return ("superadmin" if actor.is_superadmin else "user"), actor.user_id
        case Caller(api_key_id=UUID() as key_id):
            return "api_key", key_id
    return "user", actor.user_id
