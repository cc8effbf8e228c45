"""The SQL of remembered answers."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, text

from app.db import Session
from app.idempotency.answers import Remembered, Scope
from app.idempotency.models import idempotency_keys

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
_SWEEP = text("""
    DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM idempotency_keys WHERE created_at < now() - CAST(:keep AS interval)
        ORDER BY created_at LIMIT :limit))
""")
_REMOVE_LIKE = text("""
    DELETE FROM idempotency_keys
    WHERE workspace_id = :workspace_id
      AND lower(concat_ws(' ', key, headers, data)) LIKE ANY (CAST(:like AS text[]))
""")


async def try_lock(session: Session, lock: int) -> bool:
    """Take the lock to the end of the transaction, or say at once that somebody has it."""
    return bool((await session.execute(_TRY_LOCK, {"lock": lock})).scalar_one())


async def find(session: Session, scope: Scope, key: str, *, keep: timedelta) -> tuple[bytes, Remembered] | None:
    """The fingerprint and the answer kept under the key; one older than `keep` is not there."""
    table = idempotency_keys.c
    row = (
        await session.execute(
            select(table.fingerprint, table.status, table.headers, table.data).where(
                _is(scope, key), table.created_at >= func.now() - keep
            )
        )
    ).one_or_none()
    return (row.fingerprint, Remembered(row.status, row.headers, row.data)) if row else None


async def replace(session: Session, scope: Scope, key: str, fingerprint: bytes, answer: Remembered) -> None:
    """Keep the answer, in place of one that was too old to be found."""
    await session.execute(delete(idempotency_keys).where(_is(scope, key)))
    await session.execute(
        insert(idempotency_keys).values(
            workspace_id=scope.workspace_id,
            caller_id=scope.caller_id,
            route=scope.route,
            key=key,
            fingerprint=fingerprint,
            status=answer.status,
            headers=dict(answer.headers),
            data=answer.data,
        )
    )


async def remove_like(session: Session, workspace_id: UUID, like: list[str]) -> int:
    """Delete the answers of a workspace that one of the patterns fits, or their keys; how many."""
    return (await session.execute(_REMOVE_LIKE, {"workspace_id": workspace_id, "like": like})).rowcount


async def sweep(session: Session, *, keep: timedelta, limit: int) -> int:
    """Delete up to `limit` answers older than `keep`; how many."""
    return (await session.execute(_SWEEP, {"keep": keep, "limit": limit})).rowcount


def _is(scope: Scope, key: str) -> ColumnElement[bool]:
    table = idempotency_keys.c
    return and_(
        table.workspace_id == scope.workspace_id,
        table.caller_id == scope.caller_id,
        table.route == scope.route,
        table.key == key,
    )
