"""The shapes of provider credentials in requests and answers. No answer has a field for the secret."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from app.credentials.repository import Credential, Status, StatusReason
from app.pagination import Cursor

_PRINTABLE = {chr(code) for code in range(0x21, 0x7F)}


def _header_safe(value: SecretStr) -> SecretStr:
    if not _PRINTABLE.issuperset(value.get_secret_value()):
        raise ValueError("must be printable ASCII without spaces")
    return value


# It goes into a header of HTTP.
ApiKey = Annotated[
    SecretStr,
    Field(min_length=8, max_length=512, json_schema_extra={"pattern": "^[!-~]+$"}),
    AfterValidator(_header_safe),
]


class _SecretBearing(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    # Not extra="forbid": its message names what was sent, and callers paste secrets into odd places.
    @model_validator(mode="before")
    @classmethod
    def _nothing_else(cls, value: Any) -> Any:
        if isinstance(value, dict) and not value.keys() <= cls.model_fields.keys():
            raise ValueError(f"has members other than {', '.join(cls.model_fields)}")
        return value


class SecretIn(_SecretBearing):
    """What the provider knows its customer by."""

    api_key: ApiKey


class CredentialIn(_SecretBearing):
    """A credential to be stored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"secret": {"api_key": "0123456789abcdef0123456789abcdef"}}]}
    )

    secret: SecretIn


class CredentialOut(BaseModel):
    """A workspace's own credential for a provider, masked. Calls of the workspace are made with it, and no other."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "provider": "hunter",
                    "hint": "cdef",
                    "status": "rejected",
                    "status_reason": "payment_required",
                    "checked_at": "2026-11-21T09:30:00.000000Z",
                    "updated_at": "2026-11-20T16:02:11.000000Z",
                }
            ]
        }
    )

    provider: str
    hint: str = Field(description="The last four characters of the secret.")
    status: Status = Field(description="`rejected`: the provider refused it, and is asked nothing more with it.")
    status_reason: StatusReason | None = Field(
        description="Why it is rejected; `provider_unavailable` where the last check came to no result."
    )
    checked_at: datetime | None = Field(description="When the provider last took or refused it.")
    updated_at: datetime = Field(description="When the secret was stored.")

    @classmethod
    def of(cls, credential: Credential) -> Self:
        return cls(
            provider=credential.provider,
            hint=credential.hint,
            status=credential.status,
            status_reason=credential.status_reason,
            checked_at=credential.checked_at,
            updated_at=credential.updated_at,
        )


class CredentialCursor(Cursor):
    """By provider: the next page begins behind this one."""

    after: str = Field(max_length=64, pattern=r"^[a-z0-9_-]*$")
