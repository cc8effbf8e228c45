"""Endpoints: where a workspace is told of its events. Each function joins its caller's transaction, in which the caller
says who did it.

What is secret of them only goes in here: what opens it is app/webhooks/target.py, which the API never imports.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import orjson

from app.credentials.sealing import Sealer
from app.db import Session, new_id
from app.webhooks import endpoint_repository as repository
from app.webhooks.endpoint_repository import SecretKind
from app.webhooks.service import EventType
from app.webhooks.signing import new_secret

OVERLAP = timedelta(hours=24)
"""A signing key that was replaced signs for so long beside the new one."""


def bound_to(kind: SecretKind, endpoint_id: UUID) -> str:
    """What is sealed of an endpoint is bound to it and to what it is, in the place of a provider's name."""
    return f"webhook {kind} {endpoint_id}"


async def add_endpoint(
    session: Session,
    sealer: Sealer,
    workspace_id: UUID,
    *,
    url: str,
    event_types: Sequence[EventType],
    description: str = "",
    headers: Mapping[str, str] | None = None,
    created_by: UUID | None = None,
) -> tuple[UUID, str]:
    """Its id, and the secret that it is signed with, which nobody sees again."""
    endpoint_id, secret = new_id(), new_secret()
    await repository.add(
        session,
        workspace_id,
        endpoint_id,
        url=url,
        event_types=event_types,
        description=description,
        created_by=created_by,
    )
    await _seal(session, sealer, workspace_id, endpoint_id, "signing", secret)
    if headers:
        await set_headers(session, sealer, workspace_id, endpoint_id, headers)
    return endpoint_id, secret


async def rotate_secret(session: Session, sealer: Sealer, workspace_id: UUID, endpoint_id: UUID) -> str | None:
    """A new secret; the one that it replaces signs beside it for `OVERLAP`. None where there is no such endpoint."""
    if not await repository.touch(session, workspace_id, endpoint_id):
        return None
    secret = new_secret()
    await repository.expire_signing(session, workspace_id, endpoint_id, overlap=OVERLAP)
    await _seal(session, sealer, workspace_id, endpoint_id, "signing", secret)
    return secret


async def set_headers(
    session: Session, sealer: Sealer, workspace_id: UUID, endpoint_id: UUID, headers: Mapping[str, str]
) -> bool:
    """Have these headers, and no others, go with each delivery; False where there is no such endpoint."""
    if not await repository.touch(session, workspace_id, endpoint_id, header_names=sorted(headers)):
        return False
    await repository.remove_headers(session, workspace_id, endpoint_id)
    if headers:
        packed = orjson.dumps(dict(headers)).decode()
        await _seal(session, sealer, workspace_id, endpoint_id, "headers", packed)
    return True


async def disable_endpoint(session: Session, workspace_id: UUID, endpoint_id: UUID) -> bool:
    """Deliver nothing to it any more: what waits for it fails, and can be recovered. False where there is none that is
    enabled."""
    return await repository.disable(session, workspace_id, endpoint_id, "by_hand")


async def enable_endpoint(session: Session, workspace_id: UUID, endpoint_id: UUID) -> bool:
    """Deliver to it what is told from now on, as if it had never failed. False where there is none that is disabled."""
    return await repository.enable(session, workspace_id, endpoint_id)


async def _seal(
    session: Session, sealer: Sealer, workspace_id: UUID, endpoint_id: UUID, kind: SecretKind, secret: str
) -> None:
    sealed = sealer.seal(workspace_id, bound_to(kind, endpoint_id), secret)
    await repository.add_secret(session, workspace_id, endpoint_id, new_id(), kind, sealed)
