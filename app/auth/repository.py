"""The SQL of authentication."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import exists, insert, select, text

from app.auth.models import api_keys
from app.auth.permissions import KEY_SCOPES, ROLE_PERMISSIONS, Caller, Person, Role
from app.auth.tokens import Claims
from app.db import Session

_RESOLVE_KEY = text("SELECT api_key_id, workspace_id, scopes, role FROM resolve_api_key(:secret_hash)")
_RESOLVE_PERSON = text("SELECT is_superadmin, role FROM resolve_person(:user_id, :session_id, :workspace_id)")


async def resolve_api_key(session: Session, secret_hash: bytes) -> Caller | None:
    """The caller behind a key that is known, not revoked and not expired. Needs no workspace."""
    row = (await session.execute(_RESOLVE_KEY, {"secret_hash": secret_hash})).one_or_none()
    if row is None:
        return None
    # What its maker may no longer do, the key may no longer do.
    permissions = frozenset(row.scopes) & KEY_SCOPES & ROLE_PERMISSIONS[row.role]
    return Caller(row.workspace_id, permissions, row.role, api_key_id=row.api_key_id)


async def resolve_person(
    session: Session, claims: Claims, workspace_id: UUID | None
) -> tuple[Person, Role | None] | None:
    """Who is signed in, and the role in that workspace (None: no member); None when the sign-in has ended."""
    parameters = {"user_id": claims.user_id, "session_id": claims.session_id, "workspace_id": workspace_id}
    row = (await session.execute(_RESOLVE_PERSON, parameters)).one_or_none()
    return (Person(claims.user_id, claims.session_id, row.is_superadmin), row.role) if row else None


async def add_api_key(
    session: Session,
    api_key_id: UUID,
    workspace_id: UUID,
    *,
    name: str,
    prefix: str,
    last_four: str,
    secret_hash: bytes,
    scopes: Sequence[str],
) -> None:
    await session.execute(
        insert(api_keys).values(
            id=api_key_id,
            workspace_id=workspace_id,
            name=name,
            prefix=prefix,
            last_four=last_four,
            secret_hash=secret_hash,
            scopes=list(scopes),
        )
    )


async def has_api_key(session: Session, workspace_id: UUID) -> bool:
    query = select(exists().where(api_keys.c.workspace_id == workspace_id, api_keys.c.revoked_at.is_(None)))
    return bool((await session.execute(query)).scalar_one())
