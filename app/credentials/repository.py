"""The SQL of provider credentials."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from sqlalchemy import text

from app.credentials.sealing import Sealed
from app.db import Session

Status: TypeAlias = Literal["unverified", "valid", "rejected"]
StatusReason: TypeAlias = Literal["credential_rejected", "payment_required", "provider_unavailable", "unreadable"]


@dataclass(frozen=True, slots=True)
class Credential:
    """A workspace's credential for a provider, without its secret. `verification_id` is that of the check under way."""

    provider: str
    hint: str
    status: Status
    status_reason: StatusReason | None
    checked_at: datetime | None
    updated_at: datetime
    verification_id: UUID | None


@dataclass(frozen=True, slots=True)
class SealedCredential:
    """What is opened to make calls. Each new secret has a `generation` of its own."""

    sealed: Sealed
    generation: int
    status: Status


# A check that has not ended by then is lost: its workflow ends earlier, with a result or without.
_LOST_AFTER = "interval '5 minutes'"

_SHOWN = "provider, hint, status, status_reason, checked_at, updated_at, verification_id"
_FIND = f"SELECT {_SHOWN} FROM provider_credentials WHERE workspace_id = :workspace_id AND provider = :provider"
_GET = text(_FIND)
_LOCK = text(f"{_FIND} FOR UPDATE")
_LIST = text(f"""
    SELECT {_SHOWN} FROM provider_credentials WHERE workspace_id = :workspace_id AND provider > :after
    ORDER BY provider LIMIT :limit
""")
_STATUSES = text("SELECT provider, status FROM provider_credentials WHERE workspace_id = :workspace_id")
_PUT = text(f"""
    INSERT INTO provider_credentials AS c (workspace_id, provider, key_id, wrapped_key, ciphertext, hint)
    VALUES (:workspace_id, :provider, :key_id, :wrapped_key, :ciphertext, :hint)
    ON CONFLICT (workspace_id, provider) DO UPDATE
    SET key_id = excluded.key_id, wrapped_key = excluded.wrapped_key, ciphertext = excluded.ciphertext,
        hint = excluded.hint, status = 'unverified', status_reason = NULL, checked_at = NULL, updated_at = now(),
        generation = c.generation + 1, verification_id = NULL, verification_at = NULL
    RETURNING {_SHOWN}
""")
_DELETE = text("DELETE FROM provider_credentials WHERE workspace_id = :workspace_id AND provider = :provider")
_ERASE = text(f"DELETE FROM provider_credentials WHERE workspace_id = :workspace_id RETURNING {_SHOWN}")
_BEGIN_VERIFICATION = text(f"""
    UPDATE provider_credentials
    SET verification_id = CASE WHEN verification_at > now() - {_LOST_AFTER} THEN verification_id ELSE :new END,
        verification_at = CASE WHEN verification_at > now() - {_LOST_AFTER} THEN verification_at ELSE now() END
    WHERE workspace_id = :workspace_id AND provider = :provider
    RETURNING {_SHOWN}
""")
_SEALED = """
    SELECT key_id, wrapped_key, ciphertext, generation, status FROM provider_credentials
    WHERE workspace_id = :workspace_id AND provider = :provider
"""
_IN_USE = text(_SEALED)
_UNDER_VERIFICATION = text(f"{_SEALED} AND verification_id = :verification_id")
_CONCLUDE = text("""
    UPDATE provider_credentials AS c
    SET status = :status, status_reason = :reason, checked_at = now(), verification_id = NULL, verification_at = NULL
    FROM (SELECT status FROM provider_credentials
          WHERE workspace_id = :workspace_id AND provider = :provider FOR UPDATE) AS before
    WHERE workspace_id = :workspace_id AND provider = :provider AND verification_id = :verification_id
    RETURNING before.status
""")
_GIVE_UP = text("""
    UPDATE provider_credentials
    SET status_reason = CASE WHEN status = 'rejected' THEN status_reason ELSE 'provider_unavailable' END,
        verification_id = NULL, verification_at = NULL
    WHERE workspace_id = :workspace_id AND provider = :provider AND verification_id = :verification_id
""")
_REJECT = text("""
    UPDATE provider_credentials SET status = 'rejected', status_reason = :reason, checked_at = now()
    WHERE workspace_id = :workspace_id AND provider = :provider AND generation = :generation AND status <> 'rejected'
""")
# The platform's: it may read no more of a credential than this.
_TO_REWRAP = text("""
    SELECT workspace_id, provider AS place, provider, key_id, wrapped_key FROM provider_credentials
    WHERE key_id <> :newest AND (workspace_id, provider) > (:after_workspace_id, :after_provider)
    ORDER BY workspace_id, provider LIMIT :limit FOR UPDATE
""")
_REWRAP = text("""
    UPDATE provider_credentials SET key_id = :key_id, wrapped_key = :wrapped_key
    WHERE workspace_id = :workspace_id AND provider = :provider
""")


