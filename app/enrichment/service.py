"""Jobs and their records as people see them, and pause, resume and cancel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from app.audit_log import service as audit_log
from app.auth.permissions import Caller
from app.db import OwnRead, Session, Sessions
from app.enrichment import repository
from app.enrichment.errors import JobCancelling, JobFinished
from app.enrichment.repository import DesiredState, Job, JobFilter, RecordStatus, StoredRecord
from app.enrichment.traces import ERASED
from app.enrichment.waterfall import OPEN_OUTCOMES, StoredAnswer, Value, gaps, merge
from app.errors import NotFound
from app.outbox import service as outbox
from app.providers.ports import JsonValue
from workflows import ids

WaitingFor: TypeAlias = Literal["outage", "quota", "credits", "pause"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A provider's turn with a record. `outcome` is "reused" where the answer was bought for another record, or by an
    earlier job."""

    provider: str
    outcome: str
    reason: str | None
    credits: int
    at: datetime
    run_id: UUID | None


@dataclass(frozen=True, slots=True)
class Record:
    """A record with what is known of it so far. `missing` says of each wanted field without a value why; another record
    paid where `is_follower`."""

    position: int
    key: str
    input: Mapping[str, JsonValue]
    status: RecordStatus
    fields: Mapping[str, Value]
    missing: Mapping[str, str]
    reason: str | None
    attempts: Sequence[Attempt]
    is_follower: bool
    error: Mapping[str, str] | None


async def get_job(sessions: Sessions, workspace_id: UUID, job_id: UUID) -> Job:
    """Raises NotFound."""
    return _found(await repository.read_job(sessions, workspace_id, job_id))


async def get_job_of_one(sessions: Sessions, workspace_id: UUID, job_id: UUID) -> tuple[Job, Record]:
    """A job that has one record, with that. Raises NotFound."""
    found = await repository.read_job_of_one(sessions, workspace_id, job_id)
    if found is None:
        raise _no_such_job()
    job, record, answers = found
    return job, _record(job, record, answers)


def job_read(path: Mapping[str, str]) -> OwnRead:
    """What the job of a path's ``job_id`` is read by, together with its caller: `read_job` makes the job of it."""
    try:
        job_id = UUID(path["job_id"])
    except ValueError:
        # No job has it; what FastAPI says of the path is said before the row is looked at.
        job_id = UUID(int=0)
    return repository.job_read(job_id)


def read_job(row: Mapping[str, Any]) -> Job:
    """The job that a `job_read` found. Raises NotFound."""
    return _found(repository.read_job_of(row))


async def list_jobs(
    sessions: Sessions, workspace_id: UUID, wanted: JobFilter, *, before: UUID | None, limit: int
) -> list[Job]:
    """The newest first; `before` continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.jobs(session, wanted, before=before, limit=limit)


async def list_records(
    sessions: Sessions,
    workspace_id: UUID,
    job_id: UUID,
    *,
    after: int,
    limit: int,
    status: RecordStatus | None = None,
) -> list[Record]:
    """Records in input order from the position after `after`. Raises NotFound."""
    async with sessions.for_workspace(workspace_id) as session:
        job = _found(await repository.job(session, job_id))
        return await read_records(session, job, after=after, limit=limit, status=status)


async def read_records(
    session: Session, job: Job, *, after: int, limit: int, status: RecordStatus | None = None
) -> list[Record]:
    """A page of the job's records with their values merged."""
    stored = await repository.records(session, job.id, after=after, limit=limit, status=status)
    answers = await repository.answers(session, job.id, sorted({record.leader for record in stored}))
    return [_record(job, record, answers.get(record.leader, ())) for record in stored]


async def pause(sessions: Sessions, caller: Caller, job_id: UUID) -> Job:
    """Have no new provider call begin, until the job is resumed. Raises NotFound, JobFinished, JobCancelling."""
    return await _steer(sessions, caller, job_id, "pause", "paused")


