"""What routes ask for by type: the process's resources, and the body of the request, read when they say so.

FastAPI reads and parses a declared body before any dependency runs, so that invalid JSON without a credential would
be 422 and a hundred megabytes of upload would be read before the 401. Here a body is a dependency too: declare it
after the caller, and it is read after the caller was let in.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ValidationError
from temporalio.client import Client

from app.db import Sessions
from app.errors import AppError, Detail, InvalidRequest, PayloadTooLarge, RequestTimeout, UnsupportedMediaType
from app.providers.ports import Offer
from app.resources import ApiResources
from app.settings import Settings

JSON_LIMIT_BYTES = 10 * 1024 * 1024
UPLOAD_LIMIT_BYTES = 100 * 1024 * 1024

# What `json_body` can raise, for `errors(*BODY_ERRORS)`.
BODY_ERRORS: tuple[type[AppError], ...] = (RequestTimeout, PayloadTooLarge, UnsupportedMediaType, InvalidRequest)

_MAX_DETAILS = 100

Model = TypeVar("Model", bound=BaseModel)


async def resources(request: Request) -> ApiResources:
    """What the process holds open."""
    opened: ApiResources = request.app.state.resources
    return opened


Resources = Annotated[ApiResources, Depends(resources)]


async def _settings(opened: Resources) -> Settings:
    return opened.settings


async def _sessions(opened: Resources) -> Sessions:
    return opened.sessions


async def _temporal(opened: Resources) -> Client:
    return opened.temporal


async def _offers(opened: Resources) -> Mapping[str, Offer]:
    return opened.offers


async def _circuits(opened: Resources) -> Collection[str]:
    return opened.circuits


SettingsDep = Annotated[Settings, Depends(_settings)]
SessionsDep = Annotated[Sessions, Depends(_sessions)]
TemporalDep = Annotated[Client, Depends(_temporal)]
# Anything else names no provider, and is not looked for.
ProviderName = Annotated[
    str,
    Path(
        pattern=r"^[a-z0-9_-]{1,64}$",
        description="As GET /providers names it; circuits and outages are of `stripe` too.",
        examples=["hunter"],
    ),
]
OffersDep = Annotated[Mapping[str, Offer], Depends(_offers)]
# The names of those that have a circuit: the providers that are offered, and the payment provider.
CircuitsDep = Annotated[Collection[str], Depends(_circuits)]


def json_body(model: type[Model]) -> Any:
    """A dependency that reads the body as `model`: ``body: Annotated[JobIn, json_body(JobIn)]``, after the caller.

    The operation shows it by ``openapi_extra=json_request(JobIn)``. Raises BODY_ERRORS.
    """

    async def read(request: Request) -> Model:
        return await read_json(request, model)

    return Depends(read)


def json_request(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of an operation whose body is `model` as JSON."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": request_schema(model)}}}}


def request_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of `model` for `openapi_extra`; app/openapi.py moves its ``$defs`` to the document's components."""
    return model.model_json_schema(ref_template="#/components/schemas/{model}")


async def read_json(request: Request, model: type[Model], limit_bytes: int = JSON_LIMIT_BYTES) -> Model:
    """Read the body as JSON of the form of `model`.

    Raises UnsupportedMediaType, PayloadTooLarge, or InvalidRequest with the place of each mistake.
    """
    kind = media_type(request)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType(f"Send the body as application/json, not as {kind}.")
    body = b"".join([chunk async for chunk in body_stream(request, limit_bytes)])
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest(
            "The request body is not valid.", details=details_of(error.errors(include_input=False))
        ) from None


async def body_stream(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes in.

    Raises PayloadTooLarge: before the first byte is read where the length is declared, else as soon as it is passed;
    UnsupportedMediaType for a compressed body. RequestTimeout comes from app/middleware.py.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("Send the body without Content-Encoding.")
    too_large = PayloadTooLarge(f"The body is larger than {limit_bytes // 1024**2} MB.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit_bytes:
            raise too_large
        yield chunk


def media_type(request: Request) -> str:
    """The media type of the body in lower case, without parameters; empty when there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def details_of(errors: Iterable[Mapping[str, Any]], *, skip: int = 0) -> list[Detail]:
    """Pydantic's errors as places in the input, the first hundred; `skip` leading parts of each location are dropped.

    Says what was expected and never what was there: it may be a secret.
    """
    return [
        Detail(_path(error["loc"][skip:]), str(error["msg"]).removeprefix("Value error, "))
        for error, _ in zip(errors, range(_MAX_DETAILS), strict=False)
    ]


def _path(location: Iterable[int | str]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".") or "body"
