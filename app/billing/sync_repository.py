"""The SQL of comparisons of one workspace with what Stripe has, and of what differed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import RowMapping, insert, select, text

from app.billing.models import billing_drift, billing_syncs
from app.db import Session, new_id

SyncStatus: TypeAlias = Literal["running", "completed"]
What: TypeAlias = Literal["customer", "subscription", "invoice", "credits"]


@dataclass(frozen=True, slots=True)
class Sync:
    """A comparison of one workspace: `reconciliation_id` is that of all of them that found a difference here, None
    where somebody asked."""

    id: UUID
    reconciliation_id: UUID | None
    status: SyncStatus
    differences: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What differed: `ours` and `theirs` as each had it, None where one had nothing; `reference` is Stripe's id."""

    what: What
    reference: str
    ours: Mapping[str, JsonValue] | None
    theirs: Mapping[str, JsonValue] | None
    action: str


@dataclass(frozen=True, slots=True)
class Drift:
    """A difference as it was recorded."""

    id: UUID
    what: What
    reference: str
    ours: JsonValue
    theirs: JsonValue
    action: str
    created_at: datetime


_sync = billing_syncs.c
_drift = billing_drift.c
_SYNCS = select(*(_sync[name] for name in Sync.__slots__))
_DRIFT = select(*(_drift[name] for name in Drift.__slots__))

# Locks customers, in one order, and then their comparisons, as whoever applies what Stripe has. One that runs is taken,
# and not before somebody has looked once more: what it has read may be older than this.
_START = text("""
    WITH due AS (
        UPDATE billing_customers AS c SET due_at = clock_timestamp()
        FROM (SELECT workspace_id FROM billing_customers
              WHERE workspace_id = ANY(CAST(:workspace_ids AS uuid[])) AND id IS NOT NULL
              ORDER BY workspace_id FOR NO KEY UPDATE) AS locked
        WHERE c.workspace_id = locked.workspace_id
        RETURNING c.workspace_id, c.due_at
    )
    INSERT INTO billing_syncs AS s (workspace_id, id, reconciliation_id, due_at)
    SELECT due.workspace_id, wanted.id, :reconciliation_id, due.due_at
    FROM due JOIN unnest(CAST(:workspace_ids AS uuid[]), CAST(:ids AS uuid[])) AS wanted(workspace_id, id)
         ON wanted.workspace_id = due.workspace_id
    ORDER BY due.workspace_id
    ON CONFLICT (workspace_id) WHERE finished_at IS NULL
    DO UPDATE SET due_at = excluded.due_at,
                  reconciliation_id = coalesce(excluded.reconciliation_id, s.reconciliation_id)
    RETURNING s.id
""")
_ADD_EMPTY = text("""
    INSERT INTO billing_syncs (workspace_id, id, status, finished_at)
    VALUES (:workspace_id, :id, 'completed', now())
""")
# Drift is recorded under a comparison in the transaction that ends it, or in an earlier one that was asked to look
# again.
_FINISH = text("""
    UPDATE billing_syncs AS s
    SET status = 'completed', finished_at = clock_timestamp(),
        differences = (SELECT count(*) FROM billing_drift AS d
                       WHERE d.workspace_id = s.workspace_id AND d.sync_id = s.id)
    FROM billing_customers AS c
    WHERE s.workspace_id = :workspace_id AND s.finished_at IS NULL
      AND c.workspace_id = s.workspace_id AND s.due_at <= c.seen_at
""")


async def start(
    session: Session, workspace_ids: Sequence[UUID], *, reconciliation_id: UUID | None = None
) -> Sequence[UUID]:
    """Have each of these workspaces that is a customer compared with what Stripe has from now on; the ids of the
    comparisons. One that runs already is taken. The session sees all of them."""
    parameters = {
        "workspace_ids": list(workspace_ids),
        "ids": [new_id() for _ in workspace_ids],
        "reconciliation_id": reconciliation_id,
    }
    return list((await session.execute(_START, parameters)).scalars())


async def add_empty(session: Session, workspace_id: UUID, sync_id: UUID) -> None:
    """A comparison that is done, of a workspace of which Stripe has nothing."""
    await session.execute(_ADD_EMPTY, {"workspace_id": workspace_id, "id": sync_id})


async def add_drift(session: Session, workspace_id: UUID, sync_id: UUID, found: Sequence[Difference]) -> None:
    rows = [{"workspace_id": workspace_id, "id": new_id(), "sync_id": sync_id, **asdict(each)} for each in found]
    if rows:
        await session.execute(insert(billing_drift), rows)


async def finish(session: Session, workspace_id: UUID) -> None:
    """End the running comparison of the workspace, unless it wants a later look than the one that was taken last."""
    await session.execute(_FINISH, {"workspace_id": workspace_id})


async def get(session: Session, workspace_id: UUID, sync_id: UUID) -> Sync | None:
    query = _SYNCS.where(_sync.workspace_id == workspace_id, _sync.id == sync_id)
    row = (await session.execute(query)).mappings().one_or_none()
    return _of(row) if row else None


async def page(session: Session, workspace_id: UUID, *, before: UUID | None, limit: int) -> list[Sync]:
    """The newest first; `before` continues after the last one seen."""
    query = _SYNCS.where(_sync.workspace_id == workspace_id).order_by(_sync.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_sync.id < before)
    return [_of(row) for row in (await session.execute(query)).mappings()]


async def drift(session: Session, workspace_id: UUID, sync_id: UUID, *, before: UUID | None, limit: int) -> list[Drift]:
    """The newest first; `before` continues after the last one seen."""
    query = _DRIFT.where(_drift.workspace_id == workspace_id, _drift.sync_id == sync_id)
    if before is not None:
        query = query.where(_drift.id < before)
    rows = await session.execute(query.order_by(_drift.id.desc()).limit(limit))
    return [Drift(**row) for row in rows.mappings()]


def _of(row: RowMapping) -> Sync:
    return Sync(**row)
