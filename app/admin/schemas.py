"""The shapes of what the platform's staff sends and sees."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from app.admin.repository import AnyUser, AnyWorkspace
from app.credits.repository import Balance
from app.credits.schemas import CreditsOut
from app.credits.service import MAX_AMOUNT
from app.providers.circuit_rows import CircuitRow
from app.text import Reason

_FARTHEST = timedelta(days=36_525)


def _in_time(moment: datetime) -> datetime:
    # Compared as differences: a moment at the end of the calendar cannot be converted to UTC.
    left = moment - datetime.now(UTC)
    if left <= timedelta(0):
        raise ValueError("must be in the future")
    if left > _FARTHEST:
        raise ValueError("must be within a hundred years")
    return moment


class GrantIn(BaseModel):
    """Credits for a workspace."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"amount": 5000, "reason": "Goodwill after an outage", "expires_at": "2099-12-31T00:00:00Z"}]
        },
    )

    amount: int = Field(ge=1, le=MAX_AMOUNT, description="In credits.")
    reason: Reason = Field(description="Read by the workspace in its ledger.")
    expires_at: Annotated[AwareDatetime, AfterValidator(_in_time)] | None = Field(
        default=None, description="What is not spent or held by then is lost; null: never."
    )


class SteeringIn(BaseModel):
    """Why a provider is treated so."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"reason": "The vendor announced maintenance"}]}
    )

    reason: Reason = Field(description="Kept with the provider, and shown to the staff.")


class SteeredOut(BaseModel):
    """A provider as all workers treat it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "hunter",
                    "circuit": "open",
                    "circuit_since": "2026-11-21T09:30:00.000000Z",
                    "circuit_opens_until": None,
                    "held_open": True,
                    "disabled": False,
                    "reason": "The vendor announced maintenance",
                    "steered_at": "2026-11-21T09:30:00.000000Z",
                }
            ]
        }
    )

    name: str
    circuit: Literal["closed", "open", "half_open"]
    circuit_since: datetime
    circuit_opens_until: datetime | None = Field(
        description="When an open circuit lets a call try again; null where it is held open."
    )
    held_open: bool = Field(description="It stays open until it is closed by hand.")
    disabled: bool = Field(description="It refuses all, and jobs go on without it.")
    reason: str | None
    steered_at: datetime | None

    @classmethod
    def of(cls, row: CircuitRow) -> Self:
        return cls(
            name=row.provider,
            circuit=row.state,
            circuit_since=row.changed_at,
            circuit_opens_until=row.opens_until,
            held_open=row.is_held,
            disabled=row.is_disabled,
            reason=row.hand_reason,
            steered_at=row.hand_at,
        )


class AnyWorkspaceOut(BaseModel):
    """A workspace of any tenant."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10",
                    "name": "Acme",
                    "members": 3,
                    "credits": {"balance": 1000, "held": 120, "available": 880},
                    "created_at": "2026-11-21T09:30:00.000000Z",
                    "deleted_at": None,
                }
            ]
        }
    )

    id: UUID
    name: str
    members: int = Field(description="How many people are members.")
    credits: CreditsOut
    created_at: datetime
    deleted_at: datetime | None

    @classmethod
    def of(cls, workspace: AnyWorkspace) -> Self:
        return cls(
            id=workspace.workspace_id,
            name=workspace.name,
            members=workspace.members,
            credits=CreditsOut.of(Balance(workspace.balance, workspace.held)),
            created_at=workspace.created_at,
            deleted_at=workspace.deleted_at,
        )


class AnyUserOut(BaseModel):
    """A person with an account, in whatever workspaces."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "019d6f0e-6c20-7f55-b1d3-2a9c8e7f6b54",
                    "email": "ada@example.com",
                    "name": "Ada",
                    "email_verified": True,
                    "is_superadmin": False,
                    "workspaces": 1,
                    "created_at": "2026-11-21T09:30:00.000000Z",
                }
            ]
        }
    )

    id: UUID
    email: str
    name: str
    email_verified: bool
    is_superadmin: bool
    workspaces: int = Field(description="Of how many workspaces they are a member.")
    created_at: datetime

    @classmethod
    def of(cls, user: AnyUser) -> Self:
        return cls(
            id=user.user_id,
            email=user.email,
            name=user.name,
            email_verified=user.email_verified,
            is_superadmin=user.is_superadmin,
            workspaces=user.workspaces,
            created_at=user.created_at,
        )
