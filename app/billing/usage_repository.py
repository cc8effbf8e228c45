"""The SQL of what workspaces used: batches of charges, and what became of reporting them.

Sessions are of the workspace, but where several are looked for: then of the platform's role.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app.db import Session, new_id


@dataclass(frozen=True, slots=True)
class Batch:
    """Credits that were charged, the last of them at `used_at`. `attempted_at` is when it was first tried to report
    them, which may have been in vain; `now` is the time of the database."""

    id: UUID
    credits: int
    used_at: datetime
    generation: int
    attempted_at: datetime
    customer_id: str
    is_deleted: bool
    now: datetime


# Entries have their numbers in the order in which they were committed, workspace by workspace: behind the last batch
# there is nothing that is still to come.
_BEHIND = """(SELECT b.through_seq FROM billing_usage_batches AS b WHERE b.workspace_id = c.workspace_id
                 ORDER BY b.after_seq DESC LIMIT 1)"""
_WITH_CHARGES = text(f"""
    SELECT c.workspace_id FROM billing_customers AS c
    WHERE c.id IS NOT NULL AND NOT c.is_deleted AND c.workspace_id > :after
      AND EXISTS (SELECT FROM credit_entries AS e
                  WHERE e.workspace_id = c.workspace_id AND e.seq > coalesce({_BEHIND}, 0)
                    AND e.kind = 'charge' AND e.created_at > c.created_at)
    ORDER BY c.workspace_id LIMIT :limit
""")
# Two that sum up at the same time do it one after the other.
_LOCK = text("SELECT FROM billing_customers WHERE workspace_id = :workspace_id FOR NO KEY UPDATE")
_CLOSE = text(f"""
    INSERT INTO billing_usage_batches (workspace_id, id, after_seq, through_seq, credits, used_at)
    SELECT :workspace_id, :id, behind.seq, max(e.seq), -sum(e.amount), max(e.created_at)
    FROM billing_customers AS c
         CROSS JOIN LATERAL (
             SELECT coalesce(
                 {_BEHIND},
                 (SELECT max(seq) FROM credit_entries
                  WHERE workspace_id = c.workspace_id AND created_at <= c.created_at),
                 0) AS seq
         ) AS behind
         JOIN credit_entries AS e ON e.workspace_id = c.workspace_id AND e.seq > behind.seq AND e.kind = 'charge'
    WHERE c.workspace_id = :workspace_id AND c.id IS NOT NULL AND NOT c.is_deleted
    GROUP BY behind.seq
    ON CONFLICT (workspace_id, after_seq) DO NOTHING
""")
_UNREPORTED = text("""
    SELECT workspace_id, id FROM billing_usage_batches
    WHERE reported_at IS NULL AND error IS NULL AND workspace_id = ANY(
        SELECT DISTINCT workspace_id FROM billing_usage_batches
        WHERE reported_at IS NULL AND error IS NULL AND workspace_id > :after
        ORDER BY workspace_id LIMIT :limit)
    ORDER BY workspace_id, used_at
""")
_ATTEMPT = text("""
    UPDATE billing_usage_batches AS b SET attempted_at = coalesce(b.attempted_at, now())
    FROM billing_customers AS c
    WHERE b.workspace_id = :workspace_id AND b.id = :id AND b.reported_at IS NULL AND b.error IS NULL
      AND c.workspace_id = b.workspace_id AND c.id IS NOT NULL
    RETURNING b.id, b.credits, b.used_at, b.generation, b.attempted_at, c.id AS customer_id, c.is_deleted, now() AS now
""")
_RENEW = text("""
    UPDATE billing_usage_batches SET attempted_at = now()
    WHERE workspace_id = :workspace_id AND id = :id AND reported_at IS NULL
""")
_RAISE_GENERATION = text("""
    UPDATE billing_usage_batches SET generation = generation + 1
    WHERE workspace_id = :workspace_id AND id = :id AND generation = :generation
""")
_REPORTED = text("""
    UPDATE billing_usage_batches SET reported_at = now()
    WHERE workspace_id = :workspace_id AND id = :id AND reported_at IS NULL AND error IS NULL
""")
_REFUSED = text("""
    UPDATE billing_usage_batches SET error = :error
    WHERE workspace_id = :workspace_id AND id = :id AND reported_at IS NULL AND error IS NULL
""")
# With another key: with the old one Stripe may answer what it answered then.
_RETRY = text("""
    UPDATE billing_usage_batches SET error = NULL, generation = generation + 1
    WHERE workspace_id = :workspace_id AND id = :id AND error IS NOT NULL
""")
_REPORTED_WITHIN = text("""
    SELECT coalesce(sum(credits), 0) FROM billing_usage_batches
    WHERE workspace_id = :workspace_id AND used_at >= :since AND used_at < :until AND reported_at IS NOT NULL
""")


async def with_charges(session: Session, *, after: UUID, limit: int) -> Sequence[UUID]:
    """Workspaces with charges that are in no batch, those behind `after`, in the order of their ids."""
    return (await session.execute(_WITH_CHARGES, {"after": after, "limit": limit})).scalars().all()


async def close(session: Session, workspace_id: UUID) -> bool:
    """Sum up what was charged since the last batch, or since there is a customer; False where nothing was."""
    await session.execute(_LOCK, {"workspace_id": workspace_id})
    return (await session.execute(_CLOSE, {"workspace_id": workspace_id, "id": new_id()})).rowcount > 0


async def unreported(session: Session, *, after: UUID, limit: int) -> Sequence[tuple[UUID, UUID]]:
    """(workspace, batch) of all batches that wait in up to `limit` workspaces, those behind `after`, in the order of
    their ids and of time."""
    rows = await session.execute(_UNREPORTED, {"after": after, "limit": limit})
    return [(row.workspace_id, row.id) for row in rows]


async def attempt(session: Session, workspace_id: UUID, batch_id: UUID) -> Batch | None:
    """The batch, which is about to be reported; None where that was done."""
    row = (await session.execute(_ATTEMPT, {"workspace_id": workspace_id, "id": batch_id})).mappings().one_or_none()
    return Batch(**row) if row else None


async def renew(session: Session, workspace_id: UUID, batch_id: UUID) -> None:
    """No attempt was ever heard of: the first one is that of now."""
    await session.execute(_RENEW, {"workspace_id": workspace_id, "id": batch_id})


async def raise_generation(session: Session, workspace_id: UUID, batch: Batch) -> None:
    values = {"workspace_id": workspace_id, "id": batch.id, "generation": batch.generation}
    await session.execute(_RAISE_GENERATION, values)


async def mark_reported(session: Session, workspace_id: UUID, batch_id: UUID) -> bool:
    return (await session.execute(_REPORTED, {"workspace_id": workspace_id, "id": batch_id})).rowcount > 0


async def mark_refused(session: Session, workspace_id: UUID, batch_id: UUID, *, error: str) -> bool:
    values = {"workspace_id": workspace_id, "id": batch_id, "error": error}
    return (await session.execute(_REFUSED, values)).rowcount > 0


async def retry(session: Session, workspace_id: UUID, batch_id: UUID) -> bool:
    """Have it reported with the next ones, where it was refused; whether it was."""
    return (await session.execute(_RETRY, {"workspace_id": workspace_id, "id": batch_id})).rowcount > 0


async def reported_within(session: Session, workspace_id: UUID, since: datetime, until: datetime) -> int:
    """Credits that are known to be reported as used in this time."""
    values = {"workspace_id": workspace_id, "since": since, "until": until}
    return int((await session.execute(_REPORTED_WITHIN, values)).scalar_one())
