"""The shapes of jobs and their records in answers."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.enrichment import service
from app.enrichment.repository import Circuit, Job, JobProvider, JobStatus, RecordStatus
from app.enrichment.service import Attempt, Record, WaitingFor
from app.enrichment.waterfall import Value
from app.pagination import Cursor
from app.settings import Settings
from workflows import ids

_ID = "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"
_RUN_ID = "019d6f0e-5b1c-7d02-8f44-1c7a9e6b3d25"

Outcome = Literal[
    "found", "missed", "reused", "unreachable", "skipped_outage", "gave_up", "rejected", "malformed", "budget"
]


class CountsOut(BaseModel):
    """Records by how they ended; the other numbers sum to `total`."""

    total: int
    pending: int
    matched: int = Field(description="All wanted fields are filled.")
    partial: int
    not_found: int
    failed: int
    cancelled: int


class JobCreditsOut(BaseModel):
    """What the job costs."""

    held: int = Field(description="Set aside for it now.")
    charged: int


class JobProviderOut(BaseModel):
    """How the job stands with one of its providers."""

    name: str
    calls: int
    matches: int
    errors: int
    circuit: Circuit
    waiting_until: datetime | None = Field(description="When the job asks it again; null where it does not wait.")
    calls_saved: int = Field(description="Answers that were taken over from earlier jobs instead of bought.")
    verifies_email: bool = Field(description="It is asked of the e-mail addresses that the others find.")

    @classmethod
    def of(cls, provider: JobProvider) -> Self:
        return cls(
            name=provider.name,
            calls=provider.calls,
            matches=provider.matches,
            errors=provider.errors,
            circuit=provider.circuit,
            waiting_until=provider.waiting_until,
            calls_saved=provider.reused,
            verifies_email=provider.verifies,
        )


class WorkflowOut(BaseModel):
    """The workflow that does the job."""

    id: str
    run_id: UUID | None = Field(description="Of its run; of the latest where there were several. Null until it begins.")
    url: str | None = Field(description="In the Temporal UI, on the embedded stack.")

    @classmethod
    def of(cls, job: Job, settings: Settings) -> Self:
        workflow_id = ids.enrichment_job(str(job.id))
        url = None
        # That UI shows all tenants.
        if settings.environment == "local" and settings.temporal.ui_url:
            base = settings.temporal.ui_url.rstrip("/")
            url = f"{base}/namespaces/{settings.temporal.namespace}/workflows/{workflow_id.replace('/', '%2F')}"
        return cls(id=workflow_id, run_id=job.run_id, url=url)


class JobOut(BaseModel):
    """An enrichment job."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "retry_of": None,
                    "status": "running",
                    "waiting_for": None,
                    "eta_seconds": 1.5,
                    "error": None,
                    "entity": "company",
                    "fields": ["industry", "employee_count", "linkedin_url"],
                    "on_outage": "wait",
                    "max_wait_seconds": 86400,
                    "max_credits": 5000,
                    "max_credits_per_record": None,
                    "min_confidence": 0.5,
                    "reuse_within_seconds": 0,
                    "counts": {
                        "total": 529,
                        "pending": 120,
                        "matched": 290,
                        "partial": 80,
                        "not_found": 37,
                        "failed": 2,
                        "cancelled": 0,
                    },
                    "credits": {"held": 1312, "charged": 1862},
                    "providers": [
                        {
                            "name": "website",
                            "calls": 410,
                            "matches": 262,
                            "errors": 0,
                            "circuit": "closed",
                            "waiting_until": None,
                            "calls_saved": 0,
                            "verifies_email": False,
                        }
                    ],
                    "workflow": {"id": f"enrichment-job/{_ID}", "run_id": _RUN_ID, "url": None},
                    "created_at": "2026-11-21T09:30:00.000000Z",
                    "started_at": "2026-11-21T09:30:00.214000Z",
                    "finished_at": None,
                }
            ]
        }
    )

    id: UUID
    retry_of: UUID | None = Field(description="The job whose failed records this one tries again.")
    status: JobStatus = Field(
        description="`waiting`: all that is left waits for a provider. `completed`: every record has an end, also "
        "where some failed. `failed`: the job itself could not go on."
    )
    waiting_for: WaitingFor | None
    eta_seconds: float | None = Field(description="Until the end at the pace so far; null while that cannot be said.")
    error: str | None = Field(description="Why the job failed.")
    entity: Literal["company", "person"]
    fields: list[str]
    on_outage: Literal["wait", "skip"]
    max_wait_seconds: float
    max_credits: int | None
    max_credits_per_record: int | None
    min_confidence: float
    reuse_within_seconds: float
    counts: CountsOut
    credits: JobCreditsOut
    providers: list[JobProviderOut] = Field(description="In the order in which they are asked.")
    workflow: WorkflowOut
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job, settings: Settings) -> Self:
        return cls(
            id=job.id,
            retry_of=job.retry_of,
            status=job.status,
            waiting_for=service.waiting_for(job),
            eta_seconds=service.eta_seconds(job),
            error=job.error,
            entity=job.entity,
            fields=list(job.fields),
            on_outage=job.on_outage,
            max_wait_seconds=job.max_wait_seconds,
            max_credits=job.max_credits,
            max_credits_per_record=job.max_credits_per_record,
            min_confidence=job.min_confidence,
            reuse_within_seconds=job.reuse_within_seconds,
            counts=CountsOut(
                total=job.total,
                pending=service.pending(job),
                matched=job.matched,
                partial=job.partial,
                not_found=job.not_found,
                failed=job.failed,
                cancelled=job.cancelled,
            ),
            credits=JobCreditsOut(held=service.credits_held(job), charged=job.charged),
            providers=[JobProviderOut.of(provider) for provider in job.providers],
            workflow=WorkflowOut.of(job, settings),
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )


