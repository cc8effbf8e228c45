"""The audit log: what people and keys changed, written in the transaction of the change and never rewritten."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog

from app.audit_log import repository
from app.auth.permissions import Caller, Person
from app.db import Session, new_id


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
    answered.
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
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
        address=context.get("client_address"),
        request_id=context.get("request_id"),
    )


def _actor(actor: Caller | Person | None) -> tuple[str, UUID | None]:
    match actor:
        case None:
            return "system", None
        case Person():
            return ("superadmin" if actor.is_superadmin else "user"), actor.user_id
        case Caller(api_key_id=UUID() as key_id):
            return "api_key", key_id
    return "user", actor.user_id
