"""The shapes of pages of the payment provider in requests and answers."""

from datetime import datetime
from typing import Annotated, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.billing.page_repository import PageRow, PageStatus
from app.billing.plans import Interval

_RETURNS = "At an origin that this installation allows; left out: where it sends people by itself."
_ID = "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"


def _address(text: str) -> str:
    wrong = ValueError("must be an address such as https://app.example.com/billing")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "\\" in text:
        raise wrong
    return text


ReturnUrl = Annotated[str, Field(max_length=2048, pattern=r"^[!-~]+$"), AfterValidator(_address)]


class CheckoutIn(BaseModel):
    """What is to be bought."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "plan": "starter",
                    "interval": "month",
                    "success_url": "http://127.0.0.1:8000/welcome",
                    "cancel_url": "http://127.0.0.1:8000/plans",
                }
            ]
        },
    )

    plan: str = Field(max_length=40, pattern=r"^[a-z][a-z0-9_-]*$", description="As GET /billing/plans names it.")
    interval: Interval = Field(description="What is paid for at a time.")
    success_url: ReturnUrl | None = Field(default=None, description=f"Where people go who have paid. {_RETURNS}")
    cancel_url: ReturnUrl | None = Field(default=None, description=f"Where people go who have not. {_RETURNS}")


class PortalIn(BaseModel):
    """Where the portal leads back to."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"return_url": "http://127.0.0.1:8000/settings"}]}
    )

    return_url: ReturnUrl | None = Field(default=None, description=f"Where people go who are done. {_RETURNS}")


class PortalSessionOut(BaseModel):
    """A page on which the plan of a workspace is changed, paid for or cancelled."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "status": "open",
                    "url": "https://billing.stripe.com/p/session/test_YWNjdF8x",
                    "expires_at": None,
                    "error": None,
                    "created_at": "2026-11-21T09:30:00.000000Z",
                }
            ]
        }
    )

    id: UUID
    status: PageStatus = Field(description="`failed`: it could not be opened, and will not be.")
    url: str | None = Field(
        description="Opens the page to whoever has it; null before it is open, and once it has expired."
    )
    expires_at: datetime | None = Field(description="Null where Stripe does not say.")
    error: str | None = Field(description="The code of why it could not be opened.")
    created_at: datetime

    @classmethod
    def of(cls, page: PageRow) -> Self:
        return cls(
            id=page.id,
            status=page.status,
            url=page.url,
            expires_at=page.expires_at,
            error=page.error,
            created_at=page.created_at,
        )


class CheckoutSessionOut(PortalSessionOut):
    """A page on which a plan is bought."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "plan": "starter",
                    "status": "open",
                    "url": "https://checkout.stripe.com/c/pay/cs_test_a1b2c3",
                    "expires_at": "2026-11-22T09:30:00.000000Z",
                    "error": None,
                    "created_at": "2026-11-21T09:30:00.000000Z",
                }
            ]
        }
    )

    plan: str

    @classmethod
    def of(cls, page: PageRow) -> Self:
        return cls(**PortalSessionOut.of(page).model_dump(), plan=page.plan)
