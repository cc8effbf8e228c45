"""The SQL of raw answers."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from app.db import Session, new_id

_ADD = text("""
    INSERT INTO enrichment_raw_answers (workspace_id, id, job_id, provider, first, last, oversized, body)
    VALUES (:workspace_id, :id, :job_id, :provider, :first, :last, :oversized, :body)
""")
_POSITION_OF = text("SELECT leader FROM enrichment_records WHERE job_id = :job_id AND key = :key")
_ABOUT = text("""
    SELECT provider, body FROM enrichment_raw_answers
    WHERE job_id = :job_id AND first <= :position AND last >= :position ORDER BY id
""")
_SWEEP = text("""
    DELETE FROM enrichment_raw_answers WHERE (workspace_id, id) IN (
        SELECT workspace_id, id FROM enrichment_raw_answers WHERE created_at < now() - CAST(:keep AS interval)
        ORDER BY created_at LIMIT :limit)
""")


async def add(
    session: Session,
    workspace_id: UUID,
    job_id: UUID,
    provider: str,
    *,
    first: int,
    last: int,
    oversized: int,
    body: bytes,
) -> None:
    await session.execute(
        _ADD,
        {
            "workspace_id": workspace_id,
            "id": new_id(),
            "job_id": job_id,
            "provider": provider,
            "first": first,
            "last": last,
            "oversized": oversized,
            "body": body,
        },
    )


async def position_of(session: Session, job_id: UUID, key: str) -> int | None:
    """The position under which answers about the record with this key are kept; None where there is no such record."""
    return (await session.execute(_POSITION_OF, {"job_id": job_id, "key": key})).scalar_one_or_none()


async def about(session: Session, job_id: UUID, position: int) -> list[tuple[str, bytes]]:
    """(provider, body) of the batches that may hold an answer about the record, the oldest first."""
    rows = await session.execute(_ABOUT, {"job_id": job_id, "position": position})
    return [(row.provider, row.body) for row in rows]


async def sweep(session: Session, *, keep: timedelta, limit: int) -> int:
    """Delete up to `limit` rows older than `keep`; how many."""
    return (await session.execute(_SWEEP, {"keep": keep, "limit": limit})).rowcount
