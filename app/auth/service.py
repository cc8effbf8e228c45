"""Who calls, with an API key or an access token; and API keys, how one is made."""

from collections.abc import Collection
from uuid import UUID

from app.auth import keys, repository
from app.auth.permissions import ROLE_PERMISSIONS, Caller, Permission, Person
from app.auth.tokens import AccessTokens
from app.db import Session, Sessions, new_id
from app.errors import Unauthenticated


async def authenticate_key(sessions: Sessions, secret: str) -> Caller:
    """Who calls with this API key.

    Raises Unauthenticated, the same whether the key is malformed, unknown, revoked or expired.
    """
    caller = None
    if keys.is_secret(secret):
        async with sessions.unscoped() as session:
            caller = await repository.resolve_api_key(session, keys.secret_hash(secret))
    if caller is None:
        raise Unauthenticated("The API key is not valid: check it, or make a new one.")
    return caller


async def authenticate_person(
    sessions: Sessions, tokens: AccessTokens, token: str, workspace_id: UUID | None = None
) -> tuple[Person, Caller | None]:
    """Who calls with this access token, and as what in the workspace: None for no member of it.

    Raises Unauthenticated, also for a token whose sign-in was ended since.
    """
    claims = tokens.read(token)
    async with sessions.unscoped() as session:
        found = await repository.resolve_person(session, claims, workspace_id)
    if found is None:
        raise Unauthenticated("This sign-in has ended: sign in again.")
    person, role = found
    if role is None or workspace_id is None:
        return person, None
    return person, Caller(workspace_id, ROLE_PERMISSIONS[role], role, user_id=person.user_id)


async def create_api_key(
    session: Session, workspace_id: UUID, name: str, scopes: Collection[Permission]
) -> tuple[UUID, str]:
    """Make a key of the workspace; its id and its secret, which can never be read again."""
    api_key_id, secret = new_id(), keys.new_secret()
    await repository.add_api_key(
        session,
        api_key_id,
        workspace_id,
        name=name,
        prefix=keys.PREFIX,
        last_four=secret[-4:],
        secret_hash=keys.secret_hash(secret),
        scopes=sorted(scopes),
    )
    return api_key_id, secret


async def has_api_key(session: Session, workspace_id: UUID) -> bool:
    """Whether the workspace has a key that was not revoked."""
    return await repository.has_api_key(session, workspace_id)
