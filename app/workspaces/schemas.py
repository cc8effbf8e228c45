"""The shapes of workspaces in requests and answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.auth.permissions import Role
from app.text import Name
from app.workspaces.repository import Workspace

_MAX_CREDITS = 10**12
_MAX_PROVIDERS = 50


def _each_once(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("names one of them twice")
    return names


ProviderName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9_-]+$")]


class SettingsOut(BaseModel):
    """What a workspace has chosen for itself."""

    default_providers: list[str] | None = Field(
        description="Whom a job asks, in order, that names no providers; null: all that are available, cheapest first."
    )
    credits_low_threshold: int | None = Field(
        description="Fewer available credits than this are said to be low; null: as the installation has it."
    )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        return cls.model_validate({name: settings.get(name) for name in cls.model_fields})


class WorkspaceOut(BaseModel):
    """A workspace, and what the caller is there."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10",
                    "name": "Acme",
                    "role": "owner",
                    "settings": {"default_providers": ["website", "hunter"], "credits_low_threshold": 100},
                    "created_at": "2026-11-21T09:30:00.000000Z",
                    "deleted_at": None,
                }
            ]
        }
    )

    id: UUID
    name: str
    role: Role = Field(description="The caller's, or that of who made the caller's API key.")
    settings: SettingsOut
    created_at: datetime
    deleted_at: datetime | None = Field(description="Only in the answer to its deletion: afterwards it is gone.")

    @classmethod
    def of(cls, workspace: Workspace) -> Self:
        return cls(
            id=workspace.id,
            name=workspace.name,
            role=workspace.role,
            settings=SettingsOut.of(workspace.settings),
            created_at=workspace.created_at,
            deleted_at=workspace.deleted_at,
        )


class WorkspaceIn(BaseModel):
    """A new workspace."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"name": "Acme"}]})

    name: Name


class SettingsIn(BaseModel):
    """Settings to change; null takes one back, and what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    default_providers: (
        Annotated[list[ProviderName], Field(min_length=1, max_length=_MAX_PROVIDERS), AfterValidator(_each_once)] | None
    ) = None
    credits_low_threshold: Annotated[int, Field(ge=0, le=_MAX_CREDITS)] | None = None

    def changes(self) -> dict[str, Any]:
        """Setting → new value, of those that the request names."""
        return self.model_dump(exclude_unset=True)


class WorkspacePatch(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"name": "Acme", "settings": {"default_providers": ["website", "hunter"]}}]},
    )

    name: Name | None = None
    settings: SettingsIn | None = None
