"""Who calls, with an API key or an access token; and API keys, how one is made."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from app.auth import keys, repository
from app.auth.opaque import token_hash
from app.auth.permissions import ROLE_PERMISSIONS, Caller, Permission, Person
from app.auth.repository import Row
from app.auth.tokens import AccessTokens
from app.db import OwnRead, Session, Sessions, new_id
from app.errors import Unauthenticated

_BAD_KEY = "The API key is not valid: check it, or make a new one."
_ENDED = "This sign-in has ended: sign in again."


async def authenticate_key(sessions: Sessions, secret: str, own: OwnRead | None = None) -> tuple[Caller, Row]:
    """Who calls with this API key; and a row with what `own` finds in its workspace, read in the same round trip.

    Raises Unauthenticated, the same whether the key is malformed, unknown, revoked or expired.
    """
    found = None
    if keys.is_secret(secret):
        found = await repository.resolve_api_key(sessions, token_hash(secret), own)
    if found is None:
        raise Unauthenticated(_BAD_KEY)
    return found


async def authenticate_person(
    sessions: Sessions, tokens: AccessTokens, token: str, workspace_id: UUID | None = None, own: OwnRead | None = None
) -> tuple[Person, Caller | None, Row]:
    """Who calls with this access token, and as what in the workspace: None for no member of it; and a row with what
    `own` finds in the workspace (nothing for no member), read in the same round trip.

    Raises Unauthenticated, also for a token whose sign-in was ended since.
    """
    found = await repository.resolve_person(sessions, tokens.read(token), workspace_id, own)
    if found is None:
        raise Unauthenticated(_ENDED)
    person, role, row = found
    if role is None or workspace_id is None:
        return person, None, row
    return person, Caller(workspace_id, ROLE_PERMISSIONS[role], role, user_id=person.user_id), row


async def create_api_key(
    session: Session,
    workspace_id: UUID,
    name: str,
    scopes: Collection[Permission],
    *,
    created_by: UUID | None = None,
    expires_at: datetime | None = None,
) -> tuple[UUID, str]:
    """Make a key of the workspace; its id and its secret, which can never be read again.

    It lives by the membership of `created_by`; one of nobody is the operator's.
    """
    api_key_id, secret = new_id(), keys.new_secret()
    await repository.add_api_key(
        session,
        api_key_id,
        workspace_id,
        name=name,
        prefix=keys.PREFIX,
        last_four=secret[-4:],
        secret_hash=token_hash(secret),
        scopes=sorted(scopes),
        created_by=created_by,
        expires_at=expires_at,
    )
    return api_key_id, secret


async def revoke_keys_made_by(session: Session, workspace_id: UUID, user_id: UUID) -> None:
    """End the keys of the workspace that this person made."""
    await repository.revoke_keys_made_by(session, workspace_id, user_id)


async def has_api_key(session: Session, workspace_id: UUID) -> bool:
    """Whether the workspace has a key that was not revoked."""
    return await repository.has_api_key(session, workspace_id)
