"""The SQL of authentication."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import exists, insert, select, text

from app.auth.models import api_keys
from app.auth.permissions import Caller
from app.db import Session

_RESOLVE = text("SELECT api_key_id, workspace_id, scopes FROM resolve_api_key(:secret_hash)")


async def resolve_api_key(session: Session, secret_hash: bytes) -> Caller | None:
    """The caller behind a key that is known, not revoked and not expired. Needs no workspace."""
    row = (await session.execute(_RESOLVE, {"secret_hash": secret_hash})).one_or_none()
    return Caller(row.api_key_id, row.workspace_id, frozenset(row.scopes)) if row else None


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
