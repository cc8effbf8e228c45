"""The shapes of enrichment in requests and answers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidatorFunctionWrapHandler, WrapValidator
from typing_extensions import TypedDict

from app.enrichment import service
from app.enrichment.options import JobOptions
from app.enrichment.repository import Circuit, Job, JobProvider, JobStatus, RecordStatus
from app.enrichment.service import Attempt, Record, WaitingFor
from app.pagination import Cursor
from app.settings import Settings
from workflows import ids

MAX_WAIT_SECONDS = 30 * 86_400.0
_MAX_CREDITS = 10**15
_ID = "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"
_RUN_ID = "019d6f0e-5b1c-7d02-8f44-1c7a9e6b3d25"

Outcome = Literal[
    "found", "missed", "reused", "unreachable", "skipped_outage", "gave_up", "rejected", "malformed", "budget"
]


class RecordIn(TypedDict, total=False):
    """One record. Members of other names are kept and come back in the export.

    A company is looked up by domain, LinkedIn page or name; a person by e-mail address, LinkedIn page, or name and
    company.
    """

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]

    key: Annotated[str | None, Field(description="Your name for the record, unique in the job; else its number.")]
    domain: Annotated[str | None, Field(description="A host or a URL.")]
    name: str | None
    linkedin_url: str | None
    email: str | None
    full_name: str | None
    first_name: str | None
    last_name: str | None
    company_name: str | None


def _as_it_came(record: Any, check: ValidatorFunctionWrapHandler) -> Any:
    # Validation would put the members of RecordIn first; the export keeps the caller's order.
    check(record)
    return record


class OptionsIn(BaseModel):
    """What a job is asked to do."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    entity: Literal["company", "person"]
    fields: list[str] | None = Field(
        default=None, min_length=1, description="The fields to fill; else all that the providers fill."
    )
    providers: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Whom to ask, in order; else all that are available and fill a wanted field, cheapest first.",
    )
    on_outage: Literal["wait", "skip"] = Field(
        default="wait", description="What to do while a provider is away: wait for it, or go on without it."
    )
    max_wait_seconds: float = Field(default=86_400, ge=0, le=MAX_WAIT_SECONDS, description="For each provider, in all.")
    max_credits: int | None = Field(
        default=None, ge=0, le=_MAX_CREDITS, description="What the job may cost at the most."
    )
    min_confidence: float = Field(default=0.5, ge=0, le=1, description="Values that are less certain are not taken.")
    reuse_within_seconds: float = Field(
        default=0, ge=0, le=10 * 366 * 86_400, description="How old an answer may be that was bought before."
    )
    max_credits_per_record: int | None = Field(
        default=None, ge=0, le=_MAX_CREDITS, description="What one record may cost at the most."
    )
    verify_email: bool = Field(
        default=False, description="An e-mail address that a provider finds counts when a verifier has passed it."
    )
    strict: bool = Field(default=False, description="Refuse the whole request where a record cannot be looked up.")

    def options(self) -> JobOptions:
        return JobOptions(
            entity=self.entity,
            fields=self.fields,
            providers=self.providers,
            on_outage=self.on_outage,
            max_wait_seconds=self.max_wait_seconds,
            max_credits=self.max_credits,
            min_confidence=self.min_confidence,
            reuse_within_seconds=self.reuse_within_seconds,
            max_credits_per_record=self.max_credits_per_record,
            verify_email=self.verify_email,
            strict=self.strict,
        )


class UploadOptionsIn(OptionsIn):
    """What a job of an uploaded CSV file is asked to do."""

    columns: dict[str, str] = Field(
        default={}, description='Column → input field, where its name does not say it: `{"Firma": "name"}`.'
    )


class JobIn(OptionsIn):
    """A job and its records."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "entity": "company",
                    "records": [{"key": "row-1", "domain": "example.com", "name": "Example"}],
                    "fields": ["industry", "employee_count", "linkedin_url"],
                    "providers": ["website", "hunter", "apollo"],
                    "on_outage": "wait",
                    "max_wait_seconds": 86400,
                    "max_credits": 5000,
                    "min_confidence": 0.5,
                }
            ]
        }
    )

    records: list[Annotated[RecordIn, WrapValidator(_as_it_came)]] = Field(min_length=1)

    def rows(self) -> Sequence[Mapping[str, JsonValue]]:
        """The records as they came: a TypedDict is a plain dict, with the members of other names too."""
        return cast("Sequence[Mapping[str, JsonValue]]", self.records)


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

    @classmethod
    def of(cls, provider: JobProvider) -> Self:
        return cls(
            name=provider.name,
            calls=provider.calls,
            matches=provider.matches,
            errors=provider.errors,
            circuit=provider.circuit,
            waiting_until=provider.waiting_until,
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
                    "min_confidence": 0.5,
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
    min_confidence: float
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
            min_confidence=job.min_confidence,
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
    confidence: float
    fetched_at: datetime


class AttemptOut(BaseModel):
    """A provider's turn with the record."""

    provider: str
    outcome: Outcome = Field(
        description="`reused`: the answer was bought for another record of the job, or by the job that it retries."
    )
    credits: int
    at: datetime

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        return cls.model_validate(
            {"provider": attempt.provider, "outcome": attempt.outcome, "credits": attempt.credits, "at": attempt.at}
        )


class RecordErrorOut(BaseModel):
    """Why the record could not be looked up."""

    code: str
    field: str = Field(description="The column or member of the input.")
    message: str


class RecordOut(BaseModel):
    """A record of a job and what is known of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key": "row-1",
                    "input": {"domain": "example.com", "name": "Example"},
                    "status": "matched",
                    "fields": {
                        "industry": {
                            "value": "Software",
                            "provider": "hunter",
                            "confidence": 1.0,
                            "fetched_at": "2026-11-21T09:30:01.000000Z",
                        }
                    },
                    "reason": None,
                    "attempts": [
                        {"provider": "hunter", "outcome": "found", "credits": 2, "at": "2026-11-21T09:30:01.000000Z"}
                    ],
                    "error": None,
                }
            ]
        }
    )

    key: str
    input: dict[str, JsonValue] = Field(description="As it came.")
    status: RecordStatus
    fields: dict[str, ValueOut]
    reason: str | None = Field(description="Why something is missing, e.g. `invalid_input`, `provider_unavailable`.")
    attempts: list[AttemptOut]
    error: RecordErrorOut | None

    @classmethod
    def of(cls, record: Record) -> Self:
        return cls(
            key=record.key,
            input=dict(record.input),
            status=record.status,
            fields={
                name: ValueOut(
                    value=value.value,
                    provider=value.provider,
                    confidence=value.confidence,
                    fetched_at=value.fetched_at,
                )
                for name, value in record.fields.items()
            },
            reason=record.reason,
            attempts=[AttemptOut.of(attempt) for attempt in record.attempts],
            error=RecordErrorOut.model_validate(record.error) if record.error else None,
        )


class RecordCursor(Cursor):
    """In input order: the next page begins after this record."""

    after: int = Field(ge=0, lt=2**31)
