"""API keys: make one, and find out who calls with one."""

from collections.abc import Collection
from uuid import UUID

from app.auth import keys, repository
from app.auth.permissions import Caller, Permission
from app.db import Session, Sessions, new_id
from app.errors import Unauthenticated


async def authenticate(sessions: Sessions, secret: str) -> Caller:
    """Who calls with this secret.

    Raises Unauthenticated, the same whether the key is malformed, unknown, revoked or expired.
    """
    caller = None
    if keys.is_secret(secret):
        async with sessions.unscoped() as session:
            caller = await repository.resolve_api_key(session, keys.secret_hash(secret))
    if caller is None:
        raise Unauthenticated("The API key is not valid: check it, or make a new one.")
    return caller


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
