"""The SQL by which people see their jobs and steer them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, case, exists, func, literal_column, select, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from app.db import OwnRead, Session, Sessions
from app.enrichment.models import enrichment_job_providers, enrichment_jobs, enrichment_records
from app.enrichment.waterfall import StoredAnswer
from app.providers.ports import Entity, JsonValue

JobStatus: TypeAlias = Literal["queued", "running", "waiting", "paused", "completed", "cancelled", "failed"]
DesiredState: TypeAlias = Literal["running", "paused", "cancelled"]
RecordStatus: TypeAlias = Literal["pending", "matched", "partial", "not_found", "failed", "cancelled"]
Circuit: TypeAlias = Literal["closed", "open", "half_open"]

# Where it is announced that no record of a job is pending any more, by the job's id.
ENDED = "holdfast_enrichment_ended"

# A job is said to wait when a provider keeps it waiting and nothing was answered for so long.
_QUIET = text("interval '2 seconds'")


@dataclass(frozen=True, slots=True)
class JobProvider:
    """How a job stands with one of its providers. `is_throttled`: it waits for quota, not for an outage to end.
    `verifies`: it checks the e-mail addresses that the others find. `reused`: answers that were bought before."""

    name: str
    calls: int
    matches: int
    errors: int
    circuit: Circuit
    waiting_until: datetime | None
    is_throttled: bool
    verifies: bool
    reused: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job as people see it at the moment `now`: `status` has "waiting" derived, `held` is what its start held."""

    id: UUID
    retry_of: UUID | None
    entity: Entity
    status: JobStatus
    error: str | None
    columns: Sequence[str]
    fields: Sequence[str]
    on_outage: Literal["wait", "skip"]
    max_wait_seconds: float
    max_credits: int | None
    min_confidence: float
    reuse_within_seconds: float
    max_credits_per_record: int | None
    total: int
    matched: int
    partial: int
    not_found: int
    failed: int
    cancelled: int
    held: int
    charged: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    run_id: UUID | None
    now: datetime
    providers: Sequence[JobProvider]


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list shows: those with this status, created in [created_after, created_before)."""

    status: JobStatus | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is stored; its answers are its leader's."""

    position: int
    key: str
    input: Mapping[str, JsonValue]
    status: RecordStatus
    reason: str | None
    error: Mapping[str, str] | None
    leader: int


_JOB_COLUMNS = tuple(name for name in Job.__slots__ if name != "providers")

_job = enrichment_jobs.c
_provider = enrichment_job_providers.c
_record = enrichment_records.c

_is_waiting: ColumnElement[bool] = (
    (_job.status == "running")
    & (func.coalesce(_job.answered_at, _job.started_at, _job.created_at) < func.now() - _QUIET)
    & exists().where(_provider.job_id == _job.id, _provider.waiting_until > func.now())
)
_status = case((_is_waiting, "waiting"), else_=_job.status)
# Of a provider that nothing is known of the circuit is closed.
_providers = text("""
    (SELECT json_agg(json_build_array(
                p.provider, p.calls, p.matches, p.errors,
                CASE WHEN h.opens_until <= now() THEN 'half_open' ELSE coalesce(h.circuit, 'closed') END,
                CASE WHEN p.waiting_until > now() THEN p.waiting_until END,
                p.waiting_until > now() AND p.waiting_since IS NULL, p.verifies, p.reused) ORDER BY p.position)
     FROM enrichment_job_providers AS p LEFT JOIN provider_health AS h USING (provider)
     WHERE p.job_id = enrichment_jobs.id) AS providers
""")
_JOBS = select(
    *(
        _job[name]
        for name in (
            "id", "retry_of", "entity", "error", "columns", "fields", "on_outage", "max_wait_seconds", "max_credits",
            "min_confidence", "reuse_within_seconds", "max_credits_per_record", "total", "matched", "partial",
            "not_found", "failed", "cancelled", "held", "charged", "created_at", "started_at", "finished_at", "run_id",
        )
    ),
    _status.label("status"),
    func.now().label("now"),
    _providers,
)  # fmt: skip

_JOB_BY_ID = _JOBS.where(_job.id == bindparam("job_id"))


