"""The SQL of erasures themselves: who is to be erased, and where they were found."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, insert, select, text

from app.db import Session
from app.enrichment.models import enrichment_erasures
from app.enrichment.traces import Kind


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure: `subject` is who, while it goes on; `digest` is the SHA-256 of ``<id>:<kind>:<subject>``. The other
    figures say in how many places something was removed, `running_jobs` from which jobs that had not ended."""

    id: UUID
    kind: Kind
    subject: str | None
    digest: bytes
    inputs: int
    results: int
    raw_answers: int
    reuse: int
    events: int
    remembered_answers: int
    receivers_answers: int
    dead_letters: int
    running_jobs: list[UUID]
    requested_by: UUID
    created_at: datetime
    finished_at: datetime | None


_PLACES = (
    "inputs", "results", "raw_answers", "reuse", "events", "remembered_answers", "receivers_answers", "dead_letters",
)  # fmt: skip
_erasure = enrichment_erasures.c
_ERASURES = select(*(_erasure[name] for name in Erasure.__slots__))

_ADD_COUNTS = text("""
    UPDATE enrichment_erasures
    SET inputs = inputs + :inputs, results = results + :results, raw_answers = raw_answers + :raw_answers,
        reuse = reuse + :reuse, events = events + :events,
        remembered_answers = remembered_answers + :remembered_answers,
        receivers_answers = receivers_answers + :receivers_answers, dead_letters = dead_letters + :dead_letters,
        alive_at = now(),
        running_jobs = CASE WHEN CAST(:running_job AS uuid) IS NULL OR :running_job = ANY(running_jobs)
                            THEN running_jobs ELSE array_append(running_jobs, CAST(:running_job AS uuid)) END
    WHERE workspace_id = :workspace_id AND id = :id
""")
_FINISH = text("""
    UPDATE enrichment_erasures SET subject = NULL, finished_at = now()
    WHERE workspace_id = :workspace_id AND id = :id AND finished_at IS NULL
""")
# A command on its way is a sign of life of its own: the relay has it.
_CLAIM_SILENT = text("""
    UPDATE enrichment_erasures SET alive_at = now()
    WHERE (workspace_id, id) IN (
        SELECT e.workspace_id, e.id FROM enrichment_erasures AS e
        WHERE e.finished_at IS NULL AND e.alive_at < now() - make_interval(secs => :seconds)
          AND NOT EXISTS (SELECT FROM outbox_commands AS c
                          WHERE c.workflow_id = 'erasure/' || e.id AND c.dead_at IS NULL)
        ORDER BY e.alive_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING workspace_id, id
""")


async def add(
    session: Session, workspace_id: UUID, erasure_id: UUID, *, kind: Kind, subject: str, digest: bytes, by: UUID
) -> None:
    await session.execute(
        insert(enrichment_erasures).values(
            workspace_id=workspace_id, id=erasure_id, kind=kind, subject=subject, digest=digest, requested_by=by
        )
    )


async def get(session: Session, workspace_id: UUID, erasure_id: UUID) -> Erasure | None:
    query = _ERASURES.where(_erasure.workspace_id == workspace_id, _erasure.id == erasure_id)
    row = (await session.execute(query)).mappings().one_or_none()
    return _of(row) if row else None


async def page(session: Session, workspace_id: UUID, *, before: UUID | None, limit: int) -> list[Erasure]:
    """The newest first; `before` continues after the last one seen."""
    query = _ERASURES.where(_erasure.workspace_id == workspace_id).order_by(_erasure.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_erasure.id < before)
    return [_of(row) for row in (await session.execute(query)).mappings()]


async def add_counts(
    session: Session, workspace_id: UUID, erasure_id: UUID, *, running_job: UUID | None = None, **counts: int
) -> None:
    """Say that something was removed in so many more places, and that the erasure goes on."""
    nowhere = dict.fromkeys(_PLACES, 0)
    values = {"workspace_id": workspace_id, "id": erasure_id, "running_job": running_job}
    await session.execute(_ADD_COUNTS, {**nowhere, **counts, **values})


async def finish(session: Session, workspace_id: UUID, erasure_id: UUID) -> bool:
    """Forget who it was, and say that it is done; False where that was said before."""
    return (await session.execute(_FINISH, {"workspace_id": workspace_id, "id": erasure_id})).rowcount > 0


async def claim_silent(session: Session, *, seconds: float, limit: int) -> list[tuple[UUID, UUID]]:
    """(workspace, erasure) of those that are not done and were silent for so long; each counts as alive from now on.
    The session is the platform's."""
    rows = await session.execute(_CLAIM_SILENT, {"seconds": seconds, "limit": limit})
    return [(row.workspace_id, row.id) for row in rows]


def _of(row: RowMapping) -> Erasure:
    return Erasure(**row)
