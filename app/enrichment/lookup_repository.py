"""The SQL of a running job: plan and look up.

Lock order in every transaction: job, answers, records, job's provider, dead letters, outbox, balance last.
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
from app.providers.ports import EnrichmentSource, Entity


@dataclass(frozen=True, slots=True)
class RunningJob:
    """What a lookup must know of its job and its provider, which is the `order`-th of the job. `limited`: the hold does
    not cover the worst case; `own_credential`: calls are made with the workspace's own credential, or not at all.
    `verifier`: who verifies the e-mail addresses that are found, with the workspace's own credential where
    `verifier_own_credential`."""

    finished: bool
    desired_state: str
    total: int
    entity: Entity
    fields: tuple[str, ...]
    min_confidence: float
    on_outage: str
    max_wait_seconds: float
    limited: bool
    max_credits_per_record: int | None
    reuse_within_seconds: float
    credit_cost: int
    own_credential: bool
    order: int
    verifier: str | None
    verifier_cost: int
    verifier_own_credential: bool

    def fillable(self, source: EnrichmentSource) -> frozenset[str]:
        """The wanted fields that the provider can fill."""
        return frozenset(source.capabilities.fields.get(self.entity, ())) & frozenset(self.fields)

    def price(self, source: EnrichmentSource) -> int:
        """The credits that an answer of the provider costs at the most, with the check of the address in it."""
        return self.credit_cost + (self.verifier_cost if "email" in self.fillable(source) else 0)


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
    handle: str | None
    poll_at: datetime | None
    reused_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ending:
    """The final status of a record."""

    position: int
    status: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A record that got its final status."""

    position: int
    key: str
    status: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush came to: (position, credits) of the new answers that cost something; the records that ended, if only
    those that failed; and, where its answers ended a wait of the job for the provider, since when that was."""

    charged: Sequence[tuple[int, int]]
    ended: Sequence[Ended]
    parked_since: datetime | None


# Outcomes by which the provider is seen to be back.
_ANSWERED = frozenset({"found", "missed", "unreachable", "rejected", "pending", "unverified"})

# Its turn has come where fewer large jobs of the workspace are under way, or were there before and are still to begin.
# One that waits for a provider keeps nobody from working.
_BEGIN = text("""
    WITH turn AS (
        SELECT j.id, j.desired_state <> 'running' OR j.status = 'running' OR j.total <= :small OR (
                   SELECT count(*) FROM enrichment_jobs AS o
                   WHERE o.workspace_id = j.workspace_id AND o.finished_at IS NULL AND o.id <> j.id AND o.total > :small
                     AND (o.status = 'queued' AND o.id < j.id AND o.desired_state = 'running'
                          OR o.status = 'running' AND NOT EXISTS (
                              SELECT FROM enrichment_job_providers AS p
                              WHERE p.job_id = o.id AND p.waiting_until > now()))
               ) < :most AS has_come
        FROM enrichment_jobs AS j WHERE j.id = :job_id
    )
    UPDATE enrichment_jobs AS j
    SET status = CASE WHEN j.desired_state = 'paused' THEN 'paused' WHEN turn.has_come THEN 'running' ELSE 'queued' END,
        started_at = CASE WHEN turn.has_come THEN coalesce(j.started_at, now()) ELSE j.started_at END,
        alive_at = now(), run_id = coalesce(:run_id, j.run_id)
    FROM turn
    WHERE j.id = turn.id AND j.finished_at IS NULL
    RETURNING CASE WHEN turn.has_come THEN j.desired_state ELSE 'queued' END AS desired, j.total, j.chunk, j."window"
""")
# Those that have asked for their turn, which a job has not that is only submitted. Two, since another job may end in
# the same moment and see the same.
_NEXT = text("""
    SELECT id FROM enrichment_jobs
    WHERE finished_at IS NULL AND status = 'queued' AND desired_state = 'running' AND run_id IS NOT NULL
    ORDER BY id LIMIT 2
""")
_FIRST_OPEN = text("""
    SELECT position FROM enrichment_records WHERE job_id = :job_id AND status = 'pending' ORDER BY position LIMIT 1
