"""The shapes of API keys in requests and answers."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from app.api_keys.repository import ApiKey
from app.api_keys.service import NewApiKey
from app.auth.permissions import KeyScope
from app.text import Name

_KEY: dict[str, JsonValue] = {
    "id": "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10",
    "name": "Nightly import",
    "prefix": "hf_live_",
    "last_four": "x7Qa",
    "scopes": ["enrichment:read", "enrichment:write"],
    "created_by": "019d6f0e-5b10-7a02-8c11-3f1c5a9d2e44",
    "created_at": "2026-11-21T09:30:00.000000Z",
    "expires_at": None,
    "last_used_at": None,
}


def _each_once(scopes: list[KeyScope]) -> list[KeyScope]:
    if len(set(scopes)) != len(scopes):
        raise ValueError("names one of them twice")
    return scopes


class ApiKeyIn(BaseModel):
    """A new key."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"name": "Nightly import", "scopes": ["enrichment:read", "enrichment:write"]}]},
    )

    name: Name
    scopes: Annotated[list[KeyScope], Field(min_length=1, max_length=50), AfterValidator(_each_once)] = Field(
        description="What it may do: no more than who makes it, now and later."
    )
    expires_at: AwareDatetime | None = Field(default=None, description="When it ends by itself; null: never.")


class ApiKeyOut(BaseModel):
    """An API key without its secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [_KEY]})

    id: UUID
    name: str
    prefix: str
    last_four: str = Field(description="The end of the secret, to tell it from others.")
    scopes: list[str]
    created_by: UUID | None = Field(description="The member by whose membership it lives; null: the operator's.")
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute; null: never.")

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls.model_validate({name: getattr(key, name) for name in ApiKey.__slots__})


class NewApiKeyOut(ApiKeyOut):
    """A new API key, this once with its secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_KEY, "secret": "hf_live_" + "0" * 39 + "x7Qa"}]})

    secret: str = Field(description="Shown here and never again.")

    @classmethod
    def of_new(cls, new: NewApiKey) -> Self:
        return cls(**ApiKeyOut.of(new.key).model_dump(), secret=new.secret)
