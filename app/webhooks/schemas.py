"""The shapes of webhooks, deliveries and events in requests and answers. A secret is in the answer that makes it."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, SecretStr

from app.pagination import Cursor
from app.text import one_line
from app.webhooks.endpoint_repository import DisabledReason
from app.webhooks.management import Changes, WithSecret
from app.webhooks.service import EventType
from app.webhooks.shown_repository import Delivery, DeliveryState, Event, Webhook

Each = TypeVar("Each")

_ID = "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"
_TYPES: list[JsonValue] = ["enrichment.job.completed", "enrichment.job.failed"]
_WEBHOOK: dict[str, JsonValue] = {
    "id": _ID,
    "url": "https://example.com/webhooks/holdfast",
    "event_types": _TYPES,
    "description": "Results into the CRM",
    "header_names": ["Authorization"],
    "enabled": True,
    "disabled_reason": None,
    "disabled_at": None,
    "failing_since": None,
    "paused_until": None,
    "previous_secret_expires_at": None,
    "created_by": "019d6f0e-5b10-7a02-8c11-3f1c5a9d2e44",
    "created_at": "2026-11-21T09:30:00.000000Z",
    "updated_at": "2026-11-21T09:30:00.000000Z",
}
_EVENT_ID = "019d6f0e-6a1b-7d04-8f12-2b3c4d5e6f70"

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
# What says whose request it is and how it travels is ours to say.
_OUR_HEADERS = frozenset(
    {
        *("host", "user-agent", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"),
        *("accept", "accept-encoding", "via", "forwarded", "cookie", "date"),
    }
)
_OUR_PREFIXES = ("content-", "webhook-", "svix-", "proxy-", "x-forwarded-", "sec-")
_NAME_CHARACTERS = 64
_VALUE_CHARACTERS = 1024


def _each_once(values: list[Each]) -> list[Each]:
    if len(set(values)) != len(values):
        raise ValueError("names one of them twice")
    return values


def _description(text: str) -> str:
    return one_line(text) if text and not text.isspace() else ""


def _headers(value: Any) -> Any:
    """Says which header is wrong by its place: callers paste secrets into names too."""
    if not isinstance(value, dict):
        return value
    for number, (name, content) in enumerate(value.items(), start=1):
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"the name of number {number} is none that a header can have")
        if name.lower() in _OUR_HEADERS or name.lower().startswith(_OUR_PREFIXES):
            raise ValueError(f"number {number} is one that Holdfast sends itself, or that belongs to the connection")
        if not isinstance(content, str) or not _HEADER_VALUE.fullmatch(content):
            raise ValueError(f"the value of number {number} must be printable ASCII without blanks around it")
        if len(name) > _NAME_CHARACTERS or len(content) > _VALUE_CHARACTERS:
            raise ValueError(f"number {number} must have at most {_NAME_CHARACTERS} and {_VALUE_CHARACTERS} characters")
    _each_once([name.lower() for name in value])
    return value


Url = Annotated[str, Field(min_length=1, max_length=2048, json_schema_extra={"format": "uri"})]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=50), AfterValidator(_each_once)]
Description = Annotated[str, Field(max_length=500), AfterValidator(_description)]
Headers = Annotated[dict[str, SecretStr], Field(max_length=10), BeforeValidator(_headers)]

_HEADERS_DESCRIPTION = (
    "Sent with each delivery; their values are never shown again. Names that belong to the request itself, such as "
    "`Host`, `Content-…`, `Webhook-…` and `User-Agent`, are not taken."
)


class WebhookIn(BaseModel):
    """A new webhook."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "url": "https://example.com/webhooks/holdfast",
                    "event_types": _TYPES,
                    "description": "Results into the CRM",
                    "headers": {"Authorization": "Bearer 0123456789abcdef"},
                }
            ]
        },
    )

    url: Url = Field(description="`https`, at a public address, on the port 443 or 80.")
    event_types: EventTypes = Field(description="What it is told of.")
    description: Description = ""
    headers: Headers = Field(default={}, description=_HEADERS_DESCRIPTION)

    def header_values(self) -> dict[str, str]:
        return _opened(self.headers)


class WebhookPatch(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"url": "https://example.com/webhooks/new", "enabled": True}]},
    )

    url: Url | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    headers: Headers | None = Field(default=None, description=f"In place of all those before. {_HEADERS_DESCRIPTION}")
    enabled: bool | None = Field(
        default=None,
        description="false: what waits to be sent fails, and can be recovered. true: as if it had never failed.",
    )

    def changes(self) -> Changes:
        return Changes(
            url=self.url,
            event_types=self.event_types,
            description=self.description,
            headers=None if self.headers is None else _opened(self.headers),
            enabled=self.enabled,
        )


