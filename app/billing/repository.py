"""The SQL of what Stripe said last of a customer, and of what that granted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Table, func, insert, select, true, tuple_, update
from sqlalchemy.dialects import postgresql

from app.billing.facts import InvoiceFacts, SubscriptionFacts
from app.billing.grants import Grant
from app.billing.models import (
    billing_customers,
    billing_grants,
    billing_invoices,
    billing_subscriptions,
    billing_syncs,
)
from app.db import Session

_SUBSCRIPTION_COLUMNS = [billing_subscriptions.c[field.name] for field in fields(SubscriptionFacts)]
_INVOICE_COLUMNS = [billing_invoices.c[field.name] for field in fields(InvoiceFacts)]


@dataclass(frozen=True, slots=True)
class Customer:
    """A workspace's customer: `sync_id` is that of a comparison that runs, `now` the time of the database."""

    is_deleted: bool
    sync_id: UUID | None
    synced_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class StoredInvoice:
    """An invoice as it is stored, with the credits that it granted in all, and how many of them were taken back, in how
    many corrections."""

    facts: InvoiceFacts
    credits_granted: int = 0
    credits_clawed_back: int = 0
    corrections: int = 0


async def customer(session: Session, workspace_id: UUID) -> Customer | None:
    """None where the workspace has none."""
    running = select(billing_syncs.c.id).where(
        billing_syncs.c.workspace_id == workspace_id, billing_syncs.c.finished_at.is_(None)
    )
    query = select(
        billing_customers.c.is_deleted,
        running.scalar_subquery().label("sync_id"),
        billing_customers.c.synced_at,
        func.now().label("now"),
    ).where(billing_customers.c.workspace_id == workspace_id)
    row = (await session.execute(query)).mappings().one_or_none()
    return Customer(**row) if row else None


async def mark_deleted(session: Session, workspace_id: UUID, *, is_deleted: bool) -> None:
    mine = billing_customers.c.workspace_id == workspace_id
    await session.execute(update(billing_customers).where(mine).values(is_deleted=is_deleted))


async def subscriptions(session: Session, workspace_id: UUID) -> list[SubscriptionFacts]:
    query = select(*_SUBSCRIPTION_COLUMNS).where(billing_subscriptions.c.workspace_id == workspace_id)
    rows = await session.execute(query.order_by(billing_subscriptions.c.id))
    return [SubscriptionFacts(**row) for row in rows.mappings()]


async def invoices(session: Session, workspace_id: UUID) -> list[StoredInvoice]:
    query = _invoices(workspace_id, true())
    return [_invoice(row) for row in (await session.execute(query.order_by(billing_invoices.c.id))).mappings()]


async def failed_invoices(session: Session, workspace_id: UUID) -> list[InvoiceFacts]:
    """Those that could not be paid, and still are to be."""
    failed = (billing_invoices.c.status == "open") & (billing_invoices.c.attempts > 0)
    return [_invoice(row).facts for row in (await session.execute(_invoices(workspace_id, failed))).mappings()]


async def invoice_page(
    session: Session, workspace_id: UUID, *, before: tuple[datetime, str] | None, limit: int
) -> list[StoredInvoice]:
    """The newest first; `before` continues after the last one seen."""
    place = (billing_invoices.c.created_at, billing_invoices.c.id)
    older = tuple_(*place) < tuple_(*before) if before is not None else true()
    query = _invoices(workspace_id, older).order_by(*(column.desc() for column in place)).limit(limit)
    return [_invoice(row) for row in (await session.execute(query)).mappings()]


async def store_subscriptions(session: Session, workspace_id: UUID, changed: Sequence[SubscriptionFacts]) -> None:
    """Those that are new or became others, in the order of their ids."""
    await _store(session, billing_subscriptions, [{"workspace_id": workspace_id, **asdict(each)} for each in changed])


async def store_invoices(session: Session, workspace_id: UUID, changed: Sequence[StoredInvoice]) -> None:
    """Those that are new or became others, in the order of their ids."""
    rows = [
        {
            "workspace_id": workspace_id,
            **asdict(each.facts),
            # An array of the database is a list to the driver.
            "payment_ids": list(each.facts.payment_ids),
            "credits_granted": each.credits_granted,
            "credits_clawed_back": each.credits_clawed_back,
            "corrections": each.corrections,
        }
        for each in changed
    ]
    await _store(session, billing_invoices, rows)


async def grants(session: Session, workspace_id: UUID) -> list[Grant]:
    """All that were ever made."""
    columns = [billing_grants.c[field.name] for field in fields(Grant)]
    rows = await session.execute(select(*columns).where(billing_grants.c.workspace_id == workspace_id))
    return [Grant(**row) for row in rows.mappings()]


async def add_grants(session: Session, workspace_id: UUID, made: Sequence[Grant]) -> None:
    if made:
        rows = [{"workspace_id": workspace_id, **asdict(grant)} for grant in made]
        await session.execute(insert(billing_grants).values(rows))


async def _store(session: Session, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    adding = postgresql.insert(table)
    key = ("workspace_id", "id")
    changes = {name: adding.excluded[name] for name in rows[0] if name not in key}
    changing = adding.on_conflict_do_update(index_elements=key, set_={**changes, "updated_at": func.now()})
    await session.execute(changing, list(rows))


def _invoices(workspace_id: UUID, which: ColumnElement[bool]) -> Any:
    columns = (*_INVOICE_COLUMNS, *(billing_invoices.c[name] for name in StoredInvoice.__slots__ if name != "facts"))
    return select(*columns).where(billing_invoices.c.workspace_id == workspace_id, which)


def _invoice(row: RowMapping) -> StoredInvoice:
    own = {column.name: row[column.name] for column in _INVOICE_COLUMNS} | {"payment_ids": tuple(row["payment_ids"])}
    kept = {name: row[name] for name in StoredInvoice.__slots__ if name != "facts"}
    return StoredInvoice(InvoiceFacts(**own), **kept)
