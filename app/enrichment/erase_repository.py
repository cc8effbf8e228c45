"""The SQL of erasing somebody from jobs.

Lock order as in every transaction of a job: job, answers, records, job's provider; the erasure's own row last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from app.db import Session
from app.enrichment.traces import TracedAnswer, TracedRecord
from app.providers.ports import Entity


@dataclass(frozen=True, slots=True)
class Job:
    id: UUID
    entity: Entity
    total: int


@dataclass(frozen=True, slots=True)
class Span:
    """Records of a job, by position."""

    job_id: UUID
    first: int
    last: int


# With `since` those alone of which something may have been written after that.
_JOBS = text("""
    SELECT id, entity, total FROM enrichment_jobs
    WHERE id >= :first
      AND (CAST(:since AS timestamptz) IS NULL OR finished_at IS NULL OR finished_at >= CAST(:since AS timestamptz))
    ORDER BY id LIMIT :limit
""")
_HAS_RUN_SINCE = text("""
    SELECT EXISTS (SELECT FROM enrichment_jobs WHERE finished_at IS NULL OR finished_at >= :since)
""")
_SPANS = """
    unnest(CAST(:jobs AS uuid[]), CAST(:firsts AS int[]), CAST(:lasts AS int[])) AS s(job_id, first, last)
"""
# Coarse: who is really meant is looked at one by one.
_SUSPECTS = text(f"""
    SELECT r.job_id, r.position
    FROM {_SPANS} JOIN enrichment_records AS r ON r.job_id = s.job_id AND r.position BETWEEN s.first AND s.last
    WHERE lower(concat_ws(' ', r.key, r.subject_key, r.subject, r.input, r.error)) LIKE ANY (CAST(:like AS text[]))
       OR EXISTS (SELECT FROM enrichment_answers AS a
                  WHERE a.job_id = r.job_id AND a.position = r.leader
                    AND lower(concat_ws(' ', a.found, a.handle)) LIKE ANY (CAST(:like AS text[])))
    ORDER BY r.job_id, r.position
""")
_SUSPECT_JOBS = text("""
    SELECT j.id FROM enrichment_jobs AS j
    WHERE j.id = ANY(CAST(:jobs AS uuid[]))
      AND (lower(array_to_string(j.columns, ' ')) LIKE ANY (CAST(:like AS text[]))
           OR EXISTS (SELECT FROM enrichment_job_providers AS p
                      WHERE p.job_id = j.id AND lower(p.last_error) LIKE ANY (CAST(:like AS text[]))))
    ORDER BY j.id
""")
_LOCK = text("""
    SELECT finished_at IS NULL AS is_running, columns FROM enrichment_jobs WHERE id = :job_id FOR NO KEY UPDATE
""")
_SET_COLUMNS = text("UPDATE enrichment_jobs SET columns = :columns WHERE id = :job_id")
_CLEAR_ERRORS = text("""
    UPDATE enrichment_job_providers SET last_error = NULL
    WHERE job_id = :job_id AND lower(last_error) LIKE ANY (CAST(:like AS text[]))
""")
_RECORDS = text("""
    SELECT r.position, r.leader, r.key, r.input, r.subject, r.error,
           (SELECT json_agg(json_build_array(a.provider, coalesce(a.found, '{}'), a.handle) ORDER BY a.provider)
            FROM enrichment_answers AS a WHERE a.job_id = r.job_id AND a.position = r.leader) AS answers
    FROM enrichment_records AS r
    WHERE r.job_id = :job_id AND r.position = ANY(CAST(:positions AS int[]))
    ORDER BY r.position
