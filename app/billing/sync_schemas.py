"""The shapes of comparisons with Stripe in requests and answers."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.billing.sync_repository import Drift, Sync, SyncStatus, What

_ID = "019d6f0e-7c33-7f10-b2a4-5d1be0f6c911"


class SyncOut(BaseModel):
    """A comparison of what we have of a workspace's billing with what Stripe has, which counts."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "status": "completed",
                    "reconciliation_id": None,
                    "differences": 1,
                    "created_at": "2026-11-21T09:30:00.000000Z",
                    "finished_at": "2026-11-21T09:30:01.200000Z",
                }
            ]
        }
    )

    id: UUID
    status: SyncStatus = Field(
        description="`completed`: what Stripe had then is applied. It is `running` for as long as Stripe is away."
    )
    reconciliation_id: UUID | None = Field(
        description="Of the comparison of all workspaces that found a difference here; null where somebody asked."
    )
    differences: int = Field(description="How many were found and corrected, once it is `completed`.")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, sync: Sync) -> Self:
        return cls(
            id=sync.id,
            status=sync.status,
            reconciliation_id=sync.reconciliation_id,
            differences=sync.differences,
            created_at=sync.created_at,
            finished_at=sync.finished_at,
        )


class DriftOut(BaseModel):
    """Something that Stripe had otherwise than we did."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "019d6f0e-7d01-7a55-9c31-2f7a8e6b5d40",
                    "what": "subscription",
                    "reference": "sub_1QxYzA2eZvKYlo2C",
                    "ours": {"status": "active"},
                    "theirs": {"status": "canceled"},
                    "action": "updated",
                    "created_at": "2026-11-21T09:30:01.100000Z",
                }
            ]
        }
    )

    id: UUID
    what: What
    reference: str = Field(description="Stripe's id of it.")
    ours: JsonValue = Field(description="What differed, as we had it; null where we had nothing.")
    theirs: JsonValue = Field(description="The same as Stripe has it; null where it has nothing.")
    action: str = Field(description="What was done about it.")
    created_at: datetime

    @classmethod
    def of(cls, drift: Drift) -> Self:
        return cls(
            id=drift.id,
            what=drift.what,
            reference=drift.reference,
            ours=drift.ours,
            theirs=drift.theirs,
            action=drift.action,
            created_at=drift.created_at,
        )
