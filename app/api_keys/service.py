"""The API keys of a workspace: listed, made and revoked by people."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from app.api_keys import repository
from app.api_keys.errors import TooManyApiKeys
from app.api_keys.repository import ApiKey
from app.audit_log import service as audit_log
from app.auth import service as auth
from app.auth.permissions import Caller, Permission
from app.db import Session, Sessions
from app.errors import Detail, Forbidden, InvalidRequest, NotFound
from app.team import service as team

MAX_LIVE_KEYS = 100


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key with its secret, which can never be read again."""

    key: ApiKey
    secret: str


async def list_keys(sessions: Sessions, workspace_id: UUID, *, before: UUID | None, limit: int) -> list[ApiKey]:
    """Those that were not revoked, the newest first; `before` continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.keys(session, before=before, limit=limit)


async def create_key(
    sessions: Sessions, caller: Caller, name: str, scopes: Collection[Permission], expires_at: datetime | None
) -> NewApiKey:
    """Make a key that can do no more than who makes it, at any time, and that ends with their membership.

    Raises InvalidRequest for an end in the past, Forbidden for a scope that the caller lacks, TooManyApiKeys.
    """
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidRequest("The request body is not valid.", details=[Detail("expires_at", "must be in the future")])
    lacking = sorted(set(scopes) - caller.permissions)
    if lacking:
        raise Forbidden(f"A key can do no more than who makes it, who lacks {', '.join(lacking)}.")
    async with sessions.for_workspace(caller.workspace_id) as session:
        await team.lock(session, caller.workspace_id)
        if await repository.count_live(session) >= MAX_LIVE_KEYS:
            raise TooManyApiKeys(f"There are {MAX_LIVE_KEYS} keys: revoke one that is not used.")
        api_key_id, secret = await auth.create_api_key(
            session,
            caller.workspace_id,
            name,
            scopes,
            created_by=caller.user_id,
            expires_at=expires_at,
        )
        key = await _key(session, api_key_id)
        await audit_log.record(
            session,
            caller.workspace_id,
            caller,
            "api_key.create",
            ("api_key", str(api_key_id)),
            after=_told(key),
        )
    return NewApiKey(key, secret)


async def revoke_key(sessions: Sessions, caller: Caller, api_key_id: UUID) -> None:
    """End a key. Raises NotFound."""
    async with sessions.for_workspace(caller.workspace_id) as session:
        await team.lock(session, caller.workspace_id)
        key = await _key(session, api_key_id)
        await repository.revoke(session, api_key_id)
        await audit_log.record(
            session,
            caller.workspace_id,
            caller,
            "api_key.revoke",
            ("api_key", str(api_key_id)),
            before=_told(key),
        )


async def _key(session: Session, api_key_id: UUID) -> ApiKey:
    key = await repository.key(session, api_key_id)
    if key is None:
        raise NotFound("There is no such API key, or it was revoked.")
    return key


def _told(key: ApiKey) -> dict[str, object]:
    # "last_four" tells it from others; what is called a key or a secret would be masked.
    return {
        "name": key.name,
        "last_four": key.last_four,
        "scopes": list(key.scopes),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }
