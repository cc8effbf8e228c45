"""The SQL of deliveries: what is due, what came of it, and what is done about those that ended."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.db import Session
from app.providers.ports import JsonValue


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery whose next attempt is due, and the event that it delivers. `attempts` were made before."""

    id: UUID
    subject: str | None
    attempts: int
    event_id: UUID
    type: str
    version: int
    data: JsonValue
    told_at: datetime

    @property
    def is_first(self) -> bool:
        return self.attempts == 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an attempt, the `number` of its delivery. `error` None: it was taken. `delay_seconds` until the next
    one where it was not; None: there is none."""

    id: UUID
    delivery_id: UUID
    number: int
    started_at: datetime
    milliseconds: int
    status: int | None
    error: str | None
    answer: str
    delay_seconds: float | None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A delivery that failed in the end, and why."""

    delivery_id: UUID
    event_id: UUID
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Deliveries that have ended: those that were `given_up`, and by their ids those of the others that had been
    redelivered."""

    given_up: Sequence[GivenUp]
    redelivered: Sequence[UUID]


# In the order in which they became due, which for first attempts is the order of their events.
_DUE = text("""
    SELECT d.id, d.subject, d.attempts, d.event_id, e.type, e.version, e.data, e.created_at AS told_at
    FROM webhook_deliveries AS d JOIN events AS e ON e.workspace_id = d.workspace_id AND e.id = d.event_id
    WHERE d.workspace_id = :workspace_id AND d.endpoint_id = :endpoint_id
      AND d.state = 'pending' AND d.next_attempt_at <= clock_timestamp()
      AND d.id <> ALL (CAST(:held AS uuid[]))
      AND (d.attempts > 0 OR d.subject IS NULL OR d.subject <> ALL (CAST(:subjects AS text[])))
    ORDER BY d.next_attempt_at, d.id LIMIT :limit
""")
# What another run noted meanwhile stays, unless this one says that it was taken.
_NOTE = text("""
    WITH made AS (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:delivery_ids AS uuid[]), CAST(:numbers AS smallint[]),
            CAST(:started_at AS timestamptz[]), CAST(:milliseconds AS integer[]), CAST(:statuses AS smallint[]),
            CAST(:errors AS text[]), CAST(:answers AS text[]), CAST(:delays AS float8[])
        ) AS m(id, delivery_id, number, started_at, milliseconds, status, error, answer, delay)
    ), noted AS (
        INSERT INTO webhook_attempts (workspace_id, delivery_id, id, started_at, milliseconds, status, error, answer)
        SELECT :workspace_id, delivery_id, id, started_at, milliseconds, status, error, answer FROM made
    )
    UPDATE webhook_deliveries AS d
    SET attempts = made.number, error = made.error, claimed_at = now(),
        state = CASE WHEN made.error IS NULL THEN 'delivered' WHEN made.delay IS NULL THEN 'failed' ELSE 'pending' END,
        next_attempt_at = CASE WHEN made.error IS NOT NULL THEN now() + make_interval(secs => made.delay) END,
        ended_at = CASE WHEN made.error IS NULL OR made.delay IS NULL THEN now() END
    FROM made
    WHERE d.workspace_id = :workspace_id AND d.id = made.delivery_id AND d.state = 'pending'
      AND (d.attempts = made.number - 1 OR made.error IS NULL)
    RETURNING d.id, d.event_id, d.attempts, d.error, d.state, d.redelivered_at IS NOT NULL AS is_redelivered
""")
_CLAIM = text("""
    UPDATE webhook_deliveries SET claimed_at = now()
    WHERE workspace_id = :workspace_id AND endpoint_id = :endpoint_id AND state = 'pending' AND claimed_at IS NULL
""")
# What is not claimed is somebody else's to find.
_NEXT = text("""
    SELECT extract(epoch FROM min(next_attempt_at) - clock_timestamp())::float8 FROM webhook_deliveries
    WHERE workspace_id = :workspace_id AND endpoint_id = :endpoint_id AND state = 'pending' AND claimed_at IS NOT NULL
""")
_UNCLAIM = text("""
    UPDATE webhook_deliveries SET claimed_at = NULL
    WHERE workspace_id = :workspace_id AND endpoint_id = :endpoint_id AND state = 'pending'
      AND claimed_at IS NOT NULL AND next_attempt_at <= now()
