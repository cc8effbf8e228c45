"""Enrichment over HTTP."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from app.auth.dependencies import caller, reader
from app.auth.permissions import Caller
from app.auth.repository import Row
from app.credits.errors import InsufficientCredits
from app.deps import BODY_ERRORS, Resources, SessionsDep, SettingsDep
from app.enrichment import progress, requests, service, submit
from app.enrichment.errors import JobCancelling, JobFinished, JobNotFinished, NothingToRetry
from app.enrichment.export import ExportFormat, export
from app.enrichment.progress import Watches
from app.enrichment.repository import JobFilter, JobStatus, RecordStatus
from app.enrichment.requests import JOB_REQUEST, EnrichmentWriter, job_request
from app.enrichment.schemas import JobOut, RecordCursor, RecordOut
from app.enrichment.submit import Submitted
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope, respond
from app.idempotency import headers as idempotency
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import once
from app.pagination import Before, CursorText, Limit, newest_first, page_of
from app.plan_limits.errors import PlanLimitExceeded

router = APIRouter(prefix="/workspaces/{workspace_id}/enrichment/jobs", tags=["Enrichment"])

EnrichmentReader = Annotated[Caller, caller("enrichment:read")]

_JOBS = "/workspaces/{workspace_id}/enrichment/jobs"

_START_ERRORS = (InsufficientCredits, IdempotencyInProgress, IdempotencyKeyReused)
_EXPORT_TYPES: Mapping[ExportFormat, str] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
_EXPORT_CONTENT = {
    "text/csv": {"schema": {"type": "string"}, "example": "domain,industry,status\r\nexample.com,Software,matched\r\n"},
    "application/x-ndjson": {
        "schema": {"type": "string"},
        "example": '{"domain":"example.com","industry":"Software","status":"matched"}\n',
    },
}
_EVENTS_CONTENT = {
    "text/event-stream": {
        "schema": {"type": "string"},
        "example": 'event: progress\nid: 5f2b9c01d4e8a763\ndata: {"id":"019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"}\n\n',
    }
}


async def _watches(request: Request, sessions: SessionsDep) -> Watches:
    """The process's watches, made when somebody first watches a job."""
    state = request.app.state
    if not hasattr(state, "enrichment_watches"):
        state.enrichment_watches = Watches(sessions)
    watches: Watches = state.enrichment_watches
    return watches


@router.post(
    "",
    operation_id="start_enrichment_job",
    summary="Start an enrichment job",
    status_code=202,
    response_model=Envelope[JobOut],
    responses=errors(PlanLimitExceeded, *_START_ERRORS, *BODY_ERRORS),
    openapi_extra=JOB_REQUEST,
)
async def start_enrichment_job(
    request: Request, caller: EnrichmentWriter, opened: Resources, idempotency_key: IdempotencyKey = None
) -> Response:
    """Enrich records of a JSON body, or rows of a CSV upload.

    A record that cannot be looked up ends `failed` with the reason `invalid_input` and spoils nothing else, unless
    `strict`. The most that the job may cost is held until it ends.
    """
    async with job_request(request, caller, max_rows=opened.settings.enrichment.max_rows) as wanted:
        first = await requests.once(caller, f"POST {_JOBS}", idempotency_key, wanted.body, *wanted.contents)
        door = await requests.door(request, caller, opened, first)
        started = await submit.submit(
            opened.sessions, door, wanted.intake, wanted.options, opened.offers, within=wanted.within
        )
    return _started(started)


@router.get("", operation_id="list_enrichment_jobs", summary="List enrichment jobs")
async def list_enrichment_jobs(
    caller: EnrichmentReader,
    sessions: SessionsDep,
    settings: SettingsDep,
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    created_after: Annotated[AwareDatetime | None, Query(description="Only jobs created then or later.")] = None,
    created_before: Annotated[AwareDatetime | None, Query(description="Only jobs created earlier.")] = None,
    limit: Limit = 50,
    before: Before = None,
) -> ListEnvelope[JobOut]:
    """The newest first."""
    wanted = JobFilter(status, created_after, created_before)
    jobs = await service.list_jobs(sessions, caller.workspace_id, wanted, before=before, limit=limit + 1)
    page = newest_first(jobs, limit, lambda job: job.id)
    return list_envelope(page.map(lambda job: JobOut.of(job, settings)))


@router.get(
    "/{job_id}",
    operation_id="get_enrichment_job",
    summary="Get an enrichment job",
    response_model=Envelope[JobOut],
)
async def get_enrichment_job(
    found: Annotated[Row, reader("enrichment:read", service.job_read)],
    job_id: UUID,  # noqa: ARG001 - `found` was read by it; FastAPI refuses what is none
    request: Request,
) -> Response:
    """Where the job stands."""
    # As a response, which FastAPI does not validate once more, and without a dependency: clients poll this.
    settings = request.app.state.resources.settings
    return respond(envelope(JobOut.of(service.read_job(found), settings)))


