"""The shapes of signing in, in requests and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.accounts.repository import User
from app.accounts.service import Registered, SignedIn, Tokens
from app.text import EmailAddress, Name
from app.workspaces.schemas import WorkspaceOut

_ADDRESS = "ada@example.com"
_PASSWORD = "correct horse battery staple"  # noqa: S105  # of an example
_LINK_TOKEN = "mZ2x0kq5y3l8Jr7vQ1w9TzB4cN6dF0hG2sA5eU8iKpo"  # noqa: S105  # of an example
_USER: dict[str, Any] = {
    "id": "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10",
    "email": _ADDRESS,
    "name": "Ada Lovelace",
    "email_verified": False,
    "has_password": True,
    "is_superadmin": False,
    "created_at": "2026-11-21T09:30:00.000000Z",
}
_WORKSPACE: dict[str, Any] = {
    "id": "019d6f0e-5b10-7a02-8c11-3f1c5a9d2e44",
    "name": "Ada Lovelace's workspace",
    "role": "owner",
    "settings": {"default_providers": None, "credits_low_threshold": None},
    "created_at": "2026-11-21T09:30:00.000000Z",
    "deleted_at": None,
}
_TOKENS: dict[str, Any] = {
    "access_token": "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.eyJzdWIiOiIwMTlkNmYwZSJ9.c2lnbmF0dXJl",
    "refresh_token": "Xw3nC7rT9yB1mK5vL2qZ8pD4sF6gH0jA3eU5iO7tR9c",
    "token_type": "Bearer",
    "expires_in_seconds": 900,
}

NewPassword = Annotated[SecretStr, Field(min_length=12, max_length=128)]
# Whatever somebody types: the answer to a wrong one says nothing about what right ones look like.
GivenPassword = Annotated[SecretStr, Field(min_length=1, max_length=128)]
GivenToken = Annotated[SecretStr, Field(min_length=1, max_length=200)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _example(**example: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [example]})


class RegisterIn(_In):
    """Who wants an account."""

    model_config = _example(email=_ADDRESS, password=_PASSWORD, name="Ada Lovelace")

    email: EmailAddress
    password: NewPassword = Field(description="12 to 128 characters.")
    name: Name


class LoginIn(_In):
    """Who wants in."""

    model_config = _example(email=_ADDRESS, password=_PASSWORD)

    email: EmailAddress
    password: GivenPassword


class RefreshIn(_In):
    """The refresh token of the last answer."""

    model_config = _example(refresh_token=_TOKENS["refresh_token"])

    refresh_token: GivenToken


class AddressIn(_In):
    """Whom to mail."""

    model_config = _example(email=_ADDRESS)

    email: EmailAddress


class LinkIn(_In):
    """What a mail carried, behind the `#token=` of its link."""

    model_config = _example(token=_LINK_TOKEN)

    token: GivenToken


class PasswordResetIn(_In):
    """What a mail carried, and the password to come."""

    model_config = _example(token=_LINK_TOKEN, password=_PASSWORD)

    token: GivenToken
    password: NewPassword = Field(description="12 to 128 characters.")


class PasswordChangeIn(_In):
    """The present password, and the one to come."""

    model_config = _example(current_password=_PASSWORD, new_password=_PASSWORD.upper())

    current_password: GivenPassword
    new_password: NewPassword = Field(description="12 to 128 characters.")


class MeIn(_In):
    """What to change."""

    model_config = _example(name="Ada King")

    name: Name


class UserOut(BaseModel):
    """A person."""

    model_config = ConfigDict(json_schema_extra={"examples": [_USER]})

    id: UUID
    email: str
    name: str
    email_verified: bool = Field(description="Whether a link mailed there was followed.")
    has_password: bool = Field(description="Whether there is a password to sign in with, beside magic links.")
    is_superadmin: bool = Field(description="Whether the person is of the platform's staff.")
    created_at: datetime

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(
            id=user.id,
            email=user.email,
            name=user.name,
            email_verified=user.email_verified_at is not None,
            has_password=user.password_hash is not None,
            is_superadmin=user.is_superadmin,
            created_at=user.created_at,
        )


class TokensOut(BaseModel):
    """The tokens of one sign-in. The refresh token is good for one use: used again, it ends the sign-in."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TOKENS]})

    access_token: str = Field(description="For the header Authorization.")
    refresh_token: str = Field(description="For new tokens when the access token has expired.")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # the name of a scheme
    expires_in_seconds: int = Field(description="Of the access token, from now.")

    @classmethod
    def of(cls, tokens: Tokens) -> Self:
        return cls(
            access_token=tokens.access, refresh_token=tokens.refresh, expires_in_seconds=tokens.expires_in_seconds
        )


class SignedInOut(BaseModel):
    """Who is signed in, and the tokens that say so."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user": _USER, "tokens": _TOKENS}]})

    user: UserOut
    tokens: TokensOut

    @classmethod
    def of(cls, signed_in: SignedIn) -> Self:
        return cls(user=UserOut.of(signed_in.user), tokens=TokensOut.of(signed_in.tokens))


class RegisteredOut(BaseModel):
    """A new person, who is signed in and owns a new workspace."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user": _USER, "workspace": _WORKSPACE, "tokens": _TOKENS}]}
    )

    user: UserOut
    workspace: WorkspaceOut
    tokens: TokensOut

    @classmethod
    def of(cls, registered: Registered) -> Self:
        return cls(
            user=UserOut.of(registered.user),
            workspace=WorkspaceOut.of(registered.workspace),
            tokens=TokensOut.of(registered.tokens),
        )


class MailAskedOut(BaseModel):
    """That was all: whether there is such an account is said to the owner of the address alone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": _ADDRESS, "valid_for_seconds": 900}]})

    email: str = Field(description="Where a mail goes, if there is an account.")
    valid_for_seconds: int = Field(description="How long the link in it is good.")
