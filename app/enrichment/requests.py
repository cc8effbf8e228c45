"""Reading a request for a job: a JSON body, or a CSV upload with options; and how it is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.auth.dependencies import caller, limit_upload
from app.auth.permissions import Caller
from app.deps import UPLOAD_LIMIT_BYTES, Resources, body_stream, details_of, media_type, read_json, request_schema
from app.enrichment import uploads
from app.enrichment.csv_input import CsvIntake
from app.enrichment.intake import Intake, RecordsIntake
from app.enrichment.options import JobOptions
from app.enrichment.repository import Job
from app.enrichment.request_schemas import JobIn, UploadOptionsIn
from app.enrichment.schemas import JobOut
from app.enrichment.submit import Door
from app.errors import InvalidRequest
from app.idempotency.answers import Once, Remembered, Scope
from app.idempotency.service import fingerprint
from app.workspaces import service as workspaces

EnrichmentWriter = Annotated[Caller, caller("enrichment:write")]

# The `openapi_extra` of an operation that reads a `job_request`.
JOB_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": request_schema(JobIn)},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "options"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "CSV in UTF-8 with a header row. Row 1 is the first below the header.",
                        },
                        "options": request_schema(UploadOptionsIn),
                    },
                },
                "encoding": {"options": {"contentType": "application/json"}},
            },
        },
    }
}


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What came: the rows, what is wanted of them, and where callers find a wrong option (`within`). `body` and the
    digests of files, `contents`, make it the same as another."""

    intake: Intake
    options: JobOptions
    within: str
    body: BaseModel
    contents: tuple[bytes, ...] = ()


@asynccontextmanager
async def job_request(request: Request, caller: Caller, *, max_rows: int) -> AsyncIterator[JobRequest]:
    """Read the body; a file that was uploaded is there for as long as the block lasts.

    Raises BODY_ERRORS, and RateLimited for an upload.
    """
    if media_type(request) != "multipart/form-data":
        body = await read_json(request, JobIn)
        options = body.options()
        records = await asyncio.to_thread(RecordsIntake, options.entity, body.rows(), max_rows=max_rows)
        yield JobRequest(records, options, "", body)
        return
    await limit_upload(request, caller)
    with uploads.upload_file() as file:
        stream = body_stream(request, UPLOAD_LIMIT_BYTES)
        upload = await uploads.receive(stream, request.headers["content-type"], file)
        wanted = _upload_options(upload.options)
        options = wanted.options()
        rows = await asyncio.to_thread(CsvIntake, file, options.entity, wanted.columns, max_rows=max_rows)
        yield JobRequest(rows, options, "options.", wanted, (upload.sha256,))


async def once(caller: Caller, route: str, key: str | None, body: BaseModel, *contents: bytes) -> Once | None:
    """What makes the request happen once; None where the caller gave it no key."""
    if key is None:
        return None
    # Of a body of ten megabytes this takes a while.
    digest = await asyncio.to_thread(lambda: fingerprint(body.model_dump(mode="json"), *contents))
    return Once(Scope(caller.workspace_id, caller.id, route), key, digest)


async def door(request: Request, caller: Caller, opened: Resources, once: Once | None) -> Door:
    """What is the same for every submission; it is answered with 202, the job and its place."""
    settings = opened.settings

    def answer(job: Job) -> Remembered:
        place = request.url_for("get_enrichment_job", workspace_id=str(caller.workspace_id), job_id=str(job.id))
        return Remembered(202, {"Location": place.path}, JobOut.of(job, settings).model_dump(mode="json"))

    return Door(
        caller,
        settings.enrichment,
        answer,
        once,
        low_threshold=settings.credits.low_threshold,
        default_providers=await default_providers(caller, opened),
        plan_limits=opened.plan_limits,
    )


async def default_providers(caller: Caller, opened: Resources) -> list[str] | None:
    """Whom the workspace wants asked where a job does not say it; None: all there are."""
    chosen = await workspaces.settings_of(opened.sessions, opened.cache, caller.workspace_id)
    providers: list[str] | None = chosen.get("default_providers")
    return providers


def _upload_options(text: bytes) -> UploadOptionsIn:
    try:
        return UploadOptionsIn.model_validate_json(text)
    except ValidationError as error:
        mistakes = [{**each, "loc": ("options", *each["loc"])} for each in error.errors(include_input=False)]
        raise InvalidRequest("The options of the upload are not valid.", details=details_of(mistakes)) from None
