"""The SQL by which people see the keys of their workspace and end them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select, update

from app.auth.models import api_keys
from app.db import Session


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that was not revoked. The secret is nowhere: `prefix` and `last_four` tell it from others."""

    id: UUID
    name: str
    prefix: str
    last_four: str
    scopes: Sequence[str]
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


_key = api_keys.c
_KEYS = select(*(_key[name] for name in ApiKey.__slots__)).where(_key.revoked_at.is_(None))


async def keys(session: Session, *, before: UUID | None, limit: int) -> list[ApiKey]:
    query = _KEYS.order_by(_key.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_key.id < before)
    return [ApiKey(**row) for row in (await session.execute(query)).mappings()]


async def key(session: Session, api_key_id: UUID) -> ApiKey | None:
    row = (await session.execute(_KEYS.where(_key.id == api_key_id))).mappings().one_or_none()
    return ApiKey(**row) if row else None


async def count_live(session: Session) -> int:
    """How many keys of the session's workspace were not revoked and have not expired."""
    is_live = _key.revoked_at.is_(None) & or_(_key.expires_at.is_(None), _key.expires_at > func.now())
    return int((await session.execute(select(func.count()).select_from(api_keys).where(is_live))).scalar_one())


async def revoke(session: Session, api_key_id: UUID) -> None:
    await session.execute(update(api_keys).where(_key.id == api_key_id).values(revoked_at=func.now()))