class ValueOut(BaseModel):
    """A field with its provenance."""

    value: JsonValue
    provider: str
    order: int = Field(description="The provider's place among those of the job, from 1.")
    confidence: float
    credits: int = Field(description="What the answer cost, with all its fields.")
    fetched_at: datetime
    age_seconds: float = Field(description="How old the answer was when this job took it over; 0 where it was bought.")
    run_id: UUID | None = Field(description="The workflow run that asked.")

    @classmethod
    def of(cls, value: Value, *, is_follower: bool) -> Self:
        answer = value.answer
        return cls(
            value=value.value,
            provider=answer.provider,
            order=answer.order,
            confidence=value.confidence,
            credits=0 if is_follower else answer.credits,
            fetched_at=answer.answered_at,
            age_seconds=(answer.reused_at - answer.answered_at).total_seconds() if answer.reused_at else 0,
            run_id=answer.run_id,
        )


class AttemptOut(BaseModel):
    """A provider's turn with the record."""

    provider: str
    outcome: Outcome = Field(
        description="`reused`: the answer was bought for another record of the job, or by an earlier job."
    )
    reason: str | None = Field(description="More of it, e.g. `nothing_wanted`, `email_invalid`, `malformed_response`.")
    credits: int
    at: datetime
    run_id: UUID | None = Field(description="The workflow run that asked.")

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        return cls.model_validate(
            {
                "provider": attempt.provider,
                "outcome": attempt.outcome,
                "reason": attempt.reason,
                "credits": attempt.credits,
                "at": attempt.at,
                "run_id": attempt.run_id,
            }
        )


class RecordErrorOut(BaseModel):
    """Why the record could not be looked up."""

    code: str
    field: str = Field(description="The column or member of the input.")
    message: str


_RECORD: dict[str, Any] = {
    "key": "row-1",
    "input": {"domain": "example.com", "name": "Example"},
    "status": "partial",
    "fields": {
        "industry": {
            "value": "Software",
            "provider": "hunter",
            "order": 2,
            "confidence": 1.0,
            "credits": 2,
            "fetched_at": "2026-11-21T09:30:01.000000Z",
            "age_seconds": 0,
            "run_id": _RUN_ID,
        }
    },
    "missing": {"ticker": "unknown"},
    "reason": None,
    "attempts": [
        {
            "provider": "hunter",
            "outcome": "found",
            "reason": None,
            "credits": 2,
            "at": "2026-11-21T09:30:01.000000Z",
            "run_id": _RUN_ID,
        }
    ],
    "error": None,
}


class RecordOut(BaseModel):
    """A record of a job and what is known of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RECORD]})

    key: str
    input: dict[str, JsonValue] = Field(description="As it came.")
    status: RecordStatus
    fields: dict[str, ValueOut]
    missing: dict[str, str] = Field(
        description="Why each wanted field has no value: `unknown`, `low_confidence`, `pending`, or as in `reason`."
    )
    reason: str | None = Field(description="Why something is missing, e.g. `invalid_input`, `provider_unavailable`.")
    attempts: list[AttemptOut]
    error: RecordErrorOut | None

    @classmethod
    def of(cls, record: Record) -> Self:
        return cls(
            key=record.key,
            input=dict(record.input),
            status=record.status,
            fields={name: ValueOut.of(value, is_follower=record.is_follower) for name, value in record.fields.items()},
            missing=dict(record.missing),
            reason=record.reason,
            attempts=[AttemptOut.of(attempt) for attempt in record.attempts],
            error=RecordErrorOut.model_validate(record.error) if record.error else None,
        )


class LookupOut(BaseModel):
    """What came of looking one record up."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"job_id": _ID, "credits": 2, "record": _RECORD}]})

    job_id: UUID = Field(description="The job of this record.")
    credits: int = Field(description="What it cost.")
    record: RecordOut

    @classmethod
    def of(cls, job: Job, record: Record) -> Self:
        return cls(job_id=job.id, credits=job.charged, record=RecordOut.of(record))


class RecordCursor(Cursor):
    """In input order: the next page begins after this record."""

    after: int = Field(ge=0, lt=2**31)