""")

# A job of one record needs no plan, and begins here.
_JOB = text("""
    WITH begun AS (
        UPDATE enrichment_jobs
        SET status = 'running', started_at = coalesce(started_at, now()), alive_at = now(),
            run_id = coalesce(:run_id, run_id)
        WHERE id = :job_id AND status = 'queued' AND desired_state = 'running' AND finished_at IS NULL AND total = 1
    )
    SELECT j.finished_at IS NOT NULL AS finished, j.desired_state, j.total, j.entity, j.fields, j.min_confidence,
           j.on_outage, j.max_wait_seconds, j.held < j.worst_case AS limited, j.max_credits_per_record,
           j.reuse_within_seconds, p.credit_cost, p.own_credential, p.position AS "order", v.provider AS verifier,
           coalesce(v.credit_cost, 0) AS verifier_cost, coalesce(v.own_credential, false) AS verifier_own_credential
    FROM enrichment_jobs AS j JOIN enrichment_job_providers AS p ON p.job_id = j.id
         LEFT JOIN enrichment_job_providers AS v ON v.job_id = j.id AND v.verifies
    WHERE j.id = :job_id AND p.provider = :provider
""")
_OPEN_RECORDS = text("""
    SELECT position, subject_key, subject FROM enrichment_records
    WHERE job_id = :job_id AND position BETWEEN :first AND :last AND leader = position AND status = 'pending'
    ORDER BY position
""")
_ANSWERS = text("""
    SELECT a.position, a.provider, a.outcome, a.answered_at, a.found, a.credits, a.tries, a.reason,
           p.position AS "order", a.handle, a.poll_at, a.reused_at, a.run_id
    FROM enrichment_answers AS a JOIN enrichment_job_providers AS p USING (job_id, provider)
    WHERE a.job_id = :job_id AND a.position BETWEEN :first AND :last
    ORDER BY a.position, p.position
""")

_LOCK = text("""
    SELECT finished_at IS NOT NULL AS finished, desired_state FROM enrichment_jobs WHERE id = :job_id
    FOR NO KEY UPDATE
""")
# One statement a flush: answers that are new (or follow one that was not final), endings, counters. Rows come sorted by
# position. Of a pending answer `answered_at` is when it was first asked for; what was bought is never forgotten for a
# call that failed.
# `first` and `last` bound what is looked at: a fresh job has no statistics, and without bounds the planner reads all
# of its open records at each flush.
_WRITE = text("""
    WITH new AS (
        INSERT INTO enrichment_answers AS a (workspace_id, job_id, position, provider, outcome, reason, found, credits,
                                             tries, answered_at, handle, poll_at, reused_at, run_id)
        SELECT :workspace_id, :job_id, n.position, :provider, n.outcome, n.reason, n.found, n.credits, n.tries,
               n.answered_at, n.handle, n.poll_at, n.reused_at, :run_id
        FROM json_to_recordset(CAST(:answers AS json))
             AS n(position int, outcome text, reason text, found jsonb, credits int, tries smallint,
                  answered_at timestamptz, handle text, poll_at timestamptz, reused_at timestamptz)
        ON CONFLICT (job_id, position, provider) DO UPDATE
        SET outcome = excluded.outcome, reason = excluded.reason, found = excluded.found, credits = excluded.credits,
            tries = excluded.tries, handle = excluded.handle, poll_at = excluded.poll_at,
            reused_at = excluded.reused_at, run_id = excluded.run_id,
            answered_at = CASE WHEN a.outcome = 'pending' AND excluded.outcome = 'pending' THEN a.answered_at
                               ELSE excluded.answered_at END
        WHERE a.outcome = 'retrying' OR a.outcome IN ('pending', 'unverified') AND excluded.outcome <> 'retrying'
        RETURNING a.position, a.outcome, a.credits, a.reused_at
    ), ending AS (
        SELECT * FROM json_to_recordset(CAST(:endings AS json)) AS e(position int, status text, reason text)
    ), ended_leaders AS (
        UPDATE enrichment_records AS r SET status = e.status, reason = e.reason FROM ending AS e
        WHERE r.job_id = :job_id AND r.position = e.position AND r.position BETWEEN :first AND :last
          AND r.status = 'pending'
        RETURNING r.position, r.key, r.status, r.reason
    ), ended_followers AS (
        UPDATE enrichment_records AS r SET status = e.status, reason = e.reason FROM ending AS e
        WHERE r.job_id = :job_id AND r.leader = e.position AND r.leader BETWEEN :first AND :last
          AND r.leader <> r.position AND r.status = 'pending'
        RETURNING r.position, r.key, r.status, r.reason
    ), ended AS (
        SELECT * FROM ended_leaders UNION ALL SELECT * FROM ended_followers
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
            reused = p.reused + (SELECT count(*) FROM new WHERE reused_at IS NOT NULL AND outcome <> 'unverified'),
            waited_seconds = p.waited_seconds
                + CASE WHEN :answered_any THEN coalesce(extract(epoch FROM now() - p.waiting_since), 0) ELSE 0 END,
            parked_since = CASE WHEN :answered_any THEN NULL ELSE p.parked_since END,
            waiting_since = CASE WHEN :answered_any THEN NULL ELSE p.waiting_since END,
            waiting_until = CASE WHEN :answered_any THEN NULL ELSE p.waiting_until END
        FROM enrichment_job_providers AS before
        WHERE p.job_id = :job_id AND p.provider = :provider AND before.job_id = :job_id AND before.provider = :provider
        RETURNING before.parked_since
    )
    SELECT position, credits, NULL AS parked_since, NULL AS key, NULL AS status, NULL AS reason FROM new
    WHERE credits > 0
    UNION ALL
    SELECT NULL, NULL, parked_since, NULL, NULL, NULL FROM told WHERE :answered_any AND parked_since IS NOT NULL
    UNION ALL
    SELECT position, NULL, NULL, key, status, reason FROM ended WHERE status = 'failed' OR :tell_all
    ORDER BY position
