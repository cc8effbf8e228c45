"""The SQL of redrives: which letters are to be tried again, and what became of each.

Lock order: the redrive's items, letters, and then what the process makes anew.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, func, insert, literal, select, text

from app.db import Session
from app.deadletters.models import dead_letter_redrive_items, dead_letter_redrives, dead_letters
from app.deadletters.repository import LetterFilter, Process, fits

ItemResult: TypeAlias = Literal["pending", "redriven", "refused", "skipped"]


@dataclass(frozen=True, slots=True)
class Redrive:
    """A request to try letters again, in the name of an API key where `by_key`, else of a person; `total` letters, of
    which the other figures say what became."""

    id: UUID
    total: int
    pending: int
    redriven: int
    refused: int
    skipped: int
    requested_by: UUID
    by_key: bool
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class RedriveItem:
    """What became of one letter; `resource_id` was started anew for it."""

    letter_id: UUID
    process: Process
    result: ItemResult
    reason: str | None
    resource_id: UUID | None


@dataclass(frozen=True, slots=True)
class DueLetter:
    """A letter that is to be tried again now."""

    id: UUID
    payload_id: str


_item = dead_letter_redrive_items.c
_letter = dead_letters.c

_COPIED = ("workspace_id", "redrive_id", "letter_id", "process", "group_id", "result", "reason")
_COUNT = text("""
    UPDATE dead_letter_redrives SET total = (
        SELECT count(*) FROM dead_letter_redrive_items WHERE workspace_id = :workspace_id AND redrive_id = :id)
    WHERE workspace_id = :workspace_id AND id = :id
    RETURNING total
""")
_GET = text("""
    SELECT r.id, r.total, c.pending, c.redriven, c.refused, c.skipped, r.requested_by, r.by_key, r.created_at,
           r.finished_at
    FROM dead_letter_redrives AS r
         CROSS JOIN LATERAL (
             SELECT count(*) FILTER (WHERE result = 'pending') AS pending,
                    count(*) FILTER (WHERE result = 'redriven') AS redriven,
                    count(*) FILTER (WHERE result = 'refused') AS refused,
                    count(*) FILTER (WHERE result = 'skipped') AS skipped
             FROM dead_letter_redrive_items WHERE workspace_id = r.workspace_id AND redrive_id = r.id
         ) AS c
    WHERE r.workspace_id = :workspace_id AND r.id = :id
""")
_IS_FINISHED = text("""
    UPDATE dead_letter_redrives SET alive_at = now() WHERE workspace_id = :workspace_id AND id = :id
    RETURNING finished_at IS NOT NULL
""")
_FINISH = text("""
    UPDATE dead_letter_redrives SET finished_at = now()
    WHERE workspace_id = :workspace_id AND id = :id AND finished_at IS NULL
""")
_REFUSE_LEFT = text("""
    UPDATE dead_letter_redrive_items SET result = 'refused', reason = :reason
    WHERE workspace_id = :workspace_id AND redrive_id = :id AND result = 'pending'
""")
_PENDING_GROUPS = text("""
    SELECT DISTINCT group_id FROM dead_letter_redrive_items
    WHERE workspace_id = :workspace_id AND redrive_id = :id AND process = :process AND result = 'pending'
    ORDER BY group_id LIMIT :limit
""")
_LOCK_ITEMS = text("""
    SELECT letter_id FROM dead_letter_redrive_items
    WHERE workspace_id = :workspace_id AND redrive_id = :id AND process = :process AND group_id = :group_id
      AND result = 'pending'
    ORDER BY letter_id FOR UPDATE
""")
_OPEN_LETTERS = """
    SELECT id, payload_id FROM dead_letters
    WHERE workspace_id = :workspace_id AND id = ANY(CAST(:letter_ids AS uuid[])) AND state = 'open'
    ORDER BY id
