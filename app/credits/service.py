"""Credits: grant, and the two phases of paying: hold what the work may cost, charge what was found, release the rest.

=========  ========  =============
kind       balance   held
=========  ========  =============
grant      +n        0
hold       0         +n
charge     −n        −n
release    0         −n
=========  ========  =============

Balance = Σ amount and held = Σ held_amount, always: account and entries move in one statement. The account's row is
the last that a transaction locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.credits import repository
from app.credits.errors import InsufficientCredits
from app.credits.repository import Balance, Entry
from app.db import Session, new_id


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


async def grant(session: Session, workspace_id: UUID, amount: int, *, key: str, reason: str) -> None:
    """Add credits, once per `key`."""
    await repository.open_account(session, workspace_id)
    await _move_once(session, workspace_id, "grant", key, (amount, 0), reason=reason, reference=("grant", key))


async def hold(
    session: Session, workspace_id: UUID, amount: int, *, key: str, reason: str, reference: tuple[str, str]
) -> None:
    """Set credits aside for work that is about to start, once per `key`.

    Raises InsufficientCredits; the caller's transaction must then not commit.
    """
    account = await repository.balance(session, workspace_id, lock=True)
    if amount > 0 and amount > account.available:
        raise InsufficientCredits(amount, account.available)
    await _move_once(session, workspace_id, "hold", key, (0, amount), reason=reason, reference=reference)


async def release(
    session: Session, workspace_id: UUID, amount: int, *, key: str, reason: str, reference: tuple[str, str]
) -> None:
    """Give back what is left of a hold, once per `key`."""
    await _move_once(session, workspace_id, "release", key, (0, -amount), reason=reason, reference=reference)


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


async def _move_once(
    session: Session,
    workspace_id: UUID,
    kind: str,
    key: str,
    change: tuple[int, int],
    *,
    reason: str,
    reference: tuple[str, str],
) -> None:
    if change == (0, 0):
        return
    await repository.balance(session, workspace_id, lock=True)
    if await repository.known_keys(session, workspace_id, [key]):
        return
    reference_type, reference_id = reference
    entry = _entry(key, change, reference_id)
    await repository.move(
        session, workspace_id, kind=kind, reason=reason, reference_type=reference_type, entries=[entry]
    )


def _entry(key: str, change: tuple[int, int], reference_id: str) -> dict[str, Any]:
    amount, held_amount = change
    return {
        "id": new_id(),
        "amount": amount,
        "held_amount": held_amount,
        "reference_id": reference_id,
        "business_key": key,
    }
