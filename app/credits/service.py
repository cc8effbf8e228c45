"""Credits: what comes in, the two phases of paying for work (hold what it may cost, charge what was found, release the
rest), and what goes without work.

=========  ========  =============
kind       balance   held
=========  ========  =============
grant      +n        0
hold       0         +n
charge     −n        −n
release    0         −n
refund     +n        0
expiry     −n        0
clawback   −n        0
=========  ========  =============

Balance = Σ amount and held = Σ held_amount, always: account and entries move in one statement. The account's row is
the last that a transaction locks.

A grant or a refund is a lot, which may expire. Whatever leaves the balance leaves the lots, soonest to expire first, so
that Σ remaining = max(balance, 0), always. What is held has the first claim on the lots, in the same order: only what
it does not reach expires; what is released later expires then. A clawback may take the balance below zero, and so may
charges of what was held before it. Then there are no lots, nothing new can be held, and what is granted next fills the
hole first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from app.credits import repository
from app.credits.errors import InsufficientCredits
from app.credits.repository import Balance, Entry
from app.db import Session, new_id
from app.providers.ports import JsonValue
from app.webhooks import service as webhooks

log = structlog.get_logger(__name__)

MAX_AMOUNT = 10**12
"""Of one grant, in credits."""


@dataclass(frozen=True, slots=True)
class Charge:
    """`credits` for one effect: `key` names it among all effects of the workspace, `reference_id` what it was for."""

    key: str
    credits: int
    reference_id: str


async def balance(session: Session, workspace_id: UUID) -> Balance:
    return await repository.balance(session, workspace_id)


async def list_entries(session: Session, workspace_id: UUID, *, before_seq: int | None, limit: int) -> list[Entry]:
    """Newest first; `before_seq` continues after the last one seen."""
    return await repository.list_entries(session, workspace_id, before_seq=before_seq, limit=limit)


async def entry_of(session: Session, workspace_id: UUID, key: str) -> Entry:
    """The entry of a key that has one."""
    return await repository.entry_of(session, workspace_id, key)


async def grant(
    session: Session, workspace_id: UUID, amount: int, *, key: str, reason: str, expires_at: datetime | None = None
) -> None:
    """Add 0 to MAX_AMOUNT credits, once per `key`; what is not spent by `expires_at` is lost."""
    if not 0 <= amount <= MAX_AMOUNT:
        raise ValueError("a grant is of 0 to 10^12 credits")
    await repository.open_account(session, workspace_id)
    reference = ("grant", key)
    await _move_once(
        session, workspace_id, "grant", (amount, 0), key=key, reason=reason, reference=reference, expires_at=expires_at
    )


async def hold(
    session: Session,
    workspace_id: UUID,
    amount: int,
    *,
    key: str,
    reason: str,
    reference: tuple[str, str],
    low_threshold: int = 0,
) -> None:
    """Set credits aside for work that is about to start, once per `key`. What has expired cannot be held any more.

    `low_threshold`, here and below: the workspace is told when fewer credits are available, unless it has chosen a
    threshold itself; 0: never.
    Raises InsufficientCredits; the caller's transaction must then not commit.
    """
    await _move_once(
        session,
        workspace_id,
        "hold",
        (0, amount),
        key=key,
        reason=reason,
        reference=reference,
        low_threshold=low_threshold,
    )


async def release(
    session: Session, workspace_id: UUID, amount: int, *, key: str, reason: str, reference: tuple[str, str]
) -> None:
    """Give back what is left of a hold, once per `key`."""
    await _move_once(session, workspace_id, "release", (0, -amount), key=key, reason=reason, reference=reference)


async def charge(
    session: Session, workspace_id: UUID, charges: Sequence[Charge], *, reason: str, reference_type: str
) -> None:
    """Take what was held for these effects. Charges of 0 leave no entry.

    The caller hands in each effect once: it inserts the effect's row first, and charges only for rows that are new.
    """
    entries = [_entry(each.key, (-each.credits, -each.credits), each.reference_id) for each in charges if each.credits]
    if entries:
        await repository.move(
            session,
            workspace_id,
            kind="charge",
            reason=reason,
            reference_type=reference_type,
            entries=entries,
        )


async def refund(
    session: Session,
    workspace_id: UUID,
    amount: int,
    *,
    key: str,
    reason: str,
    reference: tuple[str, str],
    expires_at: datetime | None = None,
) -> None:
    """Give back what was charged, once per `key`; what is not spent by `expires_at` is lost."""
    await _move_once(
        session, workspace_id, "refund", (amount, 0), key=key, reason=reason, reference=reference, expires_at=expires_at
    )


async def claw_back(
    session: Session,
    workspace_id: UUID,
    amount: int,
    *,
    key: str,
    reason: str,
    reference: tuple[str, str],
    low_threshold: int = 0,
) -> None:
    """Take back what should not have been granted, once per `key`, also where it is held or spent: the balance may
    fall below zero."""
    await _move_once(
        session,
        workspace_id,
        "clawback",
        (-amount, 0),
        key=key,
        reason=reason,
        reference=reference,
        low_threshold=low_threshold,
    )


async def expire(session: Session, workspace_id: UUID, *, low_threshold: int = 0) -> int:
    """Take what has expired and is not held; how many credits. Again changes nothing."""
    before = await repository.balance(session, workspace_id, lock=True)
    after = await _expire(session, workspace_id, before)
    if after.balance < before.balance:
        threshold = await repository.low_threshold(session, workspace_id, low_threshold)
        await _tell_if_low(session, workspace_id, before, after, threshold)
    return before.balance - after.balance


async def _expire(session: Session, workspace_id: UUID, account: Balance) -> Balance:
    """The account is locked."""
    lots = await repository.expired_lots(session, workspace_id)
    left = sum(remaining for _, remaining in lots) - account.held
    entries = []
    for lot_id, remaining in lots:
        taken = min(remaining, left)
        if taken <= 0:
            break
        left -= taken
        # A lot may expire in parts, each from another remainder.
        entries.append(_entry(f"expiry:{lot_id}:{remaining}", (-taken, 0), str(lot_id)))
    if not entries:
        return account
    return await repository.move(
        session,
        workspace_id,
        kind="expiry",
        reason="the credits were not spent in time",
        reference_type="credit_lot",
        entries=entries,
    )


async def _move_once(
    session: Session,
    workspace_id: UUID,
    kind: str,
    change: tuple[int, int],
    *,
    key: str,
    reason: str,
    reference: tuple[str, str],
    expires_at: datetime | None = None,
    low_threshold: int = 0,
) -> None:
    if change == (0, 0):
        return
    before = await repository.balance(session, workspace_id, lock=True)
    outlook = await repository.look(session, workspace_id, key, low_threshold=low_threshold)
    if outlook.known:
        return
    account = before
    if kind == "hold":
        if outlook.expired:
            account = await _expire(session, workspace_id, account)
        if change[1] > account.available:
            raise InsufficientCredits(change[1], account.available)
    reference_type, reference_id = reference
    after = await repository.move(
        session,
        workspace_id,
        kind=kind,
        reason=reason,
        reference_type=reference_type,
        entries=[_entry(key, change, reference_id)],
        expires_at=expires_at,
    )
    await _tell_if_low(session, workspace_id, before, after, outlook.low_threshold)


async def _tell_if_low(session: Session, workspace_id: UUID, before: Balance, after: Balance, threshold: int) -> None:
    """Once each time that `available` falls below the threshold; a charge, which takes what is held, never does."""
    if threshold > 0 and after.available < threshold <= before.available:
        log.warning("credits.low", workspace_id=str(workspace_id), available=after.available, threshold=threshold)
        told: dict[str, JsonValue] = {"available": after.available, "threshold": threshold}
        await webhooks.publish(session, workspace_id, "credits.low", told)


def _entry(key: str, change: tuple[int, int], reference_id: str) -> dict[str, Any]:
    amount, held_amount = change
    return {
        "id": new_id(),
        "amount": amount,
        "held_amount": held_amount,
        "reference_id": reference_id,
        "business_key": key,
    }
