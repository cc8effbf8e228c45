"""Erasures over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.deps import BODY_ERRORS, SessionsDep, json_body, json_request
from app.enrichment import erasures
from app.enrichment.erasure_repository import Erasure
from app.enrichment.erasure_schemas import ErasureIn, ErasureOut
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.idempotency import headers as idempotency
from app.idempotency.answers import Remembered
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import once
from app.pagination import Before, Limit, newest_first

router = APIRouter(prefix="/workspaces/{workspace_id}/enrichment/erasures", tags=["Enrichment"])

ErasuresReader = Annotated[Caller, caller("erasures:read")]
ErasuresWriter = Annotated[Caller, caller("erasures:write")]


@router.post(
    "",
    operation_id="start_erasure",
    summary="Erase a person or a company",
    status_code=202,
    response_model=Envelope[ErasureOut],
    responses=errors(IdempotencyInProgress, IdempotencyKeyReused, *BODY_ERRORS),
    openapi_extra=json_request(ErasureIn),
)
async def start_erasure(
    request: Request,
    caller: ErasuresWriter,
    body: Annotated[ErasureIn, json_body(ErasureIn)],
    sessions: SessionsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Remove them from inputs, results, what providers said in their own words, answers kept for reuse, and events.

    A record of them stays as a row with its status and what it cost, and the reason `erased`; one that had no end is
    `failed`. Another record, which mentions them, loses that alone. It cannot be taken back.
    """
    trace = body.trace()
    # Of the normalised subject: it is the same request however it is written.
    asked = {"kind": trace.kind, "subject": trace.subject}
    first = once(caller.workspace_id, caller.id, f"POST {router.prefix}", idempotency_key, asked)

    def answer(erasure: Erasure) -> Remembered:
        place = request.url_for("get_erasure", workspace_id=str(caller.workspace_id), erasure_id=str(erasure.id))
        return Remembered(202, {"Location": place.path}, ErasureOut.of(erasure).model_dump(mode="json"))

    said, replayed = await erasures.start(sessions, caller, trace, answer, once=first)
    return idempotency.answer(said, replayed=replayed)


@router.get("", operation_id="list_erasures", summary="List erasures")
async def list_erasures(
    caller: ErasuresReader, sessions: SessionsDep, limit: Limit = 50, before: Before = None
) -> ListEnvelope[ErasureOut]:
    """The newest first."""
    found = await erasures.list_erasures(sessions, caller.workspace_id, before=before, limit=limit + 1)
    page = newest_first(found, limit, lambda erasure: erasure.id)
    return list_envelope(page.map(ErasureOut.of))


@router.get("/{erasure_id}", operation_id="get_erasure", summary="Get an erasure")
async def get_erasure(caller: ErasuresReader, erasure_id: UUID, sessions: SessionsDep) -> Envelope[ErasureOut]:
    """Whether it is done, and where something was removed."""
    return envelope(ErasureOut.of(await erasures.get_erasure(sessions, caller.workspace_id, erasure_id)))