@router.get("/{job_id}/records", operation_id="list_enrichment_records", summary="List the records of a job")
async def list_enrichment_records(
    caller: EnrichmentReader,
    job_id: UUID,
    sessions: SessionsDep,
    status: Annotated[RecordStatus | None, Query(description="Only records with this status.")] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> ListEnvelope[RecordOut]:
    """In input order, with what is known of each so far."""
    after = RecordCursor.decode(cursor).after if cursor is not None else 0
    records = await service.list_records(
        sessions, caller.workspace_id, job_id, after=after, limit=limit + 1, status=status
    )
    page = page_of(records, limit, lambda record: RecordCursor(after=record.position))
    return list_envelope(page.map(RecordOut.of))


@router.get(
    "/{job_id}/export",
    operation_id="export_enrichment_job",
    summary="Export the result of a job",
    response_class=StreamingResponse,
    responses={200: {"content": _EXPORT_CONTENT, "description": "The records in input order."}},
)
async def export_enrichment_job(
    caller: EnrichmentReader,
    job_id: UUID,
    sessions: SessionsDep,
    format: Annotated[ExportFormat, Query(description="CSV, or a JSON object a line.")] = "csv",
) -> Response:
    """What is known of each record: the input's own columns, the wanted fields, the status.

    A field whose name the input has too becomes `enriched_<field>`. Cells that a spreadsheet would run as a formula
    begin with a quote. Lists are joined by "; " in CSV.
    """
    blocks = await export(sessions, caller.workspace_id, job_id, format)
    name = f"enrichment-{job_id}.{format}"
    return StreamingResponse(
        blocks, media_type=_EXPORT_TYPES[format], headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


@router.get(
    "/{job_id}/events",
    operation_id="watch_enrichment_job",
    summary="Watch the progress of a job",
    response_class=StreamingResponse,
    responses={
        200: {"content": _EVENTS_CONTENT, "description": "Server-sent events."},
        204: {"description": "The job is done, and `Last-Event-ID` says that the client knows."},
    },
)
async def watch_enrichment_job(
    caller: EnrichmentReader,
    job_id: UUID,
    settings: SettingsDep,
    watches: Annotated[Watches, Depends(_watches)],
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", description="Of the last event heard.")] = None,
) -> Response:
    """`progress` when something changed, at most once a second, then one `done`; the data of both is the job."""
    watch = watches.of(caller.workspace_id, job_id)
    if progress.is_told(await watch.job(), last_event_id):
        return Response(status_code=204)
    events = progress.events(watch, lambda job: JobOut.of(job, settings).model_dump_json().encode(), last_event_id)
    return StreamingResponse(
        events, media_type="text/event-stream", headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    )


@router.post(
    "/{job_id}/pause",
    operation_id="pause_enrichment_job",
    summary="Pause a job",
    status_code=202,
    responses=errors(JobFinished, JobCancelling),
)
async def pause_enrichment_job(
    caller: EnrichmentWriter, job_id: UUID, sessions: SessionsDep, settings: SettingsDep
) -> Envelope[JobOut]:
    """Within seconds no new provider call begins; what is in flight is kept. A paused job may be paused again."""
    return envelope(JobOut.of(await service.pause(sessions, caller, job_id), settings))


@router.post(
    "/{job_id}/resume",
    operation_id="resume_enrichment_job",
    summary="Resume a paused job",
    status_code=202,
    responses=errors(JobFinished, JobCancelling),
)
async def resume_enrichment_job(
    caller: EnrichmentWriter, job_id: UUID, sessions: SessionsDep, settings: SettingsDep
) -> Envelope[JobOut]:
    """The job goes on where it was."""
    return envelope(JobOut.of(await service.resume(sessions, caller, job_id), settings))


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_enrichment_job",
    summary="Cancel a job",
    status_code=202,
    responses=errors(JobFinished),
)
async def cancel_enrichment_job(
    caller: EnrichmentWriter, job_id: UUID, sessions: SessionsDep, settings: SettingsDep
) -> Envelope[JobOut]:
    """The job ends; what was found is kept, and the rest of its hold is released."""
    return envelope(JobOut.of(await service.cancel(sessions, caller, job_id), settings))


@router.post(
    "/{job_id}/retry",
    operation_id="retry_enrichment_job",
    summary="Retry what failed in a job",
    status_code=202,
    response_model=Envelope[JobOut],
    responses=errors(*_START_ERRORS, JobNotFinished, NothingToRetry),
)
async def retry_enrichment_job(
    request: Request,
    caller: EnrichmentWriter,
    job_id: UUID,
    opened: Resources,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """A new job, `retry_of` this one, of the records that failed for another reason than their input, or lack a field
    because a provider was skipped. It has its own hold."""
    route = f"POST {_JOBS}/{{job_id}}/retry"
    first = once(caller.workspace_id, caller.id, route, idempotency_key, {"job_id": str(job_id)})
    door = await requests.door(request, caller, opened, first)
    return _started(await submit.retry(opened.sessions, door, job_id, opened.offers))


def _started(submitted: Submitted) -> Response:
    return idempotency.answer(submitted.answer, replayed=submitted.replayed)