class WebhookOut(BaseModel):
    """A webhook, without its secret and without the values of its headers."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WEBHOOK]})

    id: UUID
    url: str
    event_types: list[str]
    description: str
    header_names: list[str]
    enabled: bool = Field(description="Where it is false, nothing is sent.")
    disabled_reason: DisabledReason | None = Field(
        description="`by_hand`; `gone`: it answered 410; `failing`: it took nothing for five days."
    )
    disabled_at: datetime | None
    failing_since: datetime | None = Field(description="It has taken nothing since then, whatever was sent.")
    paused_until: datetime | None = Field(description="It fails, or asked for it: nothing is sent before then.")
    previous_secret_expires_at: datetime | None = Field(
        description="Until then deliveries are signed with the secret before the current one too."
    )
    created_by: UUID | None = Field(description="The person, or the API key.")
    created_at: datetime
    updated_at: datetime = Field(description="When somebody changed something about it.")

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        return cls.model_validate({name: getattr(webhook, name) for name in Webhook.__slots__})


class WebhookSecretOut(WebhookOut):
    """A webhook, this once with its secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_WEBHOOK, "secret": "whsec_" + "A" * 43 + "="}]})

    secret: str = Field(description="Shown here and never again.")

    @classmethod
    def of_new(cls, new: WithSecret) -> Self:
        return cls(**WebhookOut.of(new.webhook).model_dump(), secret=new.secret)


class AttemptOut(BaseModel):
    """One request to the webhook, and what came of it."""

    at: datetime
    duration_seconds: float
    status: int | None = Field(description="Of the answer; null where none came.")
    error: str | None = Field(description="Why it was not taken, a code; null where it was.")
    answer: str = Field(description="The beginning of the answer's body, 1 kB at the most.")

    @classmethod
    def of(cls, attempt: Mapping[str, Any]) -> Self:
        return cls(
            at=attempt["at"],
            duration_seconds=attempt["milliseconds"] / 1000,
            status=attempt["status"],
            error=attempt["error"],
            answer=attempt["answer"],
        )


class DeliveryOut(BaseModel):
    """An event for a webhook, and each attempt to deliver it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "019d6f0e-6a1c-7b30-8d21-5c6d7e8f9a0b",
                    "event_id": _EVENT_ID,
                    "event_type": "enrichment.job.completed",
                    "state": "pending",
                    "error": "status",
                    "next_attempt_at": "2026-11-21T09:35:04.000000Z",
                    "attempts": [
                        {
                            "at": "2026-11-21T09:30:01.000000Z",
                            "duration_seconds": 0.084,
                            "status": 503,
                            "error": "status",
                            "answer": "upstream is starting",
                        }
                    ],
                    "created_at": "2026-11-21T09:30:00.000000Z",
                    "ended_at": None,
                }
            ]
        }
    )

    id: UUID
    event_id: UUID = Field(description="The header `webhook-id` of every attempt.")
    event_type: str
    state: DeliveryState
    error: str | None = Field(description="Of the last attempt, or why there will be none.")
    next_attempt_at: datetime | None = Field(description="null unless `pending`.")
    attempts: list[AttemptOut] = Field(description="The last ten, in order.")
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(
            id=delivery.id,
            event_id=delivery.event_id,
            event_type=delivery.event_type,
            state=delivery.state,
            error=delivery.error,
            next_attempt_at=delivery.next_attempt_at,
            attempts=[AttemptOut.of(attempt) for attempt in delivery.attempts],
            created_at=delivery.created_at,
            ended_at=delivery.ended_at,
        )


class RecoverIn(BaseModel):
    """From when on."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"since": "2026-11-20T00:00:00Z"}]}
    )

    since: AwareDatetime = Field(description="Of the events: what was told then or later.")


class RecoveryOut(BaseModel):
    """What is sent again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deliveries": 1204}]})

    deliveries: int = Field(description="So many had failed, and are pending now.")


class EventOut(BaseModel):
    """What a workspace is told: in this form it is delivered too."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _EVENT_ID,
                    "type": "enrichment.job.completed",
                    "version": 1,
                    "timestamp": "2026-11-21T09:30:00.000000Z",
                    "data": {"job_id": _ID, "counts": {"total": 2, "matched": 2}},
                }
            ]
        }
    )

    id: UUID = Field(description="The same whenever it is told.")
    type: str
    version: int = Field(description="Of the form of `data`.")
    timestamp: datetime
    data: JsonValue

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls(id=event.id, type=event.type, version=event.version, timestamp=event.created_at, data=event.data)


class EventCursor(Cursor):
    """In order of time: the next page begins behind this one."""

    at: AwareDatetime
    id: UUID


def _opened(headers: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in headers.items()}
