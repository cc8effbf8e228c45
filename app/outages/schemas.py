"""The shapes of outages in answers."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.outages.repository import Waiting
from app.outages.service import Incident


class CauseOut(BaseModel):
    """What opened the circuit."""

    errors: dict[str, int] = Field(description="How many calls failed, by the code of the error.")
    sample: str | None = Field(description="What one of them said.")
    by_operator: bool = Field(description="An operator of the installation opened it.")


class WaitingOut(BaseModel):
    """What waits."""

    workspaces: int | None = Field(description="To the platform's staff, who see all of them; null to others.")
    jobs: int
    records: int = Field(description="Of those jobs, without an end.")
    credits_held: int = Field(description="For those jobs.")

    @classmethod
    def of(cls, waiting: Waiting) -> Self:
        return cls(
            workspaces=waiting.workspaces,
            jobs=waiting.jobs,
            records=waiting.records,
            credits_held=waiting.credits_held,
        )


class OutageOut(BaseModel):
    """A time in which a provider was away: from the opening of its circuit to its close, and on until all that waited
    has come back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10",
                    "provider": "hunter",
                    "opened_at": "2026-11-21T09:30:00.000000Z",
                    "cause": {
                        "errors": {"provider_transient": 5},
                        "sample": "hunter: status 503",
                        "by_operator": False,
                    },
                    "probes": 3,
                    "waiting": {"workspaces": None, "jobs": 2, "records": 1450, "credits_held": 2900},
                    "waited": {"workspaces": None, "jobs": 3, "records": 1500, "credits_held": 3000},
                    "closed_at": None,
                    "drained_at": None,
                }
            ]
        }
    )

    id: UUID
    provider: str
    opened_at: datetime
    cause: CauseOut
    probes: int = Field(description="Calls that tried meanwhile whether the provider is back.")
    waiting: WaitingOut | None = Field(
        description="What waits now of the caller's own workspace; to the platform's staff, of all. Null to people who"
        " asked for no workspace."
    )
    waited: WaitingOut | None = Field(description="The same of all that waited in it at some time.")
    closed_at: datetime | None = Field(description="When the provider was back; null while it is away.")
    drained_at: datetime | None = Field(description="When it was back and nothing waited any more.")

    @classmethod
    def of(cls, incident: Incident) -> Self:
        outage, totals = incident.outage, incident.totals
        return cls(
            id=outage.id,
            provider=outage.provider,
            opened_at=outage.opened_at,
            cause=CauseOut(
                errors=outage.cause.get("errors", {}),
                sample=outage.cause.get("sample"),
                by_operator="reason" in outage.cause,
            ),
            probes=outage.probes,
            waiting=WaitingOut.of(totals.now) if totals else None,
            waited=WaitingOut.of(totals.ever) if totals else None,
            closed_at=outage.closed_at,
            drained_at=outage.drained_at,
        )
