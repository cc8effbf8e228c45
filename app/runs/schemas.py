"""The shapes of runs in answers, and their cursor."""

from datetime import datetime
from hashlib import sha256
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.pagination import Cursor
from app.runs.service import OwnRun, PendingActivity, Run, RunDetail, RunStatus

_JOB = "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"
_EXAMPLE: dict[str, JsonValue] = {
    "workflow_id": f"enrichment-job/{_JOB}",
    "run_id": "019d6f0e-5b1c-7d02-8f44-1c7a9e6b3d25",
    "process": "enrichment",
    "workflow": "EnrichRecords",
    "status": "running",
    "waiting_for": ["hunter"],
    "outcome": None,
    "started_at": "2026-11-21T09:30:00.000000Z",
    "closed_at": None,
}


class RunOut(BaseModel):
    """A run of a workflow."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    workflow_id: str = Field(description="Names the work: that of a job is `enrichment-job/` and the job's id.")
    run_id: str
    process: str | None
    workflow: str
    status: RunStatus = Field(description="Of the run, not of its work: a job that was cancelled by us `completed`.")
    waiting_for: list[str] = Field(description="The providers that it waits for.")
    outcome: str | None = Field(description="How its work ended; null while it has not.")
    started_at: datetime
    closed_at: datetime | None

    @classmethod
    def of(cls, run: Run) -> Self:
        return cls(
            workflow_id=run.workflow_id,
            run_id=run.run_id,
            process=run.process,
            workflow=run.workflow,
            status=run.status,
            waiting_for=list(run.waiting_for),
            outcome=run.outcome,
            started_at=run.started_at,
            closed_at=run.closed_at,
        )


class PendingActivityOut(BaseModel):
    """What a run waits for."""

    activity: str
    provider: str | None = Field(description="Whose queue it is in; null for work on our own database.")
    attempt: int
    last_failure: str | None
    next_attempt_at: datetime | None = Field(description="Null while an attempt is under way or waits for a worker.")

    @classmethod
    def of(cls, pending: PendingActivity) -> Self:
        return cls(
            activity=pending.activity,
            provider=pending.provider,
            attempt=pending.attempt,
            last_failure=pending.last_failure,
            next_attempt_at=pending.next_attempt_at,
        )


class OwnRunOut(RunOut):
    """A run of a workflow of the workspace."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, "dead_letters": 3}]})

    dead_letters: int = Field(
        description="Open ones of its work: of the records of its job, the deliveries to its endpoint."
    )

    @classmethod
    def of_own(cls, own: OwnRun) -> Self:
        return cls(**dict(RunOut.of(own.run)), dead_letters=own.dead_letters)


class RunDetailOut(OwnRunOut):
    """A run of a workflow, and what it waits for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_EXAMPLE,
                    "dead_letters": 3,
                    "summary": "job 5c2f7a10 · 529 records",
                    "pending_activities": [
                        {
                            "activity": "lookup",
                            "provider": "hunter",
                            "attempt": 3,
                            "last_failure": "hunter: circuit open, next attempt 09:31:10 UTC",
                            "next_attempt_at": "2026-11-21T09:31:10.214000Z",
                        }
                    ],
                }
            ]
        }
    )

    summary: str | None = Field(description="What operators read of it.")
    pending_activities: list[PendingActivityOut]

    @classmethod
    def of_detail(cls, detail: RunDetail, own: OwnRun) -> Self:
        return cls(
            **dict(OwnRunOut.of_own(own)),
            summary=detail.summary,
            pending_activities=[PendingActivityOut.of(each) for each in detail.pending],
        )


class AnyRunOut(RunOut):
    """A run of a workflow of any tenant, or of the platform itself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE, "workspace_id": "019d6f0e-6c20-7f55-b1d3-2a9c8e7f6b54"}]}
    )

    workspace_id: UUID | None = Field(description="Null for what the platform does for itself.")

    @classmethod
    def of(cls, run: Run) -> Self:
        return cls(**dict(RunOut.of(run)), workspace_id=run.workspace_id)


class RunCursor(Cursor):
    """Where Temporal goes on. Its token says nothing about whose runs these are: the query does, on every page.

    The digest is no secret. It finds a token that was changed, which Temporal would try to read for seconds.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    token: bytes = Field(min_length=1, max_length=500)
    digest: bytes

    @classmethod
    def at(cls, token: bytes) -> Self:
        return cls(token=token, digest=_digest(token))

    @model_validator(mode="after")
    def _is_unchanged(self) -> Self:
        if self.digest != _digest(self.token):
            raise ValueError("the token was changed")
        return self


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()[:8]