@cache
def _read_job() -> str:
    """`_JOBS` of one job as the driver takes it; so it is compiled once."""
    query = _JOBS.where(
        _job.id == literal_column("%(job_id)s"), _job.workspace_id == literal_column("own.workspace_id")
    )
    # Named parameters, of which there is none: any other style would double the per cent sign.
    dialect = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]
    return str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


_ANSWERS = text("""
    SELECT a.position, a.provider, a.outcome, a.answered_at, a.found, a.credits, a.tries, a.reason,
           p.position AS "order", a.handle, a.poll_at, a.reused_at, a.run_id
    FROM enrichment_answers AS a JOIN enrichment_job_providers AS p USING (job_id, provider)
    WHERE a.job_id = :job_id AND a.position = ANY(CAST(:positions AS int[]))
    ORDER BY a.position, p.position
""")
# Of a job of one record; a row for each of its answers.
_ONLY_RECORD = """
    SELECT job.*, r.position AS record_position, r.key AS record_key, r.input AS record_input,
           r.status AS record_status, r.reason AS record_reason, r.error AS record_error, r.leader AS record_leader,
           a.provider AS answer_provider, a.outcome AS answer_outcome, a.answered_at AS answer_answered_at,
           a.found AS answer_found, a.credits AS answer_credits, a.tries AS answer_tries, a.reason AS answer_reason,
           p.position AS answer_order, a.handle AS answer_handle, a.poll_at AS answer_poll_at,
           a.reused_at AS answer_reused_at, a.run_id AS answer_run_id
    FROM ({}) AS job
         JOIN enrichment_records AS r ON r.job_id = job.id AND r.workspace_id = own.workspace_id
         LEFT JOIN (enrichment_answers AS a JOIN enrichment_job_providers AS p USING (job_id, provider))
             ON a.job_id = job.id AND a.position = r.leader
    ORDER BY p.position
"""
_SET_DESIRED_STATE = text("UPDATE enrichment_jobs SET desired_state = :desired_state WHERE id = :job_id")
# In order of id, as whoever locks several jobs does.
_CANCEL_UNFINISHED = text("""
    WITH unfinished AS (
        SELECT id FROM enrichment_jobs WHERE finished_at IS NULL AND desired_state <> 'cancelled'
        ORDER BY id LIMIT :limit FOR NO KEY UPDATE
    )
    UPDATE enrichment_jobs AS j SET desired_state = 'cancelled' FROM unfinished WHERE j.id = unfinished.id
    RETURNING j.id
""")
_ANNOUNCE_END = text(f"SELECT pg_notify('{ENDED}', :job_id)")
_COUNT_UNFINISHED = text("SELECT count(*) FROM enrichment_jobs WHERE finished_at IS NULL")
_LOCK = text("""
    SELECT finished_at IS NOT NULL AS finished, desired_state FROM enrichment_jobs WHERE id = :job_id
    FOR NO KEY UPDATE
""")


async def job(session: Session, job_id: UUID) -> Job | None:
    """The job, or None where the session's workspace has none of this id."""
    jobs = await _jobs(session, _JOB_BY_ID, job_id=job_id)
    return jobs[0] if jobs else None


async def read_job(sessions: Sessions, workspace_id: UUID, job_id: UUID) -> Job | None:
    """The job, or None where the workspace has none of this id; in one round trip, for it is polled."""
    return read_job_of((await sessions.read_own(workspace_id, job_read(job_id)))[0])


async def read_job_of_one(
    sessions: Sessions, workspace_id: UUID, job_id: UUID
) -> tuple[Job, StoredRecord, list[StoredAnswer]] | None:
    """A job of one record with that and its answers in the order of the job's providers, or None where the workspace
    has no job of this id; in one round trip, for somebody waits."""
    rows = await sessions.read_own(workspace_id, OwnRead(_ONLY_RECORD.format(_read_job()), {"job_id": job_id}))
    first = rows[0]
    if first["id"] is None:
        return None
    record = StoredRecord(**{name: first[f"record_{name}"] for name in StoredRecord.__slots__})
    answers = [
        StoredAnswer(**{name: row[f"answer_{name}"] for name in StoredAnswer.__slots__})
        for row in rows
        if row["answer_provider"] is not None
    ]
    return _job_of(first), record, answers


