"""The platform's staff over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from app.admin import service
from app.admin.schemas import AnyUserOut, AnyWorkspaceOut, GrantIn, NewestFirstCursor
from app.admin.service import Grant, Once
from app.auth.dependencies import superadmin
from app.auth.permissions import Person
from app.credits.repository import Entry
from app.credits.schemas import EntryOut
from app.deps import BODY_ERRORS, SessionsDep, json_body, json_request
from app.envelope import Envelope, ListEnvelope, errors, list_envelope
from app.idempotency import headers as idempotency
from app.idempotency.answers import Remembered, Scope
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import fingerprint
from app.pagination import CursorText, Limit, Page, page_of

router = APIRouter(prefix="/admin", tags=["Administration"])

Superadmin = Annotated[Person, superadmin()]

_GRANTS = "/workspaces/{workspace_id}/credits/grants"


@router.get("/workspaces", operation_id="list_all_workspaces", summary="List the workspaces of all tenants")
async def list_all_workspaces(
    superadmin: Superadmin, sessions: SessionsDep, limit: Limit = 50, cursor: CursorText = None
) -> ListEnvelope[AnyWorkspaceOut]:
    """The newest first, also those that were deleted."""
    before = NewestFirstCursor.decode(cursor).before if cursor is not None else None
    workspaces = await service.list_workspaces(sessions, superadmin, before=before, limit=limit + 1)
    page = page_of(workspaces, limit, lambda workspace: NewestFirstCursor(before=workspace.workspace_id))
    return list_envelope(Page([AnyWorkspaceOut.of(each) for each in page.items], page.next_cursor))


@router.get("/users", operation_id="list_all_users", summary="List the people of all tenants")
async def list_all_users(
    superadmin: Superadmin, sessions: SessionsDep, limit: Limit = 50, cursor: CursorText = None
) -> ListEnvelope[AnyUserOut]:
    """The newest first."""
    before = NewestFirstCursor.decode(cursor).before if cursor is not None else None
    users = await service.list_users(sessions, superadmin, before=before, limit=limit + 1)
    page = page_of(users, limit, lambda user: NewestFirstCursor(before=user.user_id))
    return list_envelope(Page([AnyUserOut.of(each) for each in page.items], page.next_cursor))


@router.post(
    _GRANTS,
    operation_id="grant_credits",
    summary="Grant credits to a workspace",
    status_code=201,
    response_model=Envelope[EntryOut],
    responses=errors(IdempotencyInProgress, IdempotencyKeyReused, *BODY_ERRORS),
    openapi_extra=json_request(GrantIn),
)
async def grant_credits(
    superadmin: Superadmin,
    workspace_id: UUID,
    body: Annotated[GrantIn, json_body(GrantIn)],
    sessions: SessionsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The answer is the new entry of the workspace's ledger. The grant is in the workspace's audit log."""
    once = None
    if idempotency_key is not None:
        scope = Scope(workspace_id, superadmin.user_id, f"POST {router.prefix}{_GRANTS}")
        once = Once(scope, idempotency_key, fingerprint(body.model_dump(mode="json")))
    granted = await service.grant_credits(
        sessions,
        superadmin,
        workspace_id,
        Grant(body.amount, body.reason, body.expires_at),
        once=once,
        answer=_answer,
    )
    return idempotency.answer(granted.answer, replayed=granted.replayed)


def _answer(entry: Entry) -> Remembered:
    return Remembered(201, {}, EntryOut.of(entry).model_dump(mode="json"))
