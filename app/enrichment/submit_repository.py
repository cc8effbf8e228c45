"""The SQL of a new job: its rows are staged by COPY, or from an older job, then inserted in one statement.

COPY into a table with row-level security is refused by PostgreSQL, hence the temporary table.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import orjson
import psycopg
from sqlalchemy import text

from app.db import Session
from app.enrichment.intake import INVALID_INPUT, InputRow
from app.enrichment.options import Choice, JobOptions
from app.errors import Unavailable
from app.settings import EnrichmentSettings

# How many pairs of rows with the same key are told.
_DUPLICATES_TOLD = 20

# Fewer rows need no statistics to be grouped well.
_WORTH_ANALYZING = 1000

# `inputs` are the names of the subject's members, sorted and joined by commas: the price of a lookup depends on them.
# Collation C: these columns are grouped, never shown in order. Once a connection: made for each request, its rows in
# the catalogue would cost more than a small job does.
_CREATE_STAGE = text("""
    CREATE TEMPORARY TABLE staged_records (
        position integer NOT NULL, key text COLLATE "C" NOT NULL, input json NOT NULL, subject json,
        subject_key text COLLATE "C", inputs text COLLATE "C", error jsonb
    ) ON COMMIT DELETE ROWS
""")
# A million rows take longer than what a statement of a request may take.
_TAKE_TIME = text("""
    SELECT set_config('statement_timeout', '15min', true), to_regclass('pg_temp.staged_records') IS NOT NULL AS is_made
""")
_COPY = "COPY staged_records (position, key, input, subject, subject_key, inputs, error) FROM STDIN"
_ANALYZE = text("ANALYZE staged_records (position, key, subject_key)")
_SUMMARY = text("""
    SELECT count(*) AS total, count(*) FILTER (WHERE subject_key IS NULL) AS invalid,
           (SELECT json_object_agg(inputs, records)
            FROM (SELECT inputs, count(*) AS records
                  FROM (SELECT DISTINCT ON (subject_key) inputs FROM staged_records WHERE subject_key IS NOT NULL
                        ORDER BY subject_key, position) AS leaders
                  GROUP BY inputs) AS same_inputs) AS leaders,
           (SELECT json_agg(json_build_array(first, second))
            FROM (SELECT min(position) AS first, (array_agg(position ORDER BY position))[2] AS second
                  FROM staged_records GROUP BY key HAVING count(*) > 1 ORDER BY first LIMIT :limit) AS same_keys
           ) AS duplicates
    FROM staged_records
""")
# One statement, for one record as for a million: of a single one, for which somebody waits, each more costs as much.
_INSERT_JOB = text("""
    WITH job AS (
        INSERT INTO enrichment_jobs (workspace_id, id, retry_of, entity, columns, fields, on_outage, max_wait_seconds,
                                     max_credits, min_confidence, reuse_within_seconds, max_credits_per_record, chunk,
                                     "window", total, failed, held, worst_case)
        VALUES (:workspace_id, :job_id, :retry_of, :entity, :columns, :fields, :on_outage, :max_wait_seconds,
                :max_credits, :min_confidence, :reuse_within_seconds, :max_credits_per_record, :chunk, :window, :total,
                :failed, :held, :worst_case)
    ), providers AS (
        INSERT INTO enrichment_job_providers (workspace_id, job_id, provider, position, credit_cost, own_credential,
                                              verifies)
        SELECT :workspace_id, :job_id, p.provider, p.position, p.credit_cost, p.own_credential, p.verifies
        FROM json_to_recordset(CAST(:providers AS json))
             AS p(provider text, position smallint, credit_cost int, own_credential boolean, verifies boolean)
    )
    INSERT INTO enrichment_records (workspace_id, job_id, position, key, input, subject, subject_key, leader, status,
                                    reason, error)
    SELECT :workspace_id, :job_id, position, key, input, subject, subject_key,
           CASE WHEN subject_key IS NULL THEN position ELSE min(position) OVER (PARTITION BY subject_key) END,
           CASE WHEN subject_key IS NULL THEN 'failed' ELSE 'pending' END,
           CASE WHEN subject_key IS NULL THEN :invalid_input END, error
    FROM staged_records
    ORDER BY position
""")
# What failed for another reason than its input, and what lacks a field because a provider was not, or not well, asked.
_STAGE_RETRY = text("""
    INSERT INTO staged_records (position, key, input, subject, subject_key, inputs)
    SELECT row_number() OVER (ORDER BY r.position), r.key, r.input, r.subject, r.subject_key,
           (SELECT string_agg(name, ',' ORDER BY name) FROM json_object_keys(r.subject) AS name)
    FROM enrichment_records AS r
    WHERE r.job_id = :job_id AND r.subject_key IS NOT NULL
      AND (CAST(:positions AS int[]) IS NULL OR r.position = ANY(CAST(:positions AS int[])))
      AND (r.status = 'failed'
           OR r.status IN ('partial', 'not_found')
              AND EXISTS (SELECT FROM enrichment_answers AS a
                          WHERE a.job_id = r.job_id AND a.position = r.leader
                            AND a.outcome IN ('skipped_outage', 'gave_up', 'rejected', 'malformed', 'budget')))
    ORDER BY r.position