def job_read(job_id: UUID) -> OwnRead:
    """What `read_job_of` makes a job of."""
    return OwnRead(_read_job(), {"job_id": job_id})


def read_job_of(row: Mapping[str, Any]) -> Job | None:
    """The job that a `job_read` found, or None."""
    return _job_of(row) if row["id"] is not None else None


async def existing_job(session: Session, job_id: UUID) -> Job:
    """The job, of which the caller knows that it is there."""
    return (await _jobs(session, _JOB_BY_ID, job_id=job_id))[0]


async def jobs(session: Session, wanted: JobFilter, *, before: UUID | None, limit: int) -> list[Job]:
    """The newest first; `before` continues after the last one seen."""
    query = _JOBS.order_by(_job.id.desc()).limit(limit)
    if wanted.status is not None:
        query = query.where(_status == wanted.status)
    if wanted.created_after is not None:
        query = query.where(_job.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        query = query.where(_job.created_at < wanted.created_before)
    if before is not None:
        query = query.where(_job.id < before)
    return await _jobs(session, query)


async def records(
    session: Session, job_id: UUID, *, after: int, limit: int, status: RecordStatus | None = None
) -> list[StoredRecord]:
    """Records in input order, from the position after `after`."""
    query = (
        select(
            _record.position, _record.key, _record.input, _record.status, _record.reason, _record.error, _record.leader
        )
        .where(_record.job_id == job_id, _record.position > after)
        .order_by(_record.position)
        .limit(limit)
    )
    if status is not None:
        query = query.where(_record.status == status)
    return [StoredRecord(*row) for row in await session.execute(query)]


async def answers(session: Session, job_id: UUID, positions: Sequence[int]) -> dict[int, list[StoredAnswer]]:
    """The answers about these records, by position, in the order of the job's providers."""
    found: dict[int, list[StoredAnswer]] = {}
    for position, *answer in await session.execute(_ANSWERS, {"job_id": job_id, "positions": list(positions)}):
        found.setdefault(position, []).append(StoredAnswer(*answer))
    return found


async def lock_job(session: Session, job_id: UUID) -> tuple[bool, DesiredState] | None:
    """Lock the job's row; whether it is finished, and what is wanted of it. None where there is no such job."""
    row = (await session.execute(_LOCK, {"job_id": job_id})).one_or_none()
    return (row.finished, row.desired_state) if row else None


async def set_desired_state(session: Session, job_id: UUID, desired_state: DesiredState) -> None:
    await session.execute(_SET_DESIRED_STATE, {"job_id": job_id, "desired_state": desired_state})


async def cancel_unfinished(session: Session, *, limit: int) -> list[UUID]:
    """Have jobs of the session's workspace be cancelled that have not ended and were not told so before; which."""
    return sorted((await session.execute(_CANCEL_UNFINISHED, {"limit": limit})).scalars())


async def announce_end(session: Session, job_id: UUID) -> None:
    """Have those who wait for its records to end hear of it, on `ENDED`, when the transaction commits."""
    await session.execute(_ANNOUNCE_END, {"job_id": str(job_id)})


async def count_unfinished(session: Session) -> int:
    """How many jobs of the session's workspace have not ended."""
    return int((await session.execute(_COUNT_UNFINISHED)).scalar_one())


async def _jobs(session: Session, query: Select[Any], **values: UUID) -> list[Job]:
    return [_job_of(row) for row in (await session.execute(query, values)).mappings()]


def _job_of(row: Mapping[str, Any]) -> Job:
    providers = [_provider_of(*provider) for provider in row["providers"]]
    return Job(**{name: row[name] for name in _JOB_COLUMNS}, providers=providers)


def _provider_of(
    name: str,
    calls: int,
    matches: int,
    errors: int,
    circuit: Circuit,
    until: str | None,
    throttled: bool | None,
    verifies: bool,
    reused: int,
) -> JobProvider:
    waiting_until = datetime.fromisoformat(until) if until else None
    return JobProvider(name, calls, matches, errors, circuit, waiting_until, bool(throttled), verifies, reused)