""")
# Other records of the same subject, and those that lead them.
_FOLLOWERS = "leader = ANY(CAST(:leaders AS int[])) AND leader <> position"
_LEADERS = "position = ANY(CAST(:leaders AS int[]))"
_ERASE_RECORDS = """
    WITH doomed AS (
        SELECT position, status FROM enrichment_records
        WHERE job_id = :job_id AND {} AND reason IS DISTINCT FROM :erased ORDER BY position LIMIT :limit
    ), erased AS (
        UPDATE enrichment_records AS r
        SET key = :erased || '-' || gen_random_uuid(), input = '{{}}', subject = NULL, subject_key = NULL, error = NULL,
            status = CASE d.status WHEN 'pending' THEN 'failed' ELSE d.status END, reason = :erased
        FROM doomed AS d WHERE r.job_id = :job_id AND r.position = d.position
        RETURNING d.status
    ), counted AS (
        UPDATE enrichment_jobs AS j SET failed = j.failed + c.ended
        FROM (SELECT count(*) AS ended FROM erased WHERE status = 'pending') AS c
        WHERE j.id = :job_id AND c.ended > 0
    )
    SELECT count(*) FROM erased
"""
_ERASE_FOLLOWERS = text(_ERASE_RECORDS.format(_FOLLOWERS))
_ERASE_LEADERS = text(_ERASE_RECORDS.format(_LEADERS))
# What the answers cost stays. One that is not final gets an end, so that the call on its way adds nothing to it.
_ERASE_ANSWERS = text("""
    WITH doomed AS (
        SELECT a.position, a.provider, a.outcome, coalesce(a.found, '{}') <> '{}' AS had_values,
               r.subject_key IS NOT NULL AND a.outcome IN ('found', 'missed', 'unreachable') AS was_reusable
        FROM enrichment_answers AS a JOIN enrichment_records AS r USING (job_id, position)
        WHERE a.job_id = :job_id AND a.position = ANY(CAST(:leaders AS int[]))
        ORDER BY a.position, a.provider FOR NO KEY UPDATE OF a
    ), erased AS (
        UPDATE enrichment_answers AS a
        SET found = CASE WHEN a.found IS NOT NULL THEN CAST('{}' AS jsonb) END, handle = NULL, poll_at = NULL,
            outcome = CASE WHEN d.outcome IN ('retrying', 'pending', 'unverified') THEN 'gave_up' ELSE d.outcome END,
            reason = CASE WHEN d.outcome IN ('retrying', 'pending', 'unverified') THEN :erased END
        FROM doomed AS d WHERE a.job_id = :job_id AND a.position = d.position AND a.provider = d.provider
    )
    SELECT count(*) FILTER (WHERE had_values) AS results, count(*) FILTER (WHERE was_reusable) AS reuse FROM doomed
""")
# In place of answers to calls that are on their way: the first answer of a provider about a record stays.
_FORESTALL_ANSWERS = text("""
    INSERT INTO enrichment_answers (workspace_id, job_id, position, provider, outcome, reason, answered_at)
    SELECT p.workspace_id, p.job_id, leader, p.provider, 'gave_up', :erased, now()
    FROM unnest(CAST(:leaders AS int[])) AS leader, enrichment_job_providers AS p WHERE p.job_id = :job_id
    ORDER BY leader, p.provider
    ON CONFLICT DO NOTHING
""")
_DROP_CLAIMS = text("""
    DELETE FROM enrichment_claims WHERE job_id = :job_id AND position = ANY(CAST(:leaders AS int[]))
""")
_CLAIMS = text("""
    SELECT provider, subject_key FROM enrichment_claims
    WHERE workspace_id = :workspace_id AND lower(subject_key) LIKE ANY (CAST(:like AS text[]))
    ORDER BY provider, subject_key
""")
_DROP_CLAIM = text("""
    DELETE FROM enrichment_claims
    WHERE workspace_id = :workspace_id AND provider = :provider AND subject_key = :subject_key
""")
_CHANGE_RECORDS = text("""
    UPDATE enrichment_records AS r
    SET input = c.input, error = c.error,
        key = CASE WHEN c.rekey THEN :erased || '-' || gen_random_uuid() ELSE r.key END
    FROM json_to_recordset(CAST(:changes AS json)) AS c(position int, input json, error jsonb, rekey bool)
    WHERE r.job_id = :job_id AND r.position = c.position
