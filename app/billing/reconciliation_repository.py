"""The SQL of the comparison of everything: how far it got, and which workspaces a page of a list differs from.

Sessions are of the platform's role, but where a workspace is named. A page is compared by one statement.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from app.db import Session
from app.providers.payments import Invoice, PayingCustomer, Payment, PaymentEvent, Subscription


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reconciliation is: at which list, None after the last, and after which of its objects, None at its
    beginning. What changed since `since` is compared; None: everything."""

    since: datetime | None
    list: str | None
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What a reconciliation compared, and what came of it."""

    customers: int
    subscriptions: int
    invoices: int
    payments: int
    events: int
    calls: int
    syncs: int
    differences: int
    unfinished: int


_BEGIN = text("""
    INSERT INTO billing_reconciliations (id, since, list)
    SELECT :id, CASE WHEN NOT :everything AND last.started_at > now() - CAST(:remembered AS interval)
                     THEN last.started_at - CAST(:overlap AS interval) END, 'customers'
    FROM (SELECT max(started_at) AS started_at FROM billing_reconciliations WHERE finished_at IS NOT NULL) AS last
    ON CONFLICT (id) DO NOTHING
""")
_POSITION = text("SELECT since, list, cursor FROM billing_reconciliations WHERE id = :id")
# Of two that read the same page, say because one was taken for dead, one goes on.
_ADVANCE = """
    UPDATE billing_reconciliations
    SET list = :next_list, cursor = :next_cursor, calls = calls + 1, {list} = {list} + :objects
    WHERE id = :id AND list = :list AND cursor IS NOT DISTINCT FROM :cursor
"""
_START_LIST_AGAIN = """
    UPDATE billing_reconciliations SET cursor = NULL, {list} = 0 WHERE id = :id AND list = :list AND cursor = :cursor
"""
_RUNNING = text("SELECT count(*) FROM billing_syncs WHERE reconciliation_id = :id AND finished_at IS NULL")
_FINISH = text("UPDATE billing_reconciliations SET finished_at = now() WHERE id = :id AND finished_at IS NULL")
_TOTALS = text("""
    SELECT r.customers, r.subscriptions, r.invoices, r.payments, r.events, r.calls, s.syncs, s.differences, s.unfinished
    FROM billing_reconciliations AS r
         CROSS JOIN LATERAL (
             SELECT count(*) AS syncs, coalesce(sum(differences), 0) AS differences,
                    count(*) FILTER (WHERE finished_at IS NULL) AS unfinished
             FROM billing_syncs WHERE reconciliation_id = r.id
         ) AS s
    WHERE r.id = :id
""")
# Of those that we know: the ones that we took for deleted. Of the others: whose they say that they are.
_CUSTOMERS = text("""
    WITH theirs AS (
        SELECT * FROM json_to_recordset(CAST(:items AS json)) AS t(id text, workspace_id uuid, is_deleted boolean)
    ), listed AS (
        UPDATE billing_customers AS c SET listed_at = clock_timestamp() FROM theirs AS t WHERE c.id = t.id
    )
    SELECT t.id, w.id AS workspace_id, c.id IS NOT NULL AS is_known
    FROM theirs AS t
         LEFT JOIN billing_customers AS c ON c.id = t.id
         JOIN workspaces AS w ON w.id = coalesce(c.workspace_id, t.workspace_id)
    WHERE c.is_deleted <> t.is_deleted OR (c.id IS NULL AND w.deleted_at IS NULL AND NOT t.is_deleted)
""")
# Of invoices only drafts can be deleted, and they are few: each becomes another one within hours.
_VANISHED = text("""
    SELECT c.workspace_id FROM billing_customers AS c CROSS JOIN billing_reconciliations AS r
    WHERE r.id = :id AND c.id IS NOT NULL AND NOT c.is_deleted AND c.created_at < r.started_at
      AND c.workspace_id > :after
      AND (c.listed_at IS NULL OR c.listed_at < r.started_at
           OR EXISTS (SELECT FROM billing_invoices AS i WHERE i.workspace_id = c.workspace_id AND i.status = 'draft'))
    ORDER BY c.workspace_id LIMIT :limit
