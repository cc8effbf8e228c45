"""The SQL of the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from app.db import Session


@dataclass(frozen=True, slots=True)
class Command:
    """A claimed command. `body` is what kind says: see models."""

    id: int
    workspace_id: UUID
    workflow_id: str
    kind: str
    body: dict[str, Any]
    attempts: int
    created_at: datetime


# Text, because the runtime role may write commands and not read them: no RETURNING. Heard by relays: what is announced
# in the command's transaction arrives when the command can be seen.
_ADD = text("""
    WITH added AS (
        INSERT INTO outbox_commands (workspace_id, workflow_id, kind, body)
        VALUES (:workspace_id, :workflow_id, :kind, CAST(:body AS jsonb))
    )
    SELECT pg_notify('holdfast_outbox', '')
""")
# Only the oldest command of a workflow can be claimed, so commands to one workflow go in order.
_CLAIM = text("""
    UPDATE outbox_commands AS c
    SET claimed_by = :claimer, claimed_until = now() + make_interval(secs => :lease_seconds), attempts = attempts + 1
    FROM (
        SELECT id FROM outbox_commands AS d
        WHERE due_at <= now() AND dead_at IS NULL AND (claimed_until IS NULL OR claimed_until < now())
          AND NOT EXISTS (SELECT FROM outbox_commands AS e
                          WHERE e.workflow_id = d.workflow_id AND e.id < d.id AND e.dead_at IS NULL)
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE c.id = due.id
    RETURNING c.id, c.workspace_id, c.workflow_id, c.kind, c.body, c.attempts, c.created_at
""")
_DELETE = text("""
    WITH sent AS (
        DELETE FROM outbox_commands WHERE id = ANY(CAST(:ids AS bigint[])) AND claimed_by = :claimer
        RETURNING id, workflow_id
    )
    SELECT EXISTS (SELECT FROM sent JOIN outbox_commands AS c USING (workflow_id) WHERE c.id > sent.id)
""")
_POSTPONE = text("""
    UPDATE outbox_commands
    SET claimed_by = NULL, claimed_until = NULL, last_error = :error,
        due_at = now() + make_interval(secs => :delay_seconds),
        dead_at = CASE WHEN created_at < now() - make_interval(secs => :dead_after_seconds) THEN now() END
    WHERE id = :id AND claimed_by = :claimer
    RETURNING dead_at IS NOT NULL
""")
_OLDEST = text("""
    SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age_seconds,
           count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead
    FROM outbox_commands
""")


async def add(session: Session, workspace_id: UUID, workflow_id: str, kind: str, body: dict[str, Any]) -> None:
    await session.execute(
        _ADD,
        {
            "workspace_id": workspace_id,
            "workflow_id": workflow_id,
            "kind": kind,
            "body": orjson.dumps(body).decode(),
        },
    )


async def claim(session: Session, claimer: UUID, *, lease_seconds: float, limit: int) -> list[Command]:
    """Take up to `limit` commands that are due and nobody else's, oldest first."""
    rows = await session.execute(_CLAIM, {"claimer": claimer, "lease_seconds": lease_seconds, "limit": limit})
    return sorted((Command(**row) for row in rows.mappings()), key=lambda command: command.id)


async def delete(session: Session, claimer: UUID, ids: Sequence[int]) -> bool:
    """Forget commands that were sent; whether one of their workflows has another."""
    return bool((await session.execute(_DELETE, {"claimer": claimer, "ids": list(ids)})).scalar_one())


async def postpone(
    session: Session,
    claimer: UUID,
    command_id: int,
    *,
    error: str,
    delay_seconds: float,
    dead_after_seconds: float,
) -> bool:
    """Let go of a command that could not be delivered; True when it is too old and is given up (kept for people)."""
    row = await session.execute(
        _POSTPONE,
        {
            "claimer": claimer,
            "id": command_id,
            "error": error,
            "delay_seconds": delay_seconds,
            "dead_after_seconds": dead_after_seconds,
        },
    )
    return bool(row.scalar_one_or_none())


async def backlog(session: Session) -> tuple[float, int]:
    """Age of the oldest command in seconds, and how many were given up."""
    row = (await session.execute(_OLDEST)).one()
    return row.age_seconds, row.dead
