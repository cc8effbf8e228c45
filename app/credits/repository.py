"""The SQL of the ledger. Every movement locks the account's row, so entries of a workspace are in one order.

Each statement names its workspace, because the platform's sweeps see those of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import RowMapping, insert, select, text

from app.credits.models import credit_accounts, credit_entries, credit_lots
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


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whether a business key has its entry already, whether a lot has expired, and below how many available credits
    the workspace is told."""

    known: bool
    expired: bool
    low_threshold: int


# The account row is made by the first grant. A key that is there already adds no row, and so moves nothing. What leaves
# the balance leaves the lots, soonest to expire first, by a function (migrations, "tenants"): as part of this statement
# the lots would be those of before it had the lock, and as a statement of its own it costs a flush twice as much.
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
    RETURNING a.balance, a.held,
              CASE WHEN moved.amount < 0 THEN spend_credit_lots(a.workspace_id, -moved.amount::bigint) END
""")
# What the workspace has chosen for itself, else as the installation has it.
_LOW_THRESHOLD = "coalesce((w.settings ->> 'credits_low_threshold')::bigint, :default)"
_THRESHOLD = text(f"SELECT {_LOW_THRESHOLD} FROM workspaces AS w WHERE w.id = :workspace_id")
_BEFORE_MOVE = text(f"""
    SELECT EXISTS (SELECT FROM credit_entries WHERE workspace_id = :workspace_id AND business_key = :business_key)
               AS known,
           EXISTS (SELECT FROM credit_lots WHERE workspace_id = :workspace_id AND expires_at <= now()) AS expired,
           (SELECT {_LOW_THRESHOLD} FROM workspaces AS w WHERE w.id = :workspace_id) AS low_threshold
""")
_EXPIRED_LOTS = text("""
    SELECT id, remaining FROM credit_lots WHERE workspace_id = :workspace_id AND expires_at <= now()
    ORDER BY expires_at, id
""")
_EXPIRED_WORKSPACES = text("""
    SELECT DISTINCT workspace_id FROM credit_lots WHERE expires_at <= now() AND workspace_id > :after
    ORDER BY workspace_id LIMIT :limit
""")
_COUNT_LOW = text(f"""
    SELECT count(*) FROM credit_accounts AS a JOIN workspaces AS w ON w.id = a.workspace_id
    WHERE a.balance - a.held < {_LOW_THRESHOLD} AND w.deleted_at IS NULL
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


async def look(session: Session, workspace_id: UUID, business_key: str, *, low_threshold: int) -> Outlook:
    """Before a movement: only final while the account is locked. `low_threshold` is that of the installation."""
    parameters = {"workspace_id": workspace_id, "business_key": business_key, "default": low_threshold}
    return Outlook(**(await session.execute(_BEFORE_MOVE, parameters)).mappings().one())


async def expired_lots(session: Session, workspace_id: UUID) -> list[tuple[UUID, int]]:
    """(id, credits that remain) of the lots that have expired, in the order in which they are spent."""
    rows = await session.execute(_EXPIRED_LOTS, {"workspace_id": workspace_id})
    return [(lot_id, remaining) for lot_id, remaining in rows]


async def workspaces_with_expired_lots(session: Session, *, after: UUID, limit: int) -> list[UUID]:
    """Among all that the session can see, in the order of their ids."""
    return list((await session.execute(_EXPIRED_WORKSPACES, {"after": after, "limit": limit})).scalars())


async def low_threshold(session: Session, workspace_id: UUID, default: int) -> int:
    """Below how many available credits the workspace is told; `default` where it chose nothing itself."""
    parameters = {"workspace_id": workspace_id, "default": default}
    return int((await session.execute(_THRESHOLD, parameters)).scalar_one())


async def count_low(session: Session, default: int) -> int:
    """How many workspaces that the session can see have fewer credits available than their threshold."""
    return int((await session.execute(_COUNT_LOW, {"default": default})).scalar_one())


async def move(
    session: Session,
    workspace_id: UUID,
    *,
    kind: str,
    reason: str,
    reference_type: str,
    entries: Sequence[dict[str, Any]],
    expires_at: datetime | None = None,
) -> Balance:
    """Append the entries (`id`, `amount`, `held_amount`, `reference_id`, `business_key`), move the account, and take
    from its lots what leaves the balance; where that left the account.

    A single entry that adds to the balance becomes a lot of its id, which expires at `expires_at`. A business key that
    is there already is a violation of a unique index: the caller knows what is new.
    """
    moved = await session.execute(
        _MOVE,
        {
            "workspace_id": workspace_id,
            "kind": kind,
            "reason": reason,
            "reference_type": reference_type,
            "entries": orjson.dumps([{"n": n, **entry} for n, entry in enumerate(entries)]).decode(),
        },
    )
    row = moved.one()
    after = Balance(row.balance, row.held)
    if entries[0]["amount"] > 0:
        await _add_lot(session, workspace_id, entries[0]["id"], entries[0]["amount"], after, expires_at)
    return after


async def _add_lot(
    session: Session, workspace_id: UUID, lot_id: UUID, granted: int, after: Balance, expires_at: datetime | None
) -> None:
    # What a balance below zero had swallowed is no longer there to be spent.
    remaining = min(granted, after.balance)
    if remaining > 0:
        lot = {"id": lot_id, "granted": granted, "remaining": remaining, "expires_at": expires_at}
        await session.execute(insert(credit_lots).values(workspace_id=workspace_id, **lot))


async def entry_of(session: Session, workspace_id: UUID, business_key: str) -> Entry:
    """The entry of a key that has one."""
    query = select(credit_entries).where(
        credit_entries.c.workspace_id == workspace_id, credit_entries.c.business_key == business_key
    )
    return _entry((await session.execute(query)).mappings().one())


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
