"""The SQL of the ledger. Every movement locks the account's row, so entries of a workspace are in one order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import RowMapping, select, text

from app.credits.models import credit_accounts, credit_entries
from app.db import Session


@dataclass(frozen=True, slots=True)
class Balance:
    """Credits of a workspace: `available` = `balance` − `held`."""

    balance: int
    held: int

    @property
    def available(self) -> int:
        return self.balance - self.held


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement: `amount` changes the balance, `held_amount` what is held; `…_after` is where that left them."""

    id: UUID
    seq: int
    kind: str
    amount: int
    held_amount: int
    balance_after: int
    held_after: int
    reason: str
    reference_type: str
    reference_id: str
    created_at: datetime


# The account row is made by the first grant. A key that is there already adds no row, and so moves nothing.
_MOVE = text("""
    WITH account AS (
        SELECT balance, held FROM credit_accounts WHERE workspace_id = :workspace_id FOR NO KEY UPDATE
    ), added AS (
        INSERT INTO credit_entries (workspace_id, id, kind, amount, held_amount, balance_after, held_after, reason,
                                    reference_type, reference_id, business_key)
        SELECT :workspace_id, e.id, :kind, e.amount, e.held_amount,
               account.balance + sum(e.amount) OVER running, account.held + sum(e.held_amount) OVER running,
               :reason, :reference_type, e.reference_id, e.business_key
        FROM account, json_to_recordset(CAST(:entries AS json))
             AS e(n int, id uuid, amount bigint, held_amount bigint, reference_id text, business_key text)
        WINDOW running AS (ORDER BY e.n)
        RETURNING amount, held_amount
    )
    UPDATE credit_accounts AS a
    SET balance = a.balance + moved.amount, held = a.held + moved.held_amount
    FROM (SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(held_amount), 0) AS held_amount FROM added) AS moved
    WHERE a.workspace_id = :workspace_id
""")
_KNOWN = text("""
    SELECT business_key FROM credit_entries
    WHERE workspace_id = :workspace_id AND business_key = ANY(CAST(:business_keys AS text[]))
""")
_OPEN_ACCOUNT = text("""
    INSERT INTO credit_accounts (workspace_id, balance, held) VALUES (:workspace_id, 0, 0) ON CONFLICT DO NOTHING
""")
_LOCK = text("SELECT balance, held FROM credit_accounts WHERE workspace_id = :workspace_id FOR NO KEY UPDATE")


async def open_account(session: Session, workspace_id: UUID) -> None:
    await session.execute(_OPEN_ACCOUNT, {"workspace_id": workspace_id})


async def balance(session: Session, workspace_id: UUID, *, lock: bool = False) -> Balance:
    """Where the account stands; zero for a workspace that never had credits. `lock` keeps it so to the end of the
    transaction."""
    if lock:
        row = (await session.execute(_LOCK, {"workspace_id": workspace_id})).one_or_none()
    else:
        query = select(credit_accounts.c.balance, credit_accounts.c.held)
        row = (await session.execute(query.where(credit_accounts.c.workspace_id == workspace_id))).one_or_none()
    return Balance(row.balance, row.held) if row else Balance(0, 0)


async def known_keys(session: Session, workspace_id: UUID, business_keys: Sequence[str]) -> set[str]:
    """Those of the keys that have an entry. Only final while the account is locked."""
    rows = await session.execute(_KNOWN, {"workspace_id": workspace_id, "business_keys": list(business_keys)})
    return set(rows.scalars())


async def move(
    session: Session,
    workspace_id: UUID,
    *,
    kind: str,
    reason: str,
    reference_type: str,
    entries: Sequence[dict[str, Any]],
) -> None:
    """Append the entries (`id`, `amount`, `held_amount`, `reference_id`, `business_key`) and move the account.

    A business key that is there already is a violation of a unique index: the caller knows what is new.
    """
    await session.execute(
        _MOVE,
        {
            "workspace_id": workspace_id,
            "kind": kind,
            "reason": reason,
            "reference_type": reference_type,
            "entries": orjson.dumps([{"n": n, **entry} for n, entry in enumerate(entries)]).decode(),
        },
    )


async def list_entries(session: Session, workspace_id: UUID, *, before_seq: int | None, limit: int) -> list[Entry]:
    query = (
        select(credit_entries)
        .where(credit_entries.c.workspace_id == workspace_id)
        .order_by(credit_entries.c.seq.desc())
        .limit(limit)
    )
    if before_seq is not None:
        query = query.where(credit_entries.c.seq < before_seq)
    return [_entry(row) for row in (await session.execute(query)).mappings()]


def _entry(row: RowMapping) -> Entry:
    return Entry(**{name: row[name] for name in Entry.__slots__})