""")
_CHANGE_ANSWERS = text("""
    UPDATE enrichment_answers AS a SET found = c.found
    FROM json_to_recordset(CAST(:changes AS json)) AS c(position int, provider text, found jsonb)
    WHERE a.job_id = :job_id AND a.position = c.position AND a.provider = c.provider
""")

_RAW_PAGE = text("""
    SELECT id, job_id, first, last, body FROM enrichment_raw_answers
    WHERE workspace_id = :workspace_id AND id > :after
      AND (CAST(:since AS timestamptz) IS NULL OR created_at >= CAST(:since AS timestamptz))
    ORDER BY id LIMIT :limit
""")
_ERASED_POSITIONS = text(f"""
    SELECT DISTINCT r.job_id, r.position
    FROM {_SPANS} JOIN enrichment_records AS r ON r.job_id = s.job_id AND r.position BETWEEN s.first AND s.last
    WHERE r.reason = :erased
""")
_LOCK_RAW = text("""
    SELECT body FROM enrichment_raw_answers WHERE workspace_id = :workspace_id AND id = :id FOR UPDATE
""")
_CHANGE_RAW = text("UPDATE enrichment_raw_answers SET body = :body WHERE workspace_id = :workspace_id AND id = :id")
_DROP_RAW = text("DELETE FROM enrichment_raw_answers WHERE workspace_id = :workspace_id AND id = :id")


async def jobs(session: Session, *, first: UUID, since: datetime | None, limit: int) -> list[Job]:
    """Jobs of the session's workspace in order of id, from `first` on; with `since` those that have run since then."""
    rows = await session.execute(_JOBS, {"first": first, "since": since, "limit": limit})
    return [Job(*row) for row in rows]


async def has_run_since(session: Session, moment: datetime) -> bool:
    """Whether a job of the session's workspace runs, or has ended since then."""
    return bool((await session.execute(_HAS_RUN_SINCE, {"since": moment})).scalar_one())


async def suspects(session: Session, spans: Sequence[Span], like: list[str]) -> dict[UUID, list[int]]:
    """By job the positions of records that may mention what the patterns are of; a job that itself may is there too."""
    found: dict[UUID, list[int]] = {}
    for job_id, position in await session.execute(_SUSPECTS, {**_bounds(spans), "like": like}):
        found.setdefault(job_id, []).append(position)
    jobs = [span.job_id for span in spans]
    for job_id in (await session.execute(_SUSPECT_JOBS, {"jobs": jobs, "like": like})).scalars():
        found.setdefault(job_id, [])
    return found


async def lock_job(session: Session, job_id: UUID) -> tuple[bool, Sequence[str]]:
    """Lock the job's row to the end of the transaction; whether it has not ended, and the columns of its input."""
    row = (await session.execute(_LOCK, {"job_id": job_id})).one()
    return row.is_running, row.columns


async def clear_job(session: Session, job_id: UUID, columns: Sequence[str] | None, like: list[str]) -> None:
    """Give the job these columns, unless None, and forget errors that may mention what the patterns are of."""
    if columns is not None:
        await session.execute(_SET_COLUMNS, {"job_id": job_id, "columns": list(columns)})
    await session.execute(_CLEAR_ERRORS, {"job_id": job_id, "like": like})


async def records(session: Session, job_id: UUID, positions: Sequence[int]) -> list[TracedRecord]:
    """Those records, in order."""
    rows = await session.execute(_RECORDS, {"job_id": job_id, "positions": list(positions)})
    return [
        TracedRecord(
            row.position,
            row.leader,
            row.key,
            row.input,
            row.subject,
            row.error,
            [TracedAnswer(*answer) for answer in row.answers or ()],
        )
        for row in rows
    ]


async def erase_followers(session: Session, job_id: UUID, leaders: Sequence[int], *, erased: str, limit: int) -> int:
    """Blank up to `limit` records that share the answers of these leaders, and end those that have no end; how many.

    By the answers of their leaders they were found: those go last.
    """
    values = {"job_id": job_id, "leaders": list(leaders), "erased": erased, "limit": limit}
    return int((await session.execute(_ERASE_FOLLOWERS, values)).scalar_one())


