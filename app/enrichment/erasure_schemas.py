"""The shapes of erasures in requests and answers."""

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.enrichment.erasure_repository import Erasure
from app.enrichment.erasures import counts_of
from app.enrichment.traces import Kind, Trace, trace_of

_ID = "019d6f0e-7c33-7f10-b2a4-5d1be0f6c911"


class ErasureIn(BaseModel):
    """Who is to be erased: a person by an e-mail address, or a company by its domain, with everybody there."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"email": "ann@example.com"}, {"domain": "example.com"}]}
    )

    email: str | None = Field(default=None, max_length=500, description="In any form that a record may have it in.")
    domain: str | None = Field(
        default=None,
        max_length=500,
        description="A host or a URL. Hosts below it and addresses at it are meant too: of a provider of mailboxes "
        "that is everybody who has one.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.email is None) == (self.domain is None):
            raise ValueError("Give either email or domain.")
        return self

    def trace(self) -> Trace:
        """Raises InvalidRequest for what is no address or no domain."""
        return trace_of(self.email, self.domain)


class ErasedOut(BaseModel):
    """Where something was removed, and how much. Uploads leave no file behind in which something could be."""

    inputs: int = Field(description="Records that lost their input, or a part of it.")
    results: int = Field(description="Answers of providers that lost values.")
    raw_answers: int = Field(description="Answers in the provider's own words.")
    reuse: int = Field(description="Answers that no later job gets any more.")
    events: int
    remembered_answers: int = Field(description="Answers to requests with an `Idempotency-Key`.")
    receivers_answers: int = Field(description="What the workspace's own endpoints answered to deliveries.")
    dead_letters: int = Field(description="Letters about what is not there any more, and reasons that mention it.")
    running_jobs: int = Field(description="Of the jobs: those that had not ended.")


class ErasureOut(BaseModel):
    """The erasure of a person or a company. Nothing says who it was, but to whoever knows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "status": "completed",
                    "kind": "email",
                    "digest": "5f8a6c0d9b7e21f4a3c8d5e6f7081920a1b2c3d4e5f60718293a4b5c6d7e8f90",
                    "erased": {
                        "inputs": 2,
                        "results": 5,
                        "raw_answers": 5,
                        "reuse": 4,
                        "events": 0,
                        "remembered_answers": 0,
                        "receivers_answers": 0,
                        "dead_letters": 0,
                        "running_jobs": 1,
                    },
                    "requested_by": "019d6f0e-1a2b-7c3d-8e4f-5a6b7c8d9e0f",
                    "created_at": "2026-11-21T09:30:00.000000Z",
                    "finished_at": "2026-11-21T09:40:02.000000Z",
                }
            ]
        }
    )

    id: UUID
    status: Literal["running", "completed"] = Field(
        description="While a job runs that might bring something back, everything is looked through twice, ten minutes "
        "apart."
    )
    kind: Kind
    digest: str = Field(
        description="SHA-256, in hexadecimal, of `<id>:<kind>:<subject>`, the subject in lower case: what proves whose "
        "erasure it was."
    )
    erased: ErasedOut = Field(description="So far.")
    requested_by: UUID = Field(description="The person, or the API key.")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, erasure: Erasure) -> Self:
        return cls(
            id=erasure.id,
            status="running" if erasure.finished_at is None else "completed",
            kind=erasure.kind,
            digest=erasure.digest.hex(),
            erased=ErasedOut(**counts_of(erasure)),
            requested_by=erasure.requested_by,
            created_at=erasure.created_at,
            finished_at=erasure.finished_at,
        )
