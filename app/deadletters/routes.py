"""Dead letters over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.deadletters import redrives, service
from app.deadletters.errors import DeadLetterNotOpen
from app.deadletters.redrives_repository import Redrive
from app.deadletters.repository import LetterFilter, LetterState, Process
from app.deadletters.schemas import (
    DiscardIn,
    LetterOut,
    ReasonCode,
    RedriveCursor,
    RedriveDetailOut,
    RedriveIn,
    RedriveItemOut,
    RedriveOut,
    Reference,
)
from app.deps import BODY_ERRORS, SessionsDep, json_body, json_request
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.idempotency import headers as idempotency
from app.idempotency.answers import Remembered
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import once
from app.pagination import Before, CursorText, Limit, newest_first, page_of

router = APIRouter(prefix="/workspaces/{workspace_id}/dead-letters", tags=["Dead letters"])

DeadLettersReader = Annotated[Caller, caller("dead_letters:read")]
DeadLettersWriter = Annotated[Caller, caller("dead_letters:write")]


async def _filter(
    process: Annotated[Process | None, Query(description="Only what this process could not do.")] = None,
    reason: Annotated[ReasonCode | None, Query(description="Only with this code.")] = None,
    reference: Annotated[
        Reference | None, Query(description="Only about the thing with this id; that of a job means all its records.")
    ] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only what failed last then or later.")] = None,
    state: Annotated[LetterState | None, Query(description="Only letters in this state.")] = None,
) -> LetterFilter:
    return LetterFilter(process, reason, reference, since, state)


Wanted = Annotated[LetterFilter, Depends(_filter)]


@router.get("", operation_id="list_dead_letters", summary="List dead letters")
async def list_dead_letters(
    caller: DeadLettersReader, sessions: SessionsDep, wanted: Wanted, limit: Limit = 50, before: Before = None
) -> ListEnvelope[LetterOut]:
    """What could not be done, of every process; what failed first last comes first."""
    letters = await service.list_letters(sessions, caller.workspace_id, wanted, before=before, limit=limit + 1)
    return list_envelope(newest_first(letters, limit, lambda letter: letter.id).map(LetterOut.of))


@router.get("/{letter_id}", operation_id="get_dead_letter", summary="Get a dead letter")
async def get_dead_letter(caller: DeadLettersReader, letter_id: UUID, sessions: SessionsDep) -> Envelope[LetterOut]:
    """Why it could not be done, and what became of it since."""
    return envelope(LetterOut.of(await service.get_letter(sessions, caller.workspace_id, letter_id)))


@router.post(
    "/redrive",
    operation_id="redrive_dead_letters",
    summary="Redrive dead letters",
    status_code=202,
    response_model=Envelope[RedriveOut],
    responses=errors(IdempotencyInProgress, IdempotencyKeyReused, *BODY_ERRORS),
    openapi_extra=json_request(RedriveIn),
)
async def redrive_dead_letters(
    request: Request,
    caller: DeadLettersWriter,
    body: Annotated[RedriveIn, json_body(RedriveIn)],
    sessions: SessionsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Have letters be tried again: up to 1,000 by their ids, or what is open and fits a filter, up to 100,000 at a
    time.

    Records of enrichment jobs are retried by one new job for each job that they are from, with its own hold, as
    retrying that job would do; where the credits do not suffice, its letters stay open.
    """
    asked = body.model_dump(mode="json")
    first = once(caller.workspace_id, caller.id, f"POST {router.prefix}/redrive", idempotency_key, asked)

    def answer(redrive: Redrive) -> Remembered:
        place = request.url_for(
            "get_dead_letter_redrive", workspace_id=str(caller.workspace_id), redrive_id=str(redrive.id)
        )
        return Remembered(202, {"Location": place.path}, RedriveOut.of(redrive).model_dump(mode="json"))

    said, replayed = await redrives.start(sessions, caller, body.wanted(), answer, once=first)
    return idempotency.answer(said, replayed=replayed)


@router.get("/redrives/{redrive_id}", operation_id="get_dead_letter_redrive", summary="Get a redrive")
async def get_dead_letter_redrive(
    caller: DeadLettersReader,
    redrive_id: UUID,
    sessions: SessionsDep,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Envelope[RedriveDetailOut]:
    """Whether it is done, and what became of each letter: `limit` and `cursor` page through `items`."""
    after = RedriveCursor.decode(cursor).after if cursor is not None else None
    redrive, items = await redrives.get_redrive(sessions, caller.workspace_id, redrive_id, after=after, limit=limit + 1)
    page = page_of(items, limit, lambda item: RedriveCursor(after=item.letter_id)).map(RedriveItemOut.of)
    return envelope(
        RedriveDetailOut(**dict(RedriveOut.of(redrive)), items=list(page.items), next_cursor=page.next_cursor)
    )


@router.post(
    "/{letter_id}/discard",
    operation_id="discard_dead_letter",
    summary="Discard a dead letter",
    responses=errors(DeadLetterNotOpen, *BODY_ERRORS),
    openapi_extra=json_request(DiscardIn),
)
async def discard_dead_letter(
    caller: DeadLettersWriter,
    letter_id: UUID,
    body: Annotated[DiscardIn, json_body(DiscardIn)],
    sessions: SessionsDep,
) -> Envelope[LetterOut]:
    """Leave undone what could not be done, for good."""
    return envelope(LetterOut.of(await service.discard(sessions, caller, letter_id, body.reason)))