""")
_FAIL_PENDING = text("""
    UPDATE webhook_deliveries AS d
    SET state = 'failed', error = :error, next_attempt_at = NULL, ended_at = now(), claimed_at = now()
    FROM (
        SELECT id FROM webhook_deliveries
        WHERE workspace_id = :workspace_id AND endpoint_id = :endpoint_id AND state = 'pending'
        ORDER BY next_attempt_at LIMIT :limit FOR NO KEY UPDATE
    ) AS left_over
    WHERE d.workspace_id = :workspace_id AND d.id = left_over.id
    RETURNING d.id, d.event_id, d.attempts, d.error
""")
# Due since it was told: so those that are redelivered together go in the order of their events.
_AGAIN = """
    UPDATE webhook_deliveries AS d
    SET state = 'pending', attempts = CASE WHEN d.state = 'pending' THEN d.attempts ELSE 0 END,
        next_attempt_at = d.created_at, claimed_at = NULL, ended_at = NULL, redelivered_at = now()
    FROM webhook_endpoints AS e
    WHERE d.workspace_id = :workspace_id AND d.endpoint_id = :endpoint_id
      AND e.workspace_id = d.workspace_id AND e.id = d.endpoint_id AND e.enabled
"""
_REDELIVER = text(_AGAIN + " AND d.id = :delivery_id")
_RECOVER = text(f"""
    WITH batch AS (
        SELECT id FROM webhook_deliveries
        WHERE workspace_id = :workspace_id AND endpoint_id = :endpoint_id AND state = 'failed'
          AND id > :after AND created_at >= :since
        ORDER BY id LIMIT :limit FOR NO KEY UPDATE
    )
    {_AGAIN} AND d.id IN (SELECT id FROM batch) RETURNING d.id
""")


async def due(
    session: Session,
    workspace_id: UUID,
    endpoint_id: UUID,
    *,
    held: Collection[UUID],
    subjects: Collection[str],
    limit: int,
) -> list[Due]:
    """Up to `limit` that are due, but for those that are `held` and first attempts for `subjects`."""
    values = {
        "workspace_id": workspace_id,
        "endpoint_id": endpoint_id,
        "held": list(held),
        "subjects": list(subjects),
        "limit": limit,
    }
    return [Due(*row) for row in await session.execute(_DUE, values)]


async def note(session: Session, workspace_id: UUID, attempts: Sequence[Attempt]) -> Ended:
    """Store the attempts and what follows for their deliveries; which of those have ended now."""
    columns: dict[str, list[Any]] = {
        "ids": [each.id for each in attempts],
        "delivery_ids": [each.delivery_id for each in attempts],
        "numbers": [each.number for each in attempts],
        "started_at": [each.started_at for each in attempts],
        "milliseconds": [each.milliseconds for each in attempts],
        "statuses": [each.status for each in attempts],
        "errors": [each.error for each in attempts],
        "answers": [each.answer for each in attempts],
        "delays": [each.delay_seconds for each in attempts],
    }
    rows = (await session.execute(_NOTE, {"workspace_id": workspace_id, **columns})).all()
    return Ended(
        [GivenUp(row.id, row.event_id, row.attempts, row.error) for row in rows if row.state == "failed"],
        [row.id for row in rows if row.state == "delivered" and row.is_redelivered],
    )


async def claim(session: Session, workspace_id: UUID, endpoint_id: UUID) -> float | None:
    """Take it upon the workflow to wait for all that is pending; for how many seconds (negative: it is due), None where
    there is none."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id}
    await session.execute(_CLAIM, values)
    seconds: float | None = (await session.execute(_NEXT, values)).scalar_one()
    return seconds


async def unclaim(session: Session, workspace_id: UUID, endpoint_id: UUID) -> None:
    """Nobody waits for what is overdue: whoever finds it wakes the workflow."""
    await session.execute(_UNCLAIM, {"workspace_id": workspace_id, "endpoint_id": endpoint_id})


async def fail_pending(
    session: Session, workspace_id: UUID, endpoint_id: UUID, *, error: str, limit: int
) -> list[GivenUp]:
    """End up to `limit` that are pending, without an attempt."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id, "error": error, "limit": limit}
    return [GivenUp(*row) for row in await session.execute(_FAIL_PENDING, values)]


async def redeliver(session: Session, workspace_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> bool:
    """See service.redeliver."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id, "delivery_id": delivery_id}
    return (await session.execute(_REDELIVER, values)).rowcount > 0


async def recover(
    session: Session, workspace_id: UUID, endpoint_id: UUID, *, since: datetime, after: UUID, limit: int
) -> list[UUID]:
    """See service.recover."""
    values = {
        "workspace_id": workspace_id,
        "endpoint_id": endpoint_id,
        "since": since,
        "after": after,
        "limit": limit,
    }
    return sorted((await session.execute(_RECOVER, values)).scalars())