""")
_SUBSCRIPTION_FACTS = {
    "status": "text", "price_id": "text", "quantity": "int", "period_start": "timestamptz",
    "period_end": "timestamptz", "cancel_at_period_end": "boolean", "cancel_at": "timestamptz",
    "canceled_at": "timestamptz", "ended_at": "timestamptz",
}  # fmt: skip
_INVOICE_FACTS = {
    "subscription_id": "text", "status": "text", "number": "text", "currency": "text", "amount_due": "bigint",
    "amount_paid": "bigint", "attempts": "int", "next_attempt_at": "timestamptz", "paid_at": "timestamptz",
}  # fmt: skip
# Of a customer who was deleted all has ended, and nothing changes any more.
_COMPARE = """
    SELECT DISTINCT c.workspace_id
    FROM json_to_recordset(CAST(:items AS json)) AS t(id text, customer_id text, {columns})
         JOIN billing_customers AS c ON c.id = t.customer_id AND NOT c.is_deleted
         LEFT JOIN {table} AS o ON o.workspace_id = c.workspace_id AND o.id = t.id
    WHERE o.id IS NULL OR ({ours}) IS DISTINCT FROM ({theirs})
"""
# An invoice may have several payments, and they may be on two pages: then the two differ, and a look finds nothing.
_PAYMENTS = text("""
    WITH theirs AS (
        SELECT * FROM json_to_recordset(CAST(:items AS json))
            AS t(customer_id text, payment_id text, refunded bigint, dispute text)
    ), made AS (
        SELECT c.workspace_id, o.id, o.amount_refunded, o.dispute, sum(t.refunded) AS refunded,
               max(array_position(ARRAY['none', 'won', 'open', 'lost'], t.dispute)) AS dispute_rank
        FROM theirs AS t
             JOIN billing_customers AS c ON c.id = t.customer_id
             JOIN billing_invoices AS o ON o.workspace_id = c.workspace_id AND t.payment_id = ANY(o.payment_ids)
        GROUP BY c.workspace_id, o.id, o.amount_refunded, o.dispute
    )
    SELECT DISTINCT workspace_id FROM made
    WHERE amount_refunded <> refunded
       OR array_position(ARRAY['none', 'won', 'open', 'lost'], dispute) <> dispute_rank
""")
# Of events that never came, the customers at which nobody has looked since: a look has all that happened before.
_EVENTS = text("""
    SELECT DISTINCT c.workspace_id
    FROM json_to_recordset(CAST(:items AS json)) AS t(id text, customer_id text, created_at timestamptz)
         JOIN billing_customers AS c ON c.id = t.customer_id
    WHERE (c.synced_at IS NULL OR c.synced_at < t.created_at + CAST(:margin AS interval))
      AND NOT EXISTS (SELECT FROM billing_events AS e WHERE e.id = t.id)
""")
_UNKNOWN_NOW_KNOWN = text("""
    SELECT DISTINCT c.workspace_id, c.id FROM billing_events AS e JOIN billing_customers AS c ON c.id = e.customer_id
    WHERE e.reason = 'unknown_customer' LIMIT :limit
""")
# In the session of the workspace.
_ADOPT = text("""
    INSERT INTO billing_customers AS c (workspace_id, id) VALUES (:workspace_id, :customer_id)
    ON CONFLICT (workspace_id) DO UPDATE SET id = excluded.id WHERE c.id IS NULL
    RETURNING true
""")
_CUSTOMER_OF = text("SELECT id FROM billing_customers WHERE workspace_id = :workspace_id")


async def begin(
    session: Session, reconciliation_id: UUID, *, everything: bool, remembered: timedelta, overlap: timedelta
) -> None:
    """Since the last one that ended began, and `overlap` more; everything where that is more than `remembered` ago, or
    there was none. Again changes nothing."""
    values = {"id": reconciliation_id, "everything": everything, "remembered": remembered, "overlap": overlap}
    await session.execute(_BEGIN, values)


async def position(session: Session, reconciliation_id: UUID) -> Position:
    return Position(*(await session.execute(_POSITION, {"id": reconciliation_id})).one())


async def advance(
    session: Session, reconciliation_id: UUID, at: Position, *, list: str | None, cursor: str | None, objects: int
) -> bool:
    """Go on to there, with so many objects compared by one call; False where somebody else did already."""
    values = {
        "id": reconciliation_id,
        "list": at.list,
        "cursor": at.cursor,
        "next_list": list,
        "next_cursor": cursor,
        "objects": objects,
    }
    return (await session.execute(text(_ADVANCE.format(list=at.list)), values)).rowcount > 0


async def start_list_again(session: Session, reconciliation_id: UUID, at: Position) -> None:
    """Compare the list that it is at from its beginning."""
    values = {"id": reconciliation_id, "list": at.list, "cursor": at.cursor}
    await session.execute(text(_START_LIST_AGAIN.format(list=at.list)), values)


async def running(session: Session, reconciliation_id: UUID) -> int:
    """How many of its comparisons of one workspace have not ended."""
    return int((await session.execute(_RUNNING, {"id": reconciliation_id})).scalar_one())


async def finish(session: Session, reconciliation_id: UUID) -> Totals:
    await session.execute(_FINISH, {"id": reconciliation_id})
    return Totals(*(await session.execute(_TOTALS, {"id": reconciliation_id})).one())


@dataclass(frozen=True, slots=True)
class FoundCustomer:
    """A customer of Stripe's that is not as we have it, or, unless it `is_known`, that we do not have."""

    id: str
    workspace_id: UUID
    is_known: bool