async def get(session: Session, workspace_id: UUID, provider: str, *, lock: bool = False) -> Credential | None:
    """`lock` keeps the row as it is to the end of the transaction."""
    rows = await session.execute(_LOCK if lock else _GET, {"workspace_id": workspace_id, "provider": provider})
    row = rows.one_or_none()
    return Credential(*row) if row else None


async def page(session: Session, workspace_id: UUID, *, after: str, limit: int) -> list[Credential]:
    """By provider, those behind `after`."""
    rows = await session.execute(_LIST, {"workspace_id": workspace_id, "after": after, "limit": limit})
    return [Credential(*row) for row in rows]


async def statuses(session: Session, workspace_id: UUID) -> Mapping[str, Status]:
    """By provider."""
    rows = await session.execute(_STATUSES, {"workspace_id": workspace_id})
    return {row.provider: row.status for row in rows}


async def put(session: Session, workspace_id: UUID, provider: str, sealed: Sealed, hint: str) -> Credential:
    """Store a secret, in place of the one before; it is unverified, and a check of the one before comes to nothing."""
    values = {
        "workspace_id": workspace_id,
        "provider": provider,
        "key_id": sealed.key_id,
        "wrapped_key": sealed.wrapped_key,
        "ciphertext": sealed.ciphertext,
        "hint": hint,
    }
    return Credential(*(await session.execute(_PUT, values)).one())


async def delete(session: Session, workspace_id: UUID, provider: str) -> None:
    await session.execute(_DELETE, {"workspace_id": workspace_id, "provider": provider})


async def erase(session: Session, workspace_id: UUID) -> list[Credential]:
    """Delete all of the workspace; what they were, by provider."""
    rows = await session.execute(_ERASE, {"workspace_id": workspace_id})
    return sorted((Credential(*row) for row in rows), key=lambda credential: credential.provider)


async def begin_verification(session: Session, workspace_id: UUID, provider: str, new: UUID) -> Credential | None:
    """Note that the check `new` is under way, unless one is already; None where there is no credential."""
    values = {"workspace_id": workspace_id, "provider": provider, "new": new}
    row = (await session.execute(_BEGIN_VERIFICATION, values)).one_or_none()
    return Credential(*row) if row else None


async def in_use(session: Session, workspace_id: UUID, provider: str) -> SealedCredential | None:
    row = (await session.execute(_IN_USE, {"workspace_id": workspace_id, "provider": provider})).one_or_none()
    return SealedCredential(Sealed(*row[:3]), *row[3:]) if row else None


async def under_verification(
    session: Session, workspace_id: UUID, provider: str, verification_id: UUID
) -> SealedCredential | None:
    """None where that check is over, or its secret was replaced."""
    values = {"workspace_id": workspace_id, "provider": provider, "verification_id": verification_id}
    row = (await session.execute(_UNDER_VERIFICATION, values)).one_or_none()
    return SealedCredential(Sealed(*row[:3]), *row[3:]) if row else None


async def conclude(
    session: Session,
    workspace_id: UUID,
    provider: str,
    verification_id: UUID,
    status: Status,
    reason: StatusReason | None,
) -> Status | None:
    """End the check with this result; return the status before, None where the check is over already."""
    values = {
        "workspace_id": workspace_id,
        "provider": provider,
        "verification_id": verification_id,
        "status": status,
        "reason": reason,
    }
    before: Status | None = (await session.execute(_CONCLUDE, values)).scalar_one_or_none()
    return before


async def give_up(session: Session, workspace_id: UUID, provider: str, verification_id: UUID) -> None:
    """End the check without a result."""
    values = {"workspace_id": workspace_id, "provider": provider, "verification_id": verification_id}
    await session.execute(_GIVE_UP, values)


async def reject(session: Session, workspace_id: UUID, provider: str, generation: int, reason: StatusReason) -> bool:
    """Mark the credential rejected, if it is still this generation and is not yet; whether it was marked now."""
    values = {"workspace_id": workspace_id, "provider": provider, "generation": generation, "reason": reason}
    return (await session.execute(_REJECT, values)).rowcount > 0


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The data key of something sealed as it is stored. `provider` is what it is bound to beside the workspace; `place`
    is its own among those of the workspace."""

    workspace_id: UUID
    place: str
    provider: str
    key_id: str
    wrapped_key: bytes


async def to_rewrap(session: Session, newest: str, after: tuple[UUID, str], *, limit: int) -> list[WrappedKey]:
    """Lock some that another key than `newest` wraps, behind the workspace and provider `after`."""
    values = {"newest": newest, "after_workspace_id": after[0], "after_provider": after[1], "limit": limit}
    return [WrappedKey(*row) for row in await session.execute(_TO_REWRAP, values)]


async def rewrap(session: Session, key: WrappedKey) -> None:
    values = {
        "workspace_id": key.workspace_id,
        "provider": key.provider,
        "key_id": key.key_id,
        "wrapped_key": key.wrapped_key,
    }
    await session.execute(_REWRAP, values)