async def resume(sessions: Sessions, caller: Caller, job_id: UUID) -> Job:
    """Let a paused job go on. Raises NotFound, JobFinished, JobCancelling."""
    return await _steer(sessions, caller, job_id, "resume", "running")


async def cancel(sessions: Sessions, caller: Caller, job_id: UUID) -> Job:
    """Have the job end; what was found is kept, and the rest of its hold is released. Raises NotFound, JobFinished."""
    return await _steer(sessions, caller, job_id, "cancel", "cancelled")


def pending(job: Job) -> int:
    """How many records have no end yet."""
    return job.total - job.matched - job.partial - job.not_found - job.failed - job.cancelled


def credits_held(job: Job) -> int:
    """What is held for the job now: nothing, once it has ended."""
    return 0 if job.finished_at else job.held - job.charged


def waiting_for(job: Job) -> WaitingFor | None:
    """What keeps the job from going on."""
    if job.status == "paused":
        return "pause"
    if job.status != "waiting":
        return None
    waiting = [provider for provider in job.providers if provider.waiting_until]
    return "quota" if waiting and all(provider.is_throttled for provider in waiting) else "outage"


def eta_seconds(job: Job) -> float | None:
    """Until the end at the pace so far; None while the job does not run or nothing has ended yet."""
    ended = job.total - pending(job)
    if job.status != "running" or job.started_at is None or ended == 0:
        return None
    return round((job.now - job.started_at).total_seconds() / ended * pending(job), 1)


def _found(job: Job | None) -> Job:
    if job is None:
        raise _no_such_job()
    return job


def _no_such_job() -> NotFound:
    return NotFound("There is no such job.")


async def _steer(sessions: Sessions, caller: Caller, job_id: UUID, verb: str, desired_state: DesiredState) -> Job:
    """Write what is wanted and wake the workflow, which reads it: so neither order nor repetition matters."""
    async with sessions.for_workspace(caller.workspace_id) as session:
        locked = await repository.lock_job(session, job_id)
        if locked is None:
            raise NotFound("There is no such job.")
        finished, wanted = locked
        if finished:
            raise JobFinished("The job has ended.")
        if wanted == "cancelled" and desired_state != "cancelled":
            raise JobCancelling("The job is being cancelled.")
        if wanted != desired_state:
            await repository.set_desired_state(session, job_id, desired_state)
            await audit_log.record(
                session,
                caller.workspace_id,
                caller,
                f"enrichment_job.{verb}",
                ("enrichment_job", str(job_id)),
                before={"desired_state": wanted},
                after={"desired_state": desired_state},
            )
            await outbox.wake(session, caller.workspace_id, ids.enrichment_job(str(job_id)))
        return await repository.existing_job(session, job_id)


def _record(job: Job, stored: StoredRecord, answers: Sequence[StoredAnswer]) -> Record:
    is_follower = stored.leader != stored.position
    values = merge(job.fields, answers, job.min_confidence)
    return Record(
        position=stored.position,
        key=stored.key,
        input=stored.input,
        status=stored.status,
        fields=values,
        missing=_missing(job, stored, values, answers),
        reason=stored.reason,
        attempts=[
            Attempt(
                answer.provider,
                "reused" if is_follower or answer.reused_at else answer.outcome,
                answer.reason,
                0 if is_follower else answer.credits,
                answer.answered_at,
                answer.run_id,
            )
            for answer in answers
            if answer.outcome not in OPEN_OUTCOMES and answer.reason != ERASED
        ],
        is_follower=is_follower,
        error=stored.error,
    )


def _missing(
    job: Job, stored: StoredRecord, values: Mapping[str, Value], answers: Sequence[StoredAnswer]
) -> Mapping[str, str]:
    if stored.status == "pending":
        return {field: "pending" for field in job.fields if field not in values}
    if stored.reason == ERASED:
        return dict.fromkeys(job.fields, ERASED)
    reasons = gaps(job.fields, values, answers, job.min_confidence)
    if stored.status in ("cancelled", "failed") and stored.reason is not None:
        return dict.fromkeys(reasons, stored.reason)
    return reasons