async def differing_customers(session: Session, customers: Sequence[PayingCustomer]) -> Sequence[FoundCustomer]:
    """Those that we know are marked as listed. Customers of workspaces that are not here are somebody else's."""
    rows = await session.execute(_CUSTOMERS, {"items": _json(PayingCustomer, customers)})
    return [FoundCustomer(*row) for row in rows]


async def vanished(session: Session, reconciliation_id: UUID, *, after: UUID, limit: int) -> Sequence[UUID]:
    """Workspaces whose customers the reconciliation should have come across and has not, and those with an invoice of
    which it may not come across, in the order of their ids."""
    values = {"id": reconciliation_id, "after": after, "limit": limit}
    return (await session.execute(_VANISHED, values)).scalars().all()


async def differing_subscriptions(session: Session, subscriptions: Sequence[Subscription]) -> Sequence[UUID]:
    """The workspaces that have one of these otherwise, or not at all."""
    query = _compare("billing_subscriptions", _SUBSCRIPTION_FACTS)
    return (await session.execute(text(query), {"items": _json(Subscription, subscriptions)})).scalars().all()


async def differing_invoices(session: Session, invoices: Sequence[Invoice]) -> Sequence[UUID]:
    """The workspaces that have one of these otherwise, or not at all."""
    query = _compare("billing_invoices", _INVOICE_FACTS)
    items = _json(Invoice, invoices, but=("lines", "payment_ids"))
    return (await session.execute(text(query), {"items": items})).scalars().all()


async def differing_payments(session: Session, payments: Sequence[Payment]) -> Sequence[UUID]:
    """The workspaces that have another sum of refunds, or another dispute, for the invoice of one of these."""
    return (await session.execute(_PAYMENTS, {"items": _json(Payment, payments)})).scalars().all()


async def unheard(session: Session, events: Sequence[PaymentEvent], *, margin: timedelta) -> Sequence[UUID]:
    """The workspaces of events that never came, where nobody has looked at the customer since `margin` after."""
    values = {"items": _json(PaymentEvent, events), "margin": margin}
    return (await session.execute(_EVENTS, values)).scalars().all()


async def known_by_now(session: Session, *, limit: int) -> Sequence[tuple[UUID, str]]:
    """(workspace, customer) of the customers with events that came before we knew them."""
    rows = await session.execute(_UNKNOWN_NOW_KNOWN, {"limit": limit})
    return [(row.workspace_id, row.id) for row in rows]


async def adopt(session: Session, workspace_id: UUID, customer_id: str) -> bool:
    """Make it the customer of the workspace, in whose session; False where that has one."""
    values = {"workspace_id": workspace_id, "customer_id": customer_id}
    return (await session.execute(_ADOPT, values)).scalar() is not None


async def customer_of(session: Session, workspace_id: UUID) -> str | None:
    return (await session.execute(_CUSTOMER_OF, {"workspace_id": workspace_id})).scalar_one_or_none()


def _compare(table: str, facts: Mapping[str, str]) -> str:
    return _COMPARE.format(
        table=table,
        columns=", ".join(f"{name} {kind}" for name, kind in facts.items()),
        ours=", ".join(f"o.{name}" for name in facts),
        theirs=", ".join(f"t.{name}" for name in facts),
    )


def _json(kind: type[Any], items: Iterable[Any], *, but: Sequence[str] = ()) -> str:
    names = [field.name for field in fields(kind) if field.name not in but]
    return orjson.dumps([{name: getattr(item, name) for name in names} for item in items]).decode()
