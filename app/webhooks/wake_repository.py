"""The SQL of waking: which endpoints have something due that nobody waits for. Sessions are of the platform's role."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from app.db import Session


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint by its ids."""

    workspace_id: UUID
    id: UUID


# From one endpoint to the next by the index: how much waits for each costs nothing.
_TAKE = text("""
    WITH RECURSIVE waiting AS (
        (SELECT endpoint_id FROM webhook_deliveries
         WHERE state = 'pending' AND claimed_at IS NULL ORDER BY endpoint_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.endpoint_id FROM webhook_deliveries AS d
                WHERE d.state = 'pending' AND d.claimed_at IS NULL AND d.endpoint_id > waiting.endpoint_id
                ORDER BY d.endpoint_id LIMIT 1)
        FROM waiting WHERE waiting.endpoint_id IS NOT NULL
    ), taken AS (
        SELECT e.workspace_id, e.id FROM waiting JOIN webhook_endpoints AS e ON e.id = waiting.endpoint_id
        WHERE (e.watched_until IS NULL OR e.watched_until <= now())
          AND (e.paused_until IS NULL OR e.paused_until <= now())
          AND (e.woken_at IS NULL OR e.woken_at <= now() - CAST(:apart AS interval))
        ORDER BY e.woken_at NULLS FIRST LIMIT :limit FOR NO KEY UPDATE OF e SKIP LOCKED
    ), woken AS (
        UPDATE webhook_endpoints AS e SET woken_at = now() FROM taken
        WHERE e.workspace_id = taken.workspace_id AND e.id = taken.id
        RETURNING e.workspace_id, e.id
    )
    SELECT waiting.endpoint_id AS id, woken.workspace_id FROM waiting LEFT JOIN woken ON woken.id = waiting.endpoint_id
    WHERE waiting.endpoint_id IS NOT NULL
""")
_TAKE_SILENT = text("""
    UPDATE webhook_endpoints AS e SET checked_at = now()
    FROM (
        SELECT workspace_id, id FROM webhook_endpoints AS f
        WHERE f.checked_at < now() - make_interval(secs => :seconds)
          AND (f.watched_until IS NULL OR f.watched_until <= now())
          AND (f.paused_until IS NULL OR f.paused_until < now() - make_interval(secs => :seconds))
          AND EXISTS (SELECT FROM webhook_deliveries AS d
                      WHERE d.endpoint_id = f.id AND d.state = 'pending' AND d.claimed_at IS NOT NULL
                        AND d.next_attempt_at < now() - make_interval(secs => :seconds))
        ORDER BY f.checked_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ) AS silent
    WHERE e.workspace_id = silent.workspace_id AND e.id = silent.id
    RETURNING e.workspace_id, e.id
""")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Endpoints with deliveries that nobody waits for yet: all of them, and those that are to be woken by whoever took
    them."""

    ids: Sequence[UUID]
    taken: Sequence[Endpoint]


async def take_waiting(session: Session, *, apart: timedelta, limit: int) -> Waiting:
    """Take those that were not taken less than `apart` ago, that no activity looks after, and that are not left alone
    for now."""
    rows = (await session.execute(_TAKE, {"apart": apart, "limit": limit})).all()
    taken = [Endpoint(row.workspace_id, row.id) for row in rows if row.workspace_id is not None]
    return Waiting([row.id for row in rows], taken)


async def take_silent(session: Session, *, seconds: float, limit: int) -> Sequence[Endpoint]:
    """Endpoints whose workflows wait for deliveries that have been due for so long. Taking counts as a look, for as
    long again."""
    return [Endpoint(*row) for row in await session.execute(_TAKE_SILENT, {"seconds": seconds, "limit": limit})]