@dataclass(frozen=True, slots=True)
class LeadersErased:
    """How many records there were, and of their answers: how many had values, and might have been reused."""

    records: int
    results: int
    reuse: int


async def erase_leaders(
    session: Session, job_id: UUID, leaders: Sequence[int], *, erased: str, forestall: bool
) -> LeadersErased:
    """Blank these records and the answers about them, and end those that have no end; with `forestall` an answer that
    is on its way is not taken."""
    values = {"job_id": job_id, "leaders": list(leaders), "erased": erased}
    answers = (await session.execute(_ERASE_ANSWERS, values)).one()
    if forestall:
        await session.execute(_FORESTALL_ANSWERS, values)
    records = (await session.execute(_ERASE_LEADERS, {**values, "limit": len(leaders)})).scalar_one()
    await session.execute(_DROP_CLAIMS, {"job_id": job_id, "leaders": list(leaders)})
    return LeadersErased(records, answers.results, answers.reuse)


async def claimed(session: Session, workspace_id: UUID, like: list[str]) -> list[tuple[str, str]]:
    """(provider, subject key) of claims that may mention what the patterns are of."""
    rows = await session.execute(_CLAIMS, {"workspace_id": workspace_id, "like": like})
    return [(row.provider, row.subject_key) for row in rows]


async def drop_claim(session: Session, workspace_id: UUID, provider: str, subject_key: str) -> None:
    values = {"workspace_id": workspace_id, "provider": provider, "subject_key": subject_key}
    await session.execute(_DROP_CLAIM, values)


async def change_records(session: Session, job_id: UUID, changes: Sequence[Mapping[str, Any]], *, erased: str) -> None:
    """Write `input` and `error` of the records at `position`; another key where `rekey`."""
    values = {"job_id": job_id, "changes": orjson.dumps(changes).decode(), "erased": erased}
    await session.execute(_CHANGE_RECORDS, values)


async def change_answers(session: Session, job_id: UUID, changes: Sequence[Mapping[str, Any]]) -> None:
    """Write what was `found` by the `provider` at `position`."""
    await session.execute(_CHANGE_ANSWERS, {"job_id": job_id, "changes": orjson.dumps(changes).decode()})


@dataclass(frozen=True, slots=True)
class RawBatch:
    """A row of raw answers, packed."""

    id: UUID
    job_id: UUID
    first: int
    last: int
    body: bytes


async def raw_page(
    session: Session, workspace_id: UUID, *, after: UUID, since: datetime | None, limit: int
) -> list[RawBatch]:
    """Raw answers in order of id, those behind `after`; with `since` those that were kept since then."""
    values = {"workspace_id": workspace_id, "after": after, "since": since, "limit": limit}
    return [RawBatch(*row) for row in await session.execute(_RAW_PAGE, values)]


async def erased_positions(session: Session, spans: Sequence[Span], *, erased: str) -> set[tuple[UUID, int]]:
    """(job, position) of the records of these spans that were erased."""
    rows = await session.execute(_ERASED_POSITIONS, {**_bounds(spans), "erased": erased})
    return {(row.job_id, row.position) for row in rows}


async def lock_raw(session: Session, workspace_id: UUID, batch_id: UUID) -> bytes | None:
    """The body, which nobody else changes in this transaction; None where it was swept meanwhile."""
    values = {"workspace_id": workspace_id, "id": batch_id}
    body: bytes | None = (await session.execute(_LOCK_RAW, values)).scalar_one_or_none()
    return body


async def change_raw(session: Session, workspace_id: UUID, batch_id: UUID, body: bytes | None) -> None:
    """Write the body; None drops the row."""
    values = {"workspace_id": workspace_id, "id": batch_id}
    if body is None:
        await session.execute(_DROP_RAW, values)
    else:
        await session.execute(_CHANGE_RAW, {**values, "body": body})


def _bounds(spans: Sequence[Span]) -> dict[str, list[Any]]:
    return {
        "jobs": [span.job_id for span in spans],
        "firsts": [span.first for span in spans],
        "lasts": [span.last for span in spans],
    }
