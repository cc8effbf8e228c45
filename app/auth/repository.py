"""The SQL of authentication."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import exists, func, insert, or_, select, update

from app.auth.models import api_keys
from app.auth.permissions import KEY_SCOPES, ROLE_PERMISSIONS, Caller, Person, Role
from app.auth.tokens import Claims
from app.db import OwnRead, Session, Sessions

Row: TypeAlias = Mapping[str, Any]

_RESOLVE_KEY = """
    SELECT api_key_id, workspace_id, workspace_id AS own_workspace_id, scopes, role
    FROM resolve_api_key(%(secret_hash)s)
"""
_RESOLVE_PERSON = """
    SELECT is_superadmin, role, CASE WHEN role IS NOT NULL THEN %(workspace_id)s::uuid END AS own_workspace_id
    FROM resolve_person(%(user_id)s, %(session_id)s, %(workspace_id)s)
"""


async def resolve_api_key(
    sessions: Sessions, secret_hash: bytes, own: OwnRead | None = None
) -> tuple[Caller, Row] | None:
    """The caller behind a key that is known, not revoked and not expired; and a row with what `own` finds in the
    workspace of the key, read in the same round trip."""
    row = await _resolve(sessions, _RESOLVE_KEY, {"secret_hash": secret_hash}, own)
    return (_key(row), row) if row is not None else None


async def resolve_person(
    sessions: Sessions, claims: Claims, workspace_id: UUID | None, own: OwnRead | None = None
) -> tuple[Person, Role | None, Row] | None:
    """Who is signed in, and the role in that workspace (None: no member); None when the sign-in has ended. And a row
    with what `own` finds in the workspace (nothing for no member), read in the same round trip."""
    parameters = {"user_id": claims.user_id, "session_id": claims.session_id, "workspace_id": workspace_id}
    row = await _resolve(sessions, _RESOLVE_PERSON, parameters, own)
    return (_person(claims, row), row["role"], row) if row is not None else None


async def _resolve(sessions: Sessions, sql: str, parameters: Mapping[str, Any], own: OwnRead | None) -> Row | None:
    reading = sessions.read(sql, parameters) if own is None else sessions.read_as(sql, parameters, own)
    rows = await reading
    return rows[0] if rows else None


def _key(row: Row) -> Caller:
    role: Role = row["role"]
    # What its maker may no longer do, the key may no longer do.
    permissions = frozenset(row["scopes"]) & KEY_SCOPES & ROLE_PERMISSIONS[role]
    return Caller(row["workspace_id"], permissions, role, api_key_id=row["api_key_id"])


def _person(claims: Claims, row: Row) -> Person:
    return Person(claims.user_id, claims.session_id, row["is_superadmin"])


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
    created_by: UUID | None = None,
    expires_at: datetime | None = None,
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
            created_by=created_by,
            expires_at=expires_at,
        )
    )


async def revoke_keys_made_by(session: Session, workspace_id: UUID, user_id: UUID) -> None:
    await session.execute(
        update(api_keys)
        .where(
            api_keys.c.workspace_id == workspace_id,
            api_keys.c.created_by == user_id,
            api_keys.c.revoked_at.is_(None),
        )
        .values(revoked_at=func.now())
    )


async def touch_api_key(session: Session, api_key_id: UUID, *, every: timedelta) -> None:
    await session.execute(
        update(api_keys)
        .where(
            api_keys.c.id == api_key_id,
            or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at <= func.now() - every),
        )
        .values(last_used_at=func.now())
    )


async def has_api_key(session: Session, workspace_id: UUID) -> bool:
    query = select(exists().where(api_keys.c.workspace_id == workspace_id, api_keys.c.revoked_at.is_(None)))
    return bool((await session.execute(query)).scalar_one())
