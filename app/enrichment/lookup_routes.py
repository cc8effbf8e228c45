"""Looking one record up over HTTP, in one round trip."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.credits.errors import InsufficientCredits
from app.deps import BODY_ERRORS, Resources, json_body, json_request
from app.enrichment import lookups, requests, service, submit
from app.enrichment.intake import RecordIntake
from app.enrichment.request_schemas import LookupIn
from app.enrichment.requests import EnrichmentWriter
from app.enrichment.schemas import JobOut, LookupOut
from app.envelope import Envelope, errors
from app.idempotency import headers as idempotency
from app.idempotency.answers import Remembered
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey

router = APIRouter(prefix="/workspaces/{workspace_id}/enrichment/lookups", tags=["Enrichment"])


@router.post(
    "",
    operation_id="look_up_record",
    summary="Look one record up",
    response_model=Envelope[LookupOut],
    responses={
        **errors(InsufficientCredits, IdempotencyInProgress, IdempotencyKeyReused, *BODY_ERRORS),
        202: {"model": Envelope[JobOut], "description": "It takes longer: the job, and where it is, in `Location`."},
    },
    openapi_extra=json_request(LookupIn),
)
async def look_up_record(
    request: Request,
    caller: EnrichmentWriter,
    opened: Resources,
    body: Annotated[LookupIn, json_body(LookupIn)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Start a job of one record and wait for that to end, up to `wait_seconds`. The job is settled a moment later.

    With the same `Idempotency-Key` the same job is waited for again.
    """
    options = body.options()
    record = RecordIntake(options.entity, body.rows(), max_rows=1)
    # However long somebody waits, it is the same request.
    first = await requests.once(
        caller, f"POST {router.prefix}", idempotency_key, body.model_copy(update={"wait_seconds": 0})
    )
    door = await requests.door(request, caller, opened, first)
    started = await submit.submit(opened.sessions, door, record, options, opened.offers)
    job_id = UUID(started.answer.data["id"])
    found = await lookups.ended(
        opened.sessions, opened.notices, caller.workspace_id, job_id, within_seconds=body.wait_seconds
    )
    if found is None:
        answer = started.answer
    elif service.pending(found[0]):
        answer = door.answer(found[0])
    else:
        answer = Remembered(200, {}, LookupOut.of(*found).model_dump(mode="json"))
    return idempotency.answer(answer, replayed=started.replayed)
