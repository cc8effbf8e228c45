"""The SQL of dead letters.

Lock order in every transaction: whatever failed, then letters in order of their ids, or of payloads where they are
opened; the outbox and the balance after them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, or_, select, text

from app.db import Session
from app.deadletters.models import dead_letters

Process: TypeAlias = Literal["enrichment", "webhook", "billing", "replication"]
LetterState: TypeAlias = Literal["open", "redriven", "resolved", "discarded"]

_PROCESSES: tuple[Process, ...] = get_args(Process)


@dataclass(frozen=True, slots=True)
class Letter:
    """What could not be done. `reference_id` is what failed first, `payload_id` what stands for it now: both are ids
    of the process, with colons between them. It was tried `attempts` times, the last time in the workflow run
    `run_id`."""

    id: UUID
    process: Process
    reference_id: str
    payload_id: str
    state: LetterState
    reason: str
    message: str
    attempts: int
    run_id: UUID | None
    discard_reason: str | None
    first_failed_at: datetime
    last_failed_at: datetime


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are wanted: those that have each value which is not None, and failed last at `since` or later.
    `reference` is an id of either form, or what such ids begin with up to a colon: that of a job."""

    process: Process | None = None
    reason: str | None = None
    reference: str | None = None
    since: datetime | None = None
    state: LetterState | None = None


_letter = dead_letters.c
_LETTERS = select(*(_letter[name] for name in Letter.__slots__))

# What was discarded stays so: somebody has decided it.
_OPEN = text("""
    INSERT INTO dead_letters AS d (workspace_id, id, process, reference_id, payload_id, reason, message, attempts,
                                   run_id)
    SELECT :workspace_id, f.id, :process, f.payload_id, f.payload_id, f.reason, f.message, f.attempts, f.run_id
    FROM json_to_recordset(CAST(:failures AS json))
         AS f(id uuid, payload_id text, reason text, message text, attempts int, run_id uuid)
    ON CONFLICT (workspace_id, process, payload_id) DO UPDATE
    SET state = 'open', reason = excluded.reason, message = excluded.message, run_id = excluded.run_id,
        attempts = d.attempts + excluded.attempts, last_failed_at = now()
    WHERE d.state <> 'discarded'
""")
_REDRIVEN = text("""
    UPDATE dead_letters AS d SET state = 'redriven', payload_id = m.new
    FROM json_to_recordset(CAST(:moves AS json)) AS m(old text, new text)
         JOIN LATERAL (
             SELECT workspace_id, id FROM dead_letters
             WHERE workspace_id = :workspace_id AND process = :process AND payload_id = m.old AND state = 'open'
         ) AS own ON true
    WHERE d.workspace_id = own.workspace_id AND d.id = own.id AND d.state = 'open'
""")
# In order of id, which an UPDATE alone does not promise.
_LOCK_OPEN = text("""
    SELECT id FROM dead_letters
    WHERE workspace_id = :workspace_id AND process = :process AND payload_id = ANY(CAST(:payload_ids AS text[]))
      AND state = 'open'
    ORDER BY id FOR NO KEY UPDATE
""")
_CHANGE = """
    UPDATE dead_letters SET {}
    WHERE workspace_id = :workspace_id AND process = :process AND payload_id = ANY(CAST(:payload_ids AS text[]))
      AND state = {}
"""
_REOPEN = text(_CHANGE.format("state = 'open', attempts = attempts + 1, last_failed_at = now()", "'redriven'"))
_RESOLVE = text(_CHANGE.format("state = 'resolved'", "ANY('{open,redriven}')"))
_DISCARD_MANY = text(_CHANGE.format("state = 'discarded', discard_reason = :reason", "ANY('{open,redriven}')"))
# ";" comes next to ":".
_RESOLVE_WITHIN = text("""
    UPDATE dead_letters SET state = 'resolved'
    WHERE workspace_id = :workspace_id AND process = :process AND state = 'redriven'
      AND payload_id >= :within || ':' AND payload_id < :within || ';'
""")
_LOCK = text("SELECT state FROM dead_letters WHERE workspace_id = :workspace_id AND id = :id FOR NO KEY UPDATE")
_DISCARD = text("""
    UPDATE dead_letters SET state = 'discarded', discard_reason = :reason
    WHERE workspace_id = :workspace_id AND id = :id
""")
_OPEN_WITHIN = text("""
    SELECT w.id AS within, count(*) AS letters
    FROM unnest(CAST(:within AS text[])) AS w(id)
         JOIN dead_letters AS d ON d.workspace_id = :workspace_id AND d.process = ANY(CAST(:processes AS text[]))
                               AND d.state = 'open' AND d.payload_id COLLATE "C" >= w.id || ':'
                               AND d.payload_id COLLATE "C" < w.id || ';'
    GROUP BY w.id
""")
_COUNT_OPEN = text("SELECT process, count(*) AS letters FROM dead_letters WHERE state = 'open' GROUP BY process")