"""
_READ_LETTERS = text(_OPEN_LETTERS)
_LOCK_LETTERS = text(_OPEN_LETTERS + "FOR NO KEY UPDATE")
# Of a letter that is open, and is not among them, the payload is in another group now: somebody else redrove it.
_SKIP_OTHERS = text("""
    UPDATE dead_letter_redrive_items AS i
    SET result = 'skipped', reason = CASE d.state WHEN 'open' THEN 'redriven' ELSE d.state END
    FROM dead_letters AS d
    WHERE i.workspace_id = :workspace_id AND i.redrive_id = :id AND i.letter_id = ANY(CAST(:letter_ids AS uuid[]))
      AND d.workspace_id = i.workspace_id AND d.id = i.letter_id
""")
_REFUSE = text("""
    UPDATE dead_letter_redrive_items SET result = 'refused', reason = :reason
    WHERE workspace_id = :workspace_id AND redrive_id = :id AND letter_id = ANY(CAST(:letter_ids AS uuid[]))
""")
# The process has marked those that it took.
_CONCLUDE = text("""
    UPDATE dead_letter_redrive_items AS i
    SET result = CASE d.state WHEN 'redriven' THEN 'redriven' ELSE 'refused' END,
        reason = CASE d.state WHEN 'redriven' THEN NULL ELSE :reason END,
        resource_id = CASE d.state WHEN 'redriven' THEN CAST(:resource_id AS uuid) END
    FROM dead_letters AS d
    WHERE i.workspace_id = :workspace_id AND i.redrive_id = :id AND i.letter_id = ANY(CAST(:letter_ids AS uuid[]))
      AND d.workspace_id = i.workspace_id AND d.id = i.letter_id
