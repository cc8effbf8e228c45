"""The shapes of the audit log in answers."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.audit_log.repository import ActorType, Entry


class ActorOut(BaseModel):
    """Who made the change."""

    type: ActorType = Field(description="`superadmin`: the platform's staff. `system`: Holdfast itself.")
    id: UUID | None = Field(description="Of the user or the API key; null for `system`.")


class TargetOut(BaseModel):
    """What was changed."""

    type: str
    id: str


class AuditEntryOut(BaseModel):
    """One change that a person or an API key made, as it was written with the change itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "019d6f0e-5b10-7a02-8c11-3f1c5a9d2e44",
                    "actor": {"type": "api_key", "id": "019d6f0e-1c2b-7d10-9f55-6a0b7c8d9e0f"},
                    "action": "enrichment_job.pause",
                    "target": {"type": "enrichment_job", "id": "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"},
                    "before": {"desired_state": "running"},
                    "after": {"desired_state": "paused"},
                    "address": "203.0.113.7",
                    "request_id": "019d6f0e-5b0f-7b31-8a20-4c5d6e7f8091",
                    "created_at": "2026-11-21T09:30:00.000000Z",
                }
            ]
        }
    )

    id: UUID
    actor: ActorOut
    action: str = Field(description="What was changed and how: `member.remove`.")
    target: TargetOut
    before: dict[str, Any] | None = Field(description="What changed, as it was; never a secret.")
    after: dict[str, Any] | None = Field(description="What changed, as it is now; never a secret.")
    address: str | None = Field(description="Of the client that asked for it.")
    request_id: str | None = Field(description="Of the request, as in its answer and in the log.")
    created_at: datetime

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(
            id=entry.id,
            actor=ActorOut(type=entry.actor_type, id=entry.actor_id),
            action=entry.action,
            target=TargetOut(type=entry.target_type, id=entry.target_id),
            before=None if entry.before is None else dict(entry.before),
            after=None if entry.after is None else dict(entry.after),
            address=entry.address,
            request_id=entry.request_id,
            created_at=entry.created_at,
        )

    def line(self) -> bytes:
        """As a line of JSON."""
        return self.model_dump_json().encode() + b"\n"