async def open_many(session: Session, workspace_id: UUID, process: Process, failures: Sequence[dict[str, Any]]) -> None:
    """Open a letter for each of `failures` (id, payload_id, reason, message, attempts, run_id), or the one that stands
    for the payload already."""
    failures = sorted(failures, key=lambda each: each["payload_id"])
    values = {"workspace_id": workspace_id, "process": process, "failures": orjson.dumps(failures).decode()}
    await session.execute(_OPEN, values)


async def redriven(session: Session, workspace_id: UUID, process: Process, moves: Sequence[tuple[str, str]]) -> None:
    """Mark the open letters of the old payloads as redriven: the new payloads stand for them from here on."""
    mine = {"workspace_id": workspace_id, "process": process}
    await session.execute(_LOCK_OPEN, {**mine, "payload_ids": [old for old, _ in moves]})
    pairs = [{"old": old, "new": new} for old, new in moves]
    await session.execute(_REDRIVEN, {**mine, "moves": orjson.dumps(pairs).decode()})


async def reopen(session: Session, workspace_id: UUID, process: Process, payload_ids: Sequence[str]) -> None:
    values = {"workspace_id": workspace_id, "process": process, "payload_ids": list(payload_ids)}
    await session.execute(_REOPEN, values)


async def resolve(session: Session, workspace_id: UUID, process: Process, payload_ids: Sequence[str]) -> None:
    values = {"workspace_id": workspace_id, "process": process, "payload_ids": list(payload_ids)}
    await session.execute(_RESOLVE, values)


async def resolve_within(session: Session, workspace_id: UUID, process: Process, within: str) -> None:
    """Mark as resolved what is redriven, of the payloads that begin with this id."""
    values = {"workspace_id": workspace_id, "process": process, "within": within}
    await session.execute(_RESOLVE_WITHIN, values)


async def discard_many(
    session: Session, workspace_id: UUID, process: Process, payload_ids: Sequence[str], *, reason: str
) -> int:
    values = {"workspace_id": workspace_id, "process": process, "payload_ids": list(payload_ids), "reason": reason}
    return (await session.execute(_DISCARD_MANY, values)).rowcount


_ERASE_REASONS = text("""
    UPDATE dead_letters SET discard_reason = 'erased'
    WHERE workspace_id = :workspace_id AND lower(discard_reason) LIKE ANY (CAST(:like AS text[]))
""")


async def erase_reasons(session: Session, workspace_id: UUID, like: Sequence[str]) -> int:
    return (await session.execute(_ERASE_REASONS, {"workspace_id": workspace_id, "like": list(like)})).rowcount


async def lock(session: Session, workspace_id: UUID, letter_id: UUID) -> LetterState | None:
    """The state of a letter that nobody else changes in this transaction; None where there is none."""
    row = await session.execute(_LOCK, {"workspace_id": workspace_id, "id": letter_id})
    state: LetterState | None = row.scalar_one_or_none()
    return state


async def discard(session: Session, workspace_id: UUID, letter_id: UUID, *, reason: str) -> None:
    await session.execute(_DISCARD, {"workspace_id": workspace_id, "id": letter_id, "reason": reason})


async def letter(session: Session, workspace_id: UUID, letter_id: UUID) -> Letter | None:
    query = _LETTERS.where(_letter.workspace_id == workspace_id, _letter.id == letter_id)
    row = (await session.execute(query)).one_or_none()
    return Letter(*row) if row else None


async def newest(
    session: Session, workspace_id: UUID, wanted: LetterFilter, *, before: UUID | None, limit: int
) -> list[Letter]:
    """The newest first; `before` continues after the last one seen."""
    query = _LETTERS.where(*fits(workspace_id, wanted)).order_by(_letter.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_letter.id < before)
    return [Letter(*row) for row in await session.execute(query)]


async def open_within(session: Session, workspace_id: UUID, within: Sequence[str]) -> dict[str, int]:
    """How many letters are open of the payloads that begin with these ids, by id; none where it has none."""
    values = {"workspace_id": workspace_id, "processes": list(_PROCESSES), "within": list(within)}
    return {row.within: row.letters for row in await session.execute(_OPEN_WITHIN, values)}


async def count_open(session: Session) -> dict[str, int]:
    """How many letters of all workspaces are open, by process. The session is the platform's."""
    return dict.fromkeys(_PROCESSES, 0) | {row.process: row.letters for row in await session.execute(_COUNT_OPEN)}


def fits(workspace_id: UUID, wanted: LetterFilter) -> list[ColumnElement[bool]]:
    """What is true of the letters that are wanted."""
    conditions = [_letter.workspace_id == workspace_id]
    for name in ("process", "reason", "state"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(_letter[name] == value)
    if wanted.since is not None:
        conditions.append(_letter.last_failed_at >= wanted.since)
    if wanted.reference is not None:
        # By all processes: the indexes begin with them.
        conditions.append(_letter.process.in_(_PROCESSES))
        conditions.append(
            or_(_begins(_letter.reference_id, wanted.reference), _begins(_letter.payload_id, wanted.reference))
        )
    return conditions


def _begins(column: ColumnElement[str], reference: str) -> ColumnElement[bool]:
    # ";" comes next to ":".
    return or_(column == reference, (column >= f"{reference}:") & (column < f"{reference};"))
