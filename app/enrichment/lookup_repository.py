"""The SQL of a running job: plan, look up, settle.

Lock order in every transaction: job, answers, records, job's provider, balance last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson
from sqlalchemy import text

from app.db import Session
from app.enrichment.waterfall import StoredAnswer
from app.providers.ports import Entity


@dataclass(frozen=True, slots=True)
class RunningJob:
    """What a lookup must know of its job and its provider. `limited`: the hold does not cover the worst case;
    `own_credential`: calls are made with the workspace's own credential, or not at all."""

    finished: bool
    desired_state: str
    entity: Entity
    fields: tuple[str, ...]
    min_confidence: float
    on_outage: str
    max_wait_seconds: float
    limited: bool
    credit_cost: int
    own_credential: bool


@dataclass(slots=True)
class OpenRecord:
    """A record without a final status, and its answers so far in the order of the job's providers."""

    position: int
    subject_key: str
    subject: Mapping[str, str]
    answers: list[StoredAnswer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """An answer to store: one row of a flush."""

    position: int
    outcome: str
    reason: str | None
    found: Mapping[str, Any] | None
    credits: int
    tries: int
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class Ending:
    """The final status of a record."""

    position: int
    status: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush came to: (position, credits) of the new answers that cost something, and, where its answers ended
    a wait of the job for the provider, since when that was."""

    charged: Sequence[tuple[int, int]]
    parked_since: datetime | None


# Outcomes by which the provider is seen to be back.
_ANSWERED = frozenset({"found", "missed", "unreachable", "rejected"})

_BEGIN = text("""
    UPDATE enrichment_jobs
    SET status = CASE desired_state WHEN 'paused' THEN 'paused' ELSE 'running' END,
        started_at = coalesce(started_at, now()), alive_at = now(), run_id = coalesce(:run_id, run_id)
    WHERE id = :job_id AND finished_at IS NULL
    RETURNING desired_state, total, chunk, "window"
""")
_FIRST_OPEN = text("""
    SELECT position FROM enrichment_records WHERE job_id = :job_id AND status = 'pending' ORDER BY position LIMIT 1
""")

_JOB = text("""
    SELECT j.finished_at IS NOT NULL AS finished, j.desired_state, j.entity, j.fields, j.min_confidence, j.on_outage,
           j.max_wait_seconds, j.held < j.worst_case AS limited, p.credit_cost, p.own_credential
    FROM enrichment_jobs AS j JOIN enrichment_job_providers AS p ON p.job_id = j.id
    WHERE j.id = :job_id AND p.provider = :provider
""")
_OPEN_RECORDS = text("""
    SELECT position, subject_key, subject FROM enrichment_records
    WHERE job_id = :job_id AND position BETWEEN :first AND :last AND leader = position AND status = 'pending'
    ORDER BY position
""")
_ANSWERS = text("""
    SELECT a.position, a.provider, a.outcome, a.answered_at, a.found, a.credits, a.tries, a.reason
    FROM enrichment_answers AS a JOIN enrichment_job_providers AS p USING (job_id, provider)
    WHERE a.job_id = :job_id AND a.position BETWEEN :first AND :last
    ORDER BY a.position, p.position
""")

_LOCK = text("""
    SELECT finished_at IS NOT NULL AS finished, desired_state FROM enrichment_jobs WHERE id = :job_id
    FOR NO KEY UPDATE
""")
# One statement a flush: answers that are new (or end a retrying one), endings, counters. Rows come sorted by position.
# `first` and `last` bound what is looked at: a fresh job has no statistics, and without bounds the planner reads all
# of its open records at each flush.
_WRITE = text("""
    WITH new AS (
        INSERT INTO enrichment_answers AS a (workspace_id, job_id, position, provider, outcome, reason, found, credits,
                                             tries, answered_at)
        SELECT :workspace_id, :job_id, n.position, :provider, n.outcome, n.reason, n.found, n.credits, n.tries,
               n.answered_at
        FROM json_to_recordset(CAST(:answers AS json))
             AS n(position int, outcome text, reason text, found jsonb, credits int, tries smallint,
                  answered_at timestamptz)
        ON CONFLICT (job_id, position, provider) DO UPDATE
        SET outcome = excluded.outcome, reason = excluded.reason, found = excluded.found, credits = excluded.credits,
            tries = excluded.tries, answered_at = excluded.answered_at
        WHERE a.outcome = 'retrying'
        RETURNING a.position, a.outcome, a.credits
    ), ending AS (
        SELECT * FROM json_to_recordset(CAST(:endings AS json)) AS e(position int, status text, reason text)
    ), ended_leaders AS (
        UPDATE enrichment_records AS r SET status = e.status, reason = e.reason FROM ending AS e
        WHERE r.job_id = :job_id AND r.position = e.position AND r.position BETWEEN :first AND :last
          AND r.status = 'pending'
        RETURNING r.status
    ), ended_followers AS (
        UPDATE enrichment_records AS r SET status = e.status, reason = e.reason FROM ending AS e
        WHERE r.job_id = :job_id AND r.leader = e.position AND r.leader BETWEEN :first AND :last
          AND r.leader <> r.position AND r.status = 'pending'
        RETURNING r.status
    ), ended AS (
        SELECT status FROM ended_leaders UNION ALL SELECT status FROM ended_followers
    ), counted AS (
        UPDATE enrichment_jobs AS j
        SET matched = j.matched + c.matched, partial = j.partial + c.partial,
            not_found = j.not_found + c.not_found, failed = j.failed + c.failed,
            charged = j.charged + (SELECT coalesce(sum(credits), 0) FROM new),
            answered_at = now(), alive_at = now()
        FROM (SELECT count(*) FILTER (WHERE status = 'matched') AS matched,
                     count(*) FILTER (WHERE status = 'partial') AS partial,
                     count(*) FILTER (WHERE status = 'not_found') AS not_found,
                     count(*) FILTER (WHERE status = 'failed') AS failed
              FROM ended) AS c
        WHERE j.id = :job_id
    ), told AS (
        UPDATE enrichment_job_providers AS p
        SET calls = p.calls + :calls, errors = p.errors + :errors,
            matches = p.matches + (SELECT count(*) FROM new WHERE outcome = 'found'),
            waited_seconds = p.waited_seconds
                + CASE WHEN :answered_any THEN coalesce(extract(epoch FROM now() - p.waiting_since), 0) ELSE 0 END,
            parked_since = CASE WHEN :answered_any THEN NULL ELSE p.parked_since END,
            waiting_since = CASE WHEN :answered_any THEN NULL ELSE p.waiting_since END,
            waiting_until = CASE WHEN :answered_any THEN NULL ELSE p.waiting_until END
        FROM enrichment_job_providers AS before
        WHERE p.job_id = :job_id AND p.provider = :provider AND before.job_id = :job_id AND before.provider = :provider
        RETURNING before.parked_since
    )
    SELECT position, credits, NULL AS parked_since FROM new WHERE credits > 0
    UNION ALL
    SELECT NULL, NULL, parked_since FROM told WHERE :answered_any AND parked_since IS NOT NULL
    ORDER BY position
""")

_SETTLE_LOCK = text("""
    SELECT status, desired_state, held, charged, finished_at IS NOT NULL AS finished FROM enrichment_jobs
    WHERE id = :job_id FOR NO KEY UPDATE
""")
_END_OPEN_RECORDS = text("""
    UPDATE enrichment_records SET status = :status, reason = :reason WHERE job_id = :job_id AND status = 'pending'
""")
_FINISH = text("""
    UPDATE enrichment_jobs
    SET status = :status, error = :error, finished_at = now(), alive_at = now(),
        cancelled = cancelled + CASE WHEN :records = 'cancelled' THEN :ended ELSE 0 END,
        failed = failed + CASE WHEN :records = 'failed' THEN :ended ELSE 0 END
    WHERE id = :job_id
    RETURNING total, matched, partial, not_found, failed, cancelled, created_at, finished_at
""")
_DROP_RESERVATIONS = text("DELETE FROM enrichment_reservations WHERE job_id = :job_id")


@dataclass(frozen=True, slots=True)
class Begun:
    desired_state: Literal["running", "paused", "cancelled"]
    total: int
    chunk: int
    window: int


async def begin(session: Session, job_id: UUID, *, run_id: UUID | None) -> Begun | None:
    """Mark an unfinished job running (or paused, where that is wanted), by this workflow run where it is one; None for
    one that is finished or absent."""
    row = (await session.execute(_BEGIN, {"job_id": job_id, "run_id": run_id})).mappings().one_or_none()
    return Begun(**row) if row else None


async def first_open_position(session: Session, job_id: UUID) -> int | None:
    return (await session.execute(_FIRST_OPEN, {"job_id": job_id})).scalar_one_or_none()


async def running_job(session: Session, job_id: UUID, provider: str) -> RunningJob | None:
    row = (await session.execute(_JOB, {"job_id": job_id, "provider": provider})).mappings().one_or_none()
    return RunningJob(**{**row, "fields": tuple(row["fields"])}) if row else None


async def open_records(session: Session, job_id: UUID, first: int, last: int) -> list[OpenRecord]:
    """Leaders of the range that have no final status, with the answers that they have."""
    span = {"job_id": job_id, "first": first, "last": last}
    records = [OpenRecord(*row) for row in await session.execute(_OPEN_RECORDS, span)]
    by_position = {record.position: record for record in records}
    for position, *answer in await session.execute(_ANSWERS, span):
        if record := by_position.get(position):
            record.answers.append(StoredAnswer(*answer))
    return records


async def lock_job(session: Session, job_id: UUID) -> tuple[bool, str]:
    """Lock the job's row to the end of the transaction; whether it is finished, and its desired state."""
    row = (await session.execute(_LOCK, {"job_id": job_id})).one()
    return row.finished, row.desired_state


async def write_flush(
    session: Session,
    *,
    workspace_id: UUID,
    job_id: UUID,
    provider: str,
    answers: Sequence[NewAnswer],
    endings: Sequence[Ending],
    calls: int,
    errors: int,
) -> Flushed:
    """Store answers, endings and counters.

    What ends a leader ends its followers, wherever they are.
    """
    answers = sorted(answers, key=lambda answer: answer.position)
    endings = sorted(endings, key=lambda ending: ending.position)
    rows = await session.execute(
        _WRITE,
        {
            "workspace_id": workspace_id,
            "job_id": job_id,
            "provider": provider,
            "first": endings[0].position if endings else 0,
            "last": endings[-1].position if endings else 0,
            # One JSON text a set of rows: psycopg escapes the elements of an array one by one, in Python.
            "answers": orjson.dumps(answers).decode(),
            "endings": orjson.dumps(endings).decode(),
            "calls": calls,
            "errors": errors,
            "answered_any": any(answer.outcome in _ANSWERED for answer in answers),
        },
    )
    charged, parked_since = [], None
    for row in rows:
        if row.position is None:
            parked_since = row.parked_since
        else:
            charged.append((row.position, row.credits))
    return Flushed(charged, parked_since)


@dataclass(frozen=True, slots=True)
class Settling:
    status: str
    desired_state: str
    held: int
    charged: int
    finished: bool


async def lock_for_settling(session: Session, job_id: UUID) -> Settling:
    return Settling(**(await session.execute(_SETTLE_LOCK, {"job_id": job_id})).mappings().one())


async def end_open_records(session: Session, job_id: UUID, status: str, reason: str | None) -> int:
    """Give every record without a final status this one; return how many there were."""
    ended = await session.execute(_END_OPEN_RECORDS, {"job_id": job_id, "status": status, "reason": reason})
    return ended.rowcount


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """How many records of the job ended how, and when."""

    total: int
    matched: int
    partial: int
    not_found: int
    failed: int
    cancelled: int
    created_at: datetime
    finished_at: datetime


async def finish(
    session: Session, job_id: UUID, *, status: str, error: str | None, records: str, ended: int
) -> FinishedJob:
    """Mark the job finished, `ended` of whose records were just ended as `records` says."""
    finished = await session.execute(
        _FINISH, {"job_id": job_id, "status": status, "error": error, "records": records, "ended": ended}
    )
    await session.execute(_DROP_RESERVATIONS, {"job_id": job_id})
    return FinishedJob(**finished.mappings().one())


# A lookup's row is replaced, not added to: it always says what that lookup may still charge.
_RESERVE = text("""
    WITH job AS (
        SELECT workspace_id, held - charged AS left_over FROM enrichment_jobs WHERE id = :job_id
    ), others AS (
        SELECT coalesce(sum(credits), 0) AS credits FROM enrichment_reservations
        WHERE job_id = :job_id AND (provider, first) <> (:provider, :first)
    ), own AS (
        INSERT INTO enrichment_reservations (workspace_id, job_id, provider, first, credits)
        SELECT job.workspace_id, :job_id, :provider, :first,
               greatest(least(:wanted, job.left_over - others.credits), 0)
        FROM job, others
        ON CONFLICT (job_id, provider, first) DO UPDATE SET credits = excluded.credits
        RETURNING credits
    )
    SELECT own.credits, others.credits FROM own, others
""")
_SPEND = text("""
    UPDATE enrichment_reservations SET credits = credits - :credits
    WHERE job_id = :job_id AND provider = :provider AND first = :first
""")
_DROP = text("""
    DELETE FROM enrichment_reservations WHERE job_id = :job_id AND provider = :provider AND first = :first
""")


async def reserve(session: Session, job_id: UUID, provider: str, first: int, wanted: int) -> tuple[int, int]:
    """Make this lookup's reservation up to `wanted` credits; return it, and what other lookups have reserved."""
    await lock_job(session, job_id)
    key = {"job_id": job_id, "provider": provider, "first": first}
    own, others = (await session.execute(_RESERVE, {**key, "wanted": wanted})).one()
    return int(own), int(others)


async def spend_reserved(session: Session, job_id: UUID, provider: str, first: int, credits: int) -> None:
    await session.execute(_SPEND, {"job_id": job_id, "provider": provider, "first": first, "credits": credits})


async def drop_reservation(session: Session, job_id: UUID, provider: str, first: int) -> None:
    await session.execute(_DROP, {"job_id": job_id, "provider": provider, "first": first})


# A command on its way is a sign of life of its own: the relay has it.
_CLAIM_SILENT = text("""
    UPDATE enrichment_jobs SET alive_at = now()
    WHERE id IN (
        SELECT j.id FROM enrichment_jobs AS j
        WHERE j.finished_at IS NULL AND j.alive_at < now() - make_interval(secs => :seconds)
          AND NOT EXISTS (SELECT FROM outbox_commands AS c
                          WHERE c.workflow_id = 'enrichment-job/' || j.id AND c.dead_at IS NULL)
        ORDER BY j.alive_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING workspace_id, id
""")
_UNFINISHED_TOTAL = text("SELECT total FROM enrichment_jobs WHERE id = :job_id AND finished_at IS NULL")


async def claim_silent_jobs(session: Session, *, seconds: float, limit: int) -> list[tuple[UUID, UUID]]:
    """(workspace, job) of unfinished jobs that were silent for so long; each counts as alive from now on."""
    rows = await session.execute(_CLAIM_SILENT, {"seconds": seconds, "limit": limit})
    return [(row.workspace_id, row.id) for row in rows]


async def unfinished_total(session: Session, job_id: UUID) -> int | None:
    """How many records the job has; None once it is finished."""
    return (await session.execute(_UNFINISHED_TOTAL, {"job_id": job_id})).scalar_one_or_none()