""")
# A record is known by its key; its answers are those of its leader, which may be another in each of the jobs.
_KEEP_ANSWERS = text("""
    INSERT INTO enrichment_answers (workspace_id, job_id, position, provider, outcome, reason, found, answered_at,
                                    reused_at, run_id)
    SELECT :workspace_id, :job_id, r.position, a.provider, a.outcome, a.reason, a.found, a.answered_at, now(), a.run_id
    FROM enrichment_records AS r
         JOIN enrichment_records AS earlier ON earlier.job_id = :retry_of AND earlier.key = r.key
         JOIN enrichment_answers AS a ON a.job_id = :retry_of AND a.position = earlier.leader
         JOIN enrichment_job_providers AS p ON p.job_id = :job_id AND p.provider = a.provider
    WHERE r.job_id = :job_id AND r.leader = r.position AND a.outcome IN ('found', 'missed', 'unreachable')
""")


@dataclass(frozen=True, slots=True)
class Staged:
    """What is staged. `leaders`: by the inputs that they have, how many records will be looked up. `duplicates`: pairs
    of positions with the same key, of each such key the first two, of the first few keys."""

    total: int
    invalid: int
    leaders: dict[tuple[str, ...], int]
    duplicates: Sequence[tuple[int, int]]


def encode(rows: Iterable[InputRow]) -> bytes:
    """The rows in the text format of COPY."""
    return "".join(map(_line, rows)).encode()


async def create_stage(session: Session) -> None:
    if not (await session.execute(_TAKE_TIME)).one().is_made:
        await session.execute(_CREATE_STAGE)


async def stage(session: Session, blocks: AsyncIterator[bytes]) -> int:
    """Copy blocks made by `encode` to the stage; how many rows they were.

    Raises Unavailable when the database goes away.
    """
    connection = cast("psycopg.AsyncConnection", (await session.get_raw_connection()).driver_connection)
    try:
        async with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            async for block in blocks:
                await copy.write(block)
    except psycopg.OperationalError as error:
        raise Unavailable("The database connection was lost; try again.", retry_after=1) from error
    return cursor.rowcount


async def stage_retry(session: Session, job_id: UUID, positions: Sequence[int] | None = None) -> int:
    """Stage the records of a job that another try may change, numbered anew in their order; how many they are. Those at
    these positions alone, where they are given."""
    values = {"job_id": job_id, "positions": None if positions is None else list(positions)}
    return (await session.execute(_STAGE_RETRY, values)).rowcount


async def staged(session: Session, rows: int) -> Staged:
    """What the `rows` come to that were staged."""
    if rows >= _WORTH_ANALYZING:
        await session.execute(_ANALYZE)
    total, invalid, leaders, duplicates = (await session.execute(_SUMMARY, {"limit": _DUPLICATES_TOLD})).one()
    return Staged(
        total,
        invalid,
        {tuple(inputs.split(",")): records for inputs, records in (leaders or {}).items()},
        [(first, second) for first, second in duplicates or ()],
    )


async def insert_job(
    session: Session,
    workspace_id: UUID,
    job_id: UUID,
    *,
    options: JobOptions,
    choice: Choice,
    columns: Sequence[str],
    staged: Staged,
    worst_case: int,
    held: int,
    settings: EnrichmentSettings,
    retry_of: UUID | None,
) -> None:
    """Insert the job, its providers, and the staged records with their leaders."""
    asked = [*choice.providers, *([choice.verifier] if choice.verifier else [])]
    providers = [
        {
            "provider": offer.name,
            "position": position,
            "credit_cost": offer.credit_cost,
            "own_credential": offer.own_credential,
            "verifies": offer is choice.verifier,
        }
        for position, offer in enumerate(asked, start=1)
    ]
    await session.execute(
        _INSERT_JOB,
        {
            "workspace_id": workspace_id,
            "job_id": job_id,
            "retry_of": retry_of,
            "entity": choice.entity,
            "columns": list(columns),
            "fields": list(choice.fields),
            "on_outage": options.on_outage,
            "max_wait_seconds": options.max_wait_seconds,
            "max_credits": options.max_credits,
            "min_confidence": options.min_confidence,
            "reuse_within_seconds": options.reuse_within_seconds,
            "max_credits_per_record": options.max_credits_per_record,
            "chunk": settings.chunk,
            "window": settings.window,
            "total": staged.total,
            "failed": staged.invalid,
            "held": held,
            "worst_case": worst_case,
            "providers": orjson.dumps(providers).decode(),
            "invalid_input": INVALID_INPUT,
        },
    )


async def keep_answers(session: Session, workspace_id: UUID, job_id: UUID, *, retry_of: UUID) -> None:
    """Give the records of the job what its providers answered about them in the job that it retries: they are asked
    for what they did not answer, and nothing is paid twice."""
    await session.execute(_KEEP_ANSWERS, {"workspace_id": workspace_id, "job_id": job_id, "retry_of": retry_of})


def _line(row: InputRow) -> str:
    came = _escape(orjson.dumps(row.input).decode())
    if row.subject is not None:
        values = row.subject.values
        subject = _escape(orjson.dumps(values).decode())
        inputs = ",".join(sorted(values))
        return f"{row.position}\t{_escape(row.key)}\t{came}\t{subject}\t{_escape(row.subject.key)}\t{inputs}\t\\N\n"
    error = {"code": INVALID_INPUT, "field": "", "message": ""}
    if row.error is not None:
        error = {"code": INVALID_INPUT, "field": row.error.field, "message": row.error.message}
    return f"{row.position}\t{_escape(row.key)}\t{came}\t\\N\t\\N\t\\N\t{_escape(orjson.dumps(error).decode())}\n"


def _escape(value: str) -> str:
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if value.isprintable():  # so it holds none of the three, as nearly every value
        return value
    return value.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