""")


@dataclass(frozen=True, slots=True)
class Begun:
    desired: Literal["running", "paused", "cancelled", "queued"]
    total: int
    chunk: int
    window: int


async def begin(session: Session, job_id: UUID, *, run_id: UUID | None, most: int, small: int) -> Begun | None:
    """Mark an unfinished job running (or paused, where that is wanted), by this workflow run where it is one; None for
    one that is finished or absent. It stays queued where `most` jobs of the workspace with more than `small` records
    are under way, unless it is as small itself."""
    row = await session.execute(_BEGIN, {"job_id": job_id, "run_id": run_id, "most": most, "small": small})
    begun = row.mappings().one_or_none()
    return Begun(**begun) if begun else None


async def next_in_turn(session: Session) -> Sequence[UUID]:
    """The jobs of the session's workspace that have waited longest for their turn."""
    return (await session.execute(_NEXT)).scalars().all()


_PROVIDERS = text("""
    SELECT provider FROM enrichment_job_providers WHERE job_id = :job_id AND NOT verifies ORDER BY position
""")


async def providers(session: Session, job_id: UUID) -> tuple[str, ...]:
    """Whom to ask about the records of the job, in order."""
    return tuple((await session.execute(_PROVIDERS, {"job_id": job_id})).scalars())


async def first_open_position(session: Session, job_id: UUID) -> int | None:
    return (await session.execute(_FIRST_OPEN, {"job_id": job_id})).scalar_one_or_none()


async def running_job(session: Session, job_id: UUID, provider: str, *, run_id: UUID | None) -> RunningJob | None:
    """None for one that is absent. One that nobody planned is marked running, by this workflow run where it is one."""
    values = {"job_id": job_id, "provider": provider, "run_id": run_id}
    row = (await session.execute(_JOB, values)).mappings().one_or_none()
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
    run_id: UUID | None,
    tell_all: bool,
) -> Flushed:
    """Store answers, endings and counters; `tell_all` records that ended, or those that failed.

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
            "run_id": run_id,
            "tell_all": tell_all,
            "answered_any": any(answer.outcome in _ANSWERED and not answer.reused_at for answer in answers),
        },
    )
    charged, ended, parked_since = [], [], None
    for row in rows:
        if row.position is None:
            parked_since = row.parked_since
        elif row.status is not None:
            ended.append(Ended(row.position, row.key, row.status, row.reason))
        else:
            charged.append((row.position, row.credits))
    return Flushed(charged, ended, parked_since)


_COUNT_VERIFICATIONS = text("""
    UPDATE enrichment_job_providers SET calls = calls + :calls, errors = errors + :errors, matches = matches + :passed
    WHERE job_id = :job_id AND provider = :provider
""")


async def count_verifications(
    session: Session, job_id: UUID, provider: str, *, calls: int, errors: int, passed: int
) -> None:
    """Add to what the job's verifier has done."""
    counts = {"calls": calls, "errors": errors, "passed": passed}
    await session.execute(_COUNT_VERIFICATIONS, {"job_id": job_id, "provider": provider, **counts})