""")
# A command on its way is a sign of life of its own: the relay has it.
_CLAIM_SILENT = text("""
    UPDATE dead_letter_redrives SET alive_at = now()
    WHERE (workspace_id, id) IN (
        SELECT r.workspace_id, r.id FROM dead_letter_redrives AS r
        WHERE r.finished_at IS NULL AND r.alive_at < now() - make_interval(secs => :seconds)
          AND NOT EXISTS (SELECT FROM outbox_commands AS c
                          WHERE c.workflow_id = 'redrive/' || r.id AND c.dead_at IS NULL)
        ORDER BY r.alive_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING workspace_id, id
""")


async def existing(session: Session, workspace_id: UUID, letter_ids: Collection[UUID]) -> set[UUID]:
    """Those of the ids that letters of the workspace have."""
    query = select(_letter.id).where(_letter.workspace_id == workspace_id, _letter.id.in_(letter_ids))
    return set((await session.execute(query)).scalars())


async def add(
    session: Session,
    workspace_id: UUID,
    redrive_id: UUID,
    wanted: Collection[UUID] | LetterFilter,
    *,
    requested_by: UUID,
    by_key: bool,
    limit: int,
) -> int:
    """Add a redrive of these letters, at most `limit`; how many. Those that are not open are skipped already."""
    await session.execute(
        insert(dead_letter_redrives).values(
            workspace_id=workspace_id, id=redrive_id, total=0, requested_by=requested_by, by_key=by_key
        )
    )
    conditions: list[ColumnElement[bool]]
    if isinstance(wanted, LetterFilter):
        conditions = fits(workspace_id, wanted)
    else:
        conditions = [_letter.workspace_id == workspace_id, _letter.id.in_(wanted)]
    is_open = _letter.state == "open"
    chosen: Select[tuple[object, ...]] = (
        select(
            _letter.workspace_id,
            literal(redrive_id),
            _letter.id,
            _letter.process,
            func.split_part(_letter.payload_id, ":", 1),
            case((is_open, "pending"), else_="skipped"),
            case((is_open, None), else_=_letter.state),
        )
        .where(*conditions)
        .order_by(_letter.id)
        .limit(limit)
    )
    await session.execute(insert(dead_letter_redrive_items).from_select(_COPIED, chosen))
    counted = await session.execute(_COUNT, {"workspace_id": workspace_id, "id": redrive_id})
    return int(counted.scalar_one())


async def get(session: Session, workspace_id: UUID, redrive_id: UUID) -> Redrive | None:
    row = (await session.execute(_GET, {"workspace_id": workspace_id, "id": redrive_id})).one_or_none()
    return Redrive(*row) if row else None


async def items(
    session: Session, workspace_id: UUID, redrive_id: UUID, *, after: UUID | None, limit: int
) -> list[RedriveItem]:
    """In order of the letters' ids; `after` continues after the last one seen."""
    query = (
        select(*(_item[name] for name in RedriveItem.__slots__))
        .where(_item.workspace_id == workspace_id, _item.redrive_id == redrive_id)
        .order_by(_item.letter_id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(_item.letter_id > after)
    return [RedriveItem(*row) for row in await session.execute(query)]


async def is_finished(session: Session, workspace_id: UUID, redrive_id: UUID) -> bool:
    """Also notes a sign of life. True where there is no such redrive."""
    row = await session.execute(_IS_FINISHED, {"workspace_id": workspace_id, "id": redrive_id})
    return row.scalar_one_or_none() is not False


async def finish(session: Session, workspace_id: UUID, redrive_id: UUID, *, otherwise: str) -> None:
    """Say that it is done; what is pending still is refused for the reason `otherwise`."""
    mine = {"workspace_id": workspace_id, "id": redrive_id}
    await session.execute(_REFUSE_LEFT, {**mine, "reason": otherwise})
    await session.execute(_FINISH, mine)


async def pending_groups(
    session: Session, workspace_id: UUID, redrive_id: UUID, process: Process, *, limit: int
) -> Sequence[str]:
    """What has items of the process that are pending: letters with one of these are tried again together."""
    values = {"workspace_id": workspace_id, "id": redrive_id, "process": process, "limit": limit}
    return (await session.execute(_PENDING_GROUPS, values)).scalars().all()


async def due(
    session: Session, workspace_id: UUID, redrive_id: UUID, process: Process, group_id: str, *, lock: bool
) -> list[DueLetter]:
    """The open letters of the group's pending items, to the end of the transaction nobody else's; with `lock` no other
    redrive's either. The items of the others are skipped."""
    mine = {"workspace_id": workspace_id, "id": redrive_id}
    group = {**mine, "process": process, "group_id": group_id}
    pending = (await session.execute(_LOCK_ITEMS, group)).scalars().all()
    if not pending:
        return []
    letters = {"workspace_id": workspace_id, "letter_ids": list(pending)}
    rows = await session.execute(_LOCK_LETTERS if lock else _READ_LETTERS, letters)
    found = [DueLetter(*row) for row in rows if row.payload_id.partition(":")[0] == group_id]
    others = set(pending) - {each.id for each in found}
    if others:
        await session.execute(_SKIP_OTHERS, {**mine, "letter_ids": list(others)})
    return found


async def refuse(
    session: Session, workspace_id: UUID, redrive_id: UUID, due: Sequence[DueLetter], *, reason: str
) -> None:
    values = {"workspace_id": workspace_id, "id": redrive_id, "letter_ids": [each.id for each in due]}
    await session.execute(_REFUSE, {**values, "reason": reason})


async def conclude(
    session: Session,
    workspace_id: UUID,
    redrive_id: UUID,
    due: Sequence[DueLetter],
    *,
    resource_id: UUID | None,
    otherwise: str,
) -> None:
    """Give the items of these letters their results: redriven, as `resource_id`, where their letters say that; refused
    for the reason `otherwise` where they do not."""
    values = {"workspace_id": workspace_id, "id": redrive_id, "letter_ids": [each.id for each in due]}
    await session.execute(_CONCLUDE, {**values, "resource_id": resource_id, "reason": otherwise})


async def claim_silent(session: Session, *, seconds: float, limit: int) -> list[tuple[UUID, UUID]]:
    """(workspace, redrive) of those that are not done and were silent for so long; each counts as alive from now on.
    The session is the platform's."""
    rows = await session.execute(_CLAIM_SILENT, {"seconds": seconds, "limit": limit})
    return [(row.workspace_id, row.id) for row in rows]
