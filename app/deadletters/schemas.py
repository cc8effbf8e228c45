"""The shapes of dead letters and their redrives in requests and answers."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.deadletters.redrives_repository import ItemResult, Redrive, RedriveItem
from app.deadletters.repository import Letter, LetterFilter, LetterState, Process
from app.deadletters.service import REFERENCE_TYPES
from app.pagination import Cursor
from app.text import Reason

_JOB = "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"
_LETTER = "019d6f0e-7c33-7f10-b2a4-5d1be0f6c911"
_REDRIVE = "019d6f10-0a11-7d3e-9c44-6b2f1a7d8e05"
_EXAMPLE: dict[str, JsonValue] = {
    "id": _LETTER,
    "process": "enrichment",
    "reference": {"type": "enrichment_record", "id": f"{_JOB}:17"},
    "payload": {"type": "enrichment_record", "id": f"{_JOB}:17"},
    "state": "open",
    "reason": "provider_unavailable",
    "message": "No provider that was asked gave an answer for as long as the job waits.",
    "attempts": 1,
    "run_id": "019d6f0e-5b1c-7d02-8f44-1c7a9e6b3d25",
    "discard_reason": None,
    "first_failed_at": "2026-11-21T09:30:00.000000Z",
    "last_failed_at": "2026-11-21T09:30:00.000000Z",
}

# A code, and an id of a process: ids joined by colons.
ReasonCode = Annotated[str, Field(max_length=100, pattern=r"^[a-z0-9_]+$")]
Reference = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)*$")]


class LetterReferenceOut(BaseModel):
    """What a letter is about. The id of a record is that of its job, a colon and its place in it, from 1; that of a
    delivery is that of its endpoint, a colon and its own."""

    type: str
    id: str


class LetterOut(BaseModel):
    """Something that could not be done, and waits for somebody to redrive or discard it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    process: Process
    reference: LetterReferenceOut = Field(description="What failed first.")
    payload: LetterReferenceOut = Field(description="Where it is now: a redriven record is one of a new job.")
    state: LetterState = Field(
        description="`redriven`: it is being tried again, and will be `resolved`, or `open` again. `discarded`: "
        "somebody decided that it stays undone."
    )
    reason: str = Field(description="A code.")
    message: str = Field(description="For people.")
    attempts: int = Field(description="How often it was tried.")
    run_id: UUID | None = Field(description="Of the workflow run in which it failed last.")
    discard_reason: str | None
    first_failed_at: datetime
    last_failed_at: datetime

    @classmethod
    def of(cls, letter: Letter) -> Self:
        kind = REFERENCE_TYPES[letter.process]
        return cls(
            id=letter.id,
            process=letter.process,
            reference=LetterReferenceOut(type=kind, id=letter.reference_id),
            payload=LetterReferenceOut(type=kind, id=letter.payload_id),
            state=letter.state,
            reason=letter.reason,
            message=letter.message,
            attempts=letter.attempts,
            run_id=letter.run_id,
            discard_reason=letter.discard_reason,
            first_failed_at=letter.first_failed_at,
            last_failed_at=letter.last_failed_at,
        )


class LetterFilterIn(BaseModel):
    """Which open letters are meant, as in the list of them; nothing given means all."""

    model_config = ConfigDict(extra="forbid")

    process: Process | None = None
    reason: ReasonCode | None = None
    reference: Reference | None = Field(default=None, description="An id as in `reference`, or that of a job alone.")
    since: AwareDatetime | None = Field(default=None, description="Failed last then or later.")

    def wanted(self) -> LetterFilter:
        return LetterFilter(self.process, self.reason, self.reference, self.since, "open")


class RedriveIn(BaseModel):
    """Which letters are to be tried again."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"ids": [_LETTER]}, {"filter": {"reason": "provider_unavailable"}}]},
    )

    ids: Annotated[list[UUID], Field(min_length=1, max_length=1000)] | None = None
    filter: LetterFilterIn | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("Give either ids or filter.")
        return self

    def wanted(self) -> list[UUID] | LetterFilter:
        return self.filter.wanted() if self.filter is not None else list(dict.fromkeys(self.ids or ()))


class RedriveCountsOut(BaseModel):
    """How many letters have which result."""

    total: int
    pending: int
    redriven: int
    refused: int
    skipped: int


class RedriveResourceOut(BaseModel):
    """What was started anew."""

    type: Literal["enrichment_job"]
    id: UUID


class RedriveItemOut(BaseModel):
    """What became of one letter."""

    dead_letter_id: UUID
    process: Process
    result: ItemResult = Field(
        description="`redriven`: it is tried again. `refused`: that was not possible, `reason` says why, and it is "
        "open. `skipped`: it was not open; `reason` is the state in which it was."
    )
    reason: str | None = Field(description="A code, such as `insufficient_credits`.")
    resource: RedriveResourceOut | None = Field(description="The new job, one for all letters of a job.")

    @classmethod
    def of(cls, item: RedriveItem) -> Self:
        return cls(
            dead_letter_id=item.letter_id,
            process=item.process,
            result=item.result,
            reason=item.reason,
            resource=RedriveResourceOut(type="enrichment_job", id=item.resource_id) if item.resource_id else None,
        )


class RedriveOut(BaseModel):
    """A request to try letters again, and what became of it so far."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _REDRIVE,
                    "state": "completed",
                    "counts": {"total": 1, "pending": 0, "redriven": 1, "refused": 0, "skipped": 0},
                    "requested_by": "019d6f0e-1a2b-7c3d-8e4f-5a6b7c8d9e0f",
                    "created_at": "2026-11-21T09:40:00.000000Z",
                    "finished_at": "2026-11-21T09:40:00.500000Z",
                }
            ]
        }
    )

    id: UUID
    state: Literal["running", "completed"] = Field(
        description="`completed`: every letter has its result. How the new work ends, the letters say."
    )
    counts: RedriveCountsOut
    requested_by: UUID = Field(description="The person, or the API key.")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, redrive: Redrive) -> Self:
        return cls(
            id=redrive.id,
            state="running" if redrive.finished_at is None else "completed",
            counts=RedriveCountsOut(
                total=redrive.total,
                pending=redrive.pending,
                redriven=redrive.redriven,
                refused=redrive.refused,
                skipped=redrive.skipped,
            ),
            requested_by=redrive.requested_by,
            created_at=redrive.created_at,
            finished_at=redrive.finished_at,
        )


class RedriveDetailOut(RedriveOut):
    """A redrive with a page of its results."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _REDRIVE,
                    "state": "completed",
                    "counts": {"total": 1, "pending": 0, "redriven": 1, "refused": 0, "skipped": 0},
                    "requested_by": "019d6f0e-1a2b-7c3d-8e4f-5a6b7c8d9e0f",
                    "created_at": "2026-11-21T09:40:00.000000Z",
                    "finished_at": "2026-11-21T09:40:00.500000Z",
                    "items": [
                        {
                            "dead_letter_id": _LETTER,
                            "process": "enrichment",
                            "result": "redriven",
                            "reason": None,
                            "resource": {"type": "enrichment_job", "id": "019d6f10-1b22-7a4f-8d55-7c3a2b8e9f16"},
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[RedriveItemOut] = Field(description="In the order in which the letters failed first.")
    next_cursor: str | None = Field(description="`cursor` of the next page of `items`; null at the end.")


class DiscardIn(BaseModel):
    """Why it stays undone."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"reason": "The list was a test"}]}
    )

    reason: Reason = Field(description="Kept with the letter and in the audit log: name nobody.")


class RedriveCursor(Cursor):
    """By letter: the next page begins after this one."""

    after: UUID
