"""The shapes of members and invitations in requests and answers."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.auth.permissions import Role
from app.pagination import Cursor
from app.team.repository import Invitation, Member
from app.text import EmailAddress

_ID = "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"
_AT = "2026-11-21T09:30:00.000000Z"


class MemberOut(BaseModel):
    """A person with a role in the workspace."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": _ID, "name": "Ada", "email": "ada@example.com", "role": "admin", "created_at": _AT}
            ]
        }
    )

    user_id: UUID
    name: str
    email: str
    role: Role
    created_at: datetime = Field(description="When the person became a member.")

    @classmethod
    def of(cls, member: Member) -> Self:
        return cls(
            user_id=member.user_id,
            name=member.name,
            email=member.email,
            role=member.role,
            created_at=member.created_at,
        )


class MemberPatch(BaseModel):
    """What a member is to be."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"role": "viewer"}]})

    role: Role


class InvitationIn(BaseModel):
    """Whom to invite, and as what."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"email": "ada@example.com", "role": "member"}]},
    )

    email: EmailAddress
    role: Role = "member"


class InvitationOut(BaseModel):
    """An invitation that can still be accepted. The token is in the mail, and nowhere else."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "email": "ada@example.com",
                    "role": "member",
                    "invited_by": _ID,
                    "created_at": _AT,
                    "expires_at": "2026-11-28T09:30:00.000000Z",
                }
            ]
        }
    )

    id: UUID
    email: str
    role: Role
    invited_by: UUID | None = Field(description="The member who invited.")
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, invitation: Invitation) -> Self:
        return cls(
            id=invitation.id,
            email=invitation.email,
            role=invitation.role,
            invited_by=invitation.invited_by,
            created_at=invitation.created_at,
            expires_at=invitation.expires_at,
        )


class MemberCursor(Cursor):
    """In order of user id: the next page begins after this one."""

    after: UUID
