"""The envelope around every JSON answer, as types, and what the OpenAPI document says of errors."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Generic, Literal, TypeVar

import structlog
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from app.errors import AppError, Detail
from app.pagination import Page

API_VERSION = "v1"

Data = TypeVar("Data")


class _Part(BaseModel):
    # What has a default is always there in an answer.
    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Meta(_Part):
    """About the answer itself."""

    request_id: str = Field(description="Also in the header X-Request-Id, and in every log line of the request.")
    timestamp: datetime = Field(description="When the answer was made, UTC.")
    version: str = Field(default=API_VERSION, description="Of the API.")


class ListMeta(Meta):
    """About an answer that is a page of a list."""

    next_cursor: str | None = Field(description="`cursor` of the next page; null at the end.")


class Envelope(_Part, Generic[Data]):
    """An answer."""

    success: Literal[True] = True
    data: Data
    error: None = None
    meta: Meta


class ListEnvelope(_Part, Generic[Data]):
    """A page of a list."""

    success: Literal[True] = True
    data: list[Data]
    error: None = None
    meta: ListMeta


class ErrorDetail(_Part):
    """One place in the request that is wrong."""

    field: str = Field(description="A path such as `records[3].domain`.")
    message: str


class ErrorBody(_Part):
    """What went wrong and what to do."""

    code: str = Field(description="Stable snake_case, for programs.")
    message: str = Field(description="For people.")
    details: list[ErrorDetail]


class ErrorEnvelope(_Part):
    """An answer that is an error."""

    success: Literal[False] = False
    data: None = None
    error: ErrorBody
    meta: Meta


def meta() -> Meta:
    """About the answer to the request that is being answered."""
    # The middleware bound the id for the log lines; the answer names the same.
    return Meta(request_id=structlog.contextvars.get_contextvars()["request_id"], timestamp=datetime.now(UTC))


def envelope(data: Data) -> Envelope[Data]:
    """`data` in the envelope of the request that is being answered."""
    return Envelope(data=data, meta=meta())


def list_envelope(page: Page[Data]) -> ListEnvelope[Data]:
    """A page in the envelope of the request that is being answered."""
    return ListEnvelope(data=list(page.items), meta=ListMeta(**dict(meta()), next_cursor=page.next_cursor))


def error_envelope(code: str, message: str, details: tuple[Detail, ...] = ()) -> ErrorEnvelope:
    """An error in the envelope of the request that is being answered."""
    return ErrorEnvelope(
        error=ErrorBody(
            code=code,
            message=message,
            details=[ErrorDetail(field=each.field, message=each.message) for each in details],
        ),
        meta=meta(),
    )


def respond(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An envelope as a response of its own, for an operation that chooses status or headers as it goes."""
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


def errors(*classes: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """What an operation may answer besides success, for `responses=`: the errors speak for themselves.

    Every operation of the API has those that app/api.py adds; name the others where they can happen.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    for cls in classes:
        status = HTTPStatus(cls.status)
        entry = responses.setdefault(
            cls.status,
            {
                "model": ErrorEnvelope,
                "description": status.phrase,
                "content": {"application/json": {"examples": {}}},
            },
        )
        entry["content"]["application/json"]["examples"][cls.code] = {"value": _example(cls, status)}
    return responses


def _example(cls: type[AppError], status: HTTPStatus) -> dict[str, Any]:
    # The docstring of the base class is for readers of the code.
    meaning = (cls.__doc__ if cls is not AppError else None) or status.phrase
    return {
        "success": False,
        "data": None,
        "error": {"code": cls.code, "message": meaning.strip().partition("\n")[0], "details": []},
        "meta": EXAMPLE_META,
    }


EXAMPLE_META = {
    "request_id": "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10",
    "timestamp": "2026-11-21T09:30:00.000000Z",
    "version": API_VERSION,
}
