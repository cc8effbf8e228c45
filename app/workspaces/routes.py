"""Workspaces over HTTP."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from fastapi import APIRouter, Request, Response

from app.auth.dependencies import any_caller, caller, person
from app.auth.permissions import Caller, Person
from app.deps import BODY_ERRORS, OffersDep, Resources, SessionsDep, json_body, json_request
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.errors import Detail, InvalidRequest
from app.idempotency import headers as idempotency
from app.idempotency.answers import Remembered
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.pagination import Before, Limit, Page, newest_first
from app.providers.ports import Offer
from app.workspaces import service
from app.workspaces.errors import TooManyWorkspaces
from app.workspaces.repository import Workspace
from app.workspaces.schemas import WorkspaceIn, WorkspaceOut, WorkspacePatch

router = APIRouter(prefix="/workspaces", tags=["Workspaces"])


@router.get("", operation_id="list_workspaces", summary="List the caller's workspaces")
async def list_workspaces(
    caller: Annotated[Caller | Person, any_caller("workspace:read")],
    sessions: SessionsDep,
    limit: Limit = 50,
    before: Before = None,
) -> ListEnvelope[WorkspaceOut]:
    """Those that the person is a member of, newest first; an API key has its own."""
    if isinstance(caller, Caller):
        own = await service.get_workspace(sessions, caller)
        return list_envelope(Page([WorkspaceOut.of(own)] if before is None or own.id < before else [], None))
    workspaces = await service.list_workspaces(sessions, caller.user_id, before=before, limit=limit + 1)
    page = newest_first(workspaces, limit, lambda workspace: workspace.id)
    return list_envelope(page.map(WorkspaceOut.of))


@router.post(
    "",
    operation_id="create_workspace",
    summary="Create a workspace",
    status_code=201,
    response_model=Envelope[WorkspaceOut],
    responses=errors(TooManyWorkspaces, IdempotencyInProgress, IdempotencyKeyReused, *BODY_ERRORS),
    openapi_extra=json_request(WorkspaceIn),
)
async def create_workspace(
    request: Request,
    person: Annotated[Person, person()],
    body: Annotated[WorkspaceIn, json_body(WorkspaceIn)],
    opened: Resources,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The person owns it. It starts with some credits."""

    def answer(made: Workspace) -> Remembered:
        place = request.url_for("get_workspace", workspace_id=str(made.id))
        return Remembered(201, {"Location": place.path}, WorkspaceOut.of(made).model_dump(mode="json"))

    grant = opened.settings.credits.signup_grant
    said, replayed = await service.create_another(
        opened.sessions, person.user_id, body.name, grant, answer, key=idempotency_key
    )
    return idempotency.answer(said, replayed=replayed)


@router.get("/{workspace_id}", operation_id="get_workspace", summary="Get a workspace")
async def get_workspace(
    caller: Annotated[Caller, caller("workspace:read")], sessions: SessionsDep
) -> Envelope[WorkspaceOut]:
    """Its name and its settings, and the caller's role."""
    return envelope(WorkspaceOut.of(await service.get_workspace(sessions, caller)))


@router.patch(
    "/{workspace_id}",
    operation_id="update_workspace",
    summary="Rename a workspace or change its settings",
    responses=errors(*BODY_ERRORS),
    openapi_extra=json_request(WorkspacePatch),
)
async def update_workspace(
    caller: Annotated[Caller, caller("workspace:write")],
    body: Annotated[WorkspacePatch, json_body(WorkspacePatch)],
    opened: Resources,
    offers: OffersDep,
) -> Envelope[WorkspaceOut]:
    """What is left out stays as it is."""
    changes = body.settings.changes() if body.settings else {}
    _refuse_unknown(changes.get("default_providers") or (), offers)
    return envelope(
        WorkspaceOut.of(await service.update_workspace(opened.sessions, opened.cache, caller, body.name, changes))
    )


@router.delete("/{workspace_id}", operation_id="delete_workspace", summary="Delete a workspace", status_code=202)
async def delete_workspace(
    caller: Annotated[Caller, caller("workspace:delete")], sessions: SessionsDep
) -> Envelope[WorkspaceOut]:
    """From now on nobody gets in, its keys are dead, its jobs are being cancelled, and what is held for them is
    released. This cannot be taken back."""
    return envelope(WorkspaceOut.of(await service.delete_workspace(sessions, caller)))


def _refuse_unknown(providers: Iterable[str], offers: Mapping[str, Offer]) -> None:
    details = [
        Detail(f"settings.default_providers[{n}]", f"There is no such provider; there are {', '.join(offers)}.")
        for n, name in enumerate(providers)
        if name not in offers
    ]
    if details:
        raise InvalidRequest("The request body is not valid.", details=details)
