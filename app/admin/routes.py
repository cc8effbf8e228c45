"""The platform's staff over HTTP."""

from collections.abc import Collection
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from app.admin import service
from app.admin.schemas import AnyUserOut, AnyWorkspaceOut, GrantIn, SteeredOut, SteeringIn
from app.admin.service import Grant
from app.auth.dependencies import superadmin
from app.auth.permissions import Person
from app.credits.repository import Entry
from app.credits.schemas import EntryOut
from app.db import Sessions
from app.deps import BODY_ERRORS, CircuitsDep, ProviderName, SessionsDep, json_body, json_request
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.errors import NotFound
from app.idempotency import headers as idempotency
from app.idempotency.answers import Remembered
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import once
from app.pagination import Before, Limit, newest_first
from app.providers.circuit_rows import Hand

router = APIRouter(prefix="/admin", tags=["Administration"])

Superadmin = Annotated[Person, superadmin()]
Steering = Annotated[SteeringIn, json_body(SteeringIn)]

_GRANTS = "/workspaces/{workspace_id}/credits/grants"


@router.get("/workspaces", operation_id="list_all_workspaces", summary="List the workspaces of all tenants")
async def list_all_workspaces(
    superadmin: Superadmin, sessions: SessionsDep, limit: Limit = 50, before: Before = None
) -> ListEnvelope[AnyWorkspaceOut]:
    """The newest first, also those that were deleted."""
    workspaces = await service.list_workspaces(sessions, superadmin, before=before, limit=limit + 1)
    page = newest_first(workspaces, limit, lambda workspace: workspace.workspace_id)
    return list_envelope(page.map(AnyWorkspaceOut.of))


@router.get("/users", operation_id="list_all_users", summary="List the people of all tenants")
async def list_all_users(
    superadmin: Superadmin, sessions: SessionsDep, limit: Limit = 50, before: Before = None
) -> ListEnvelope[AnyUserOut]:
    """The newest first."""
    users = await service.list_users(sessions, superadmin, before=before, limit=limit + 1)
    page = newest_first(users, limit, lambda user: user.user_id)
    return list_envelope(page.map(AnyUserOut.of))


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
    route = f"POST {router.prefix}{_GRANTS}"
    granted = await service.grant_credits(
        sessions,
        superadmin,
        workspace_id,
        Grant(body.amount, body.reason, body.expires_at),
        once=once(workspace_id, superadmin.user_id, route, idempotency_key, body.model_dump(mode="json")),
        answer=_answer,
    )
    return idempotency.answer(granted.answer, replayed=granted.replayed)


@router.post(
    "/providers/{name}/open",
    operation_id="open_provider_circuit",
    summary="Hold the circuit of a provider open",
    responses=errors(NotFound, *BODY_ERRORS),
    openapi_extra=json_request(SteeringIn),
)
async def open_provider_circuit(
    superadmin: Superadmin, name: ProviderName, body: Steering, sessions: SessionsDep, known: CircuitsDep
) -> Envelope[SteeredOut]:
    """Nothing is asked of it until it is closed by hand; work waits for it, as in an outage. All workers obey within a
    tenth of a second."""
    return await _steer(superadmin, sessions, known, name, "open", body)


@router.post(
    "/providers/{name}/close",
    operation_id="close_provider_circuit",
    summary="Close the circuit of a provider",
    responses=errors(NotFound, *BODY_ERRORS),
    openapi_extra=json_request(SteeringIn),
)
async def close_provider_circuit(
    superadmin: Superadmin, name: ProviderName, body: Steering, sessions: SessionsDep, known: CircuitsDep
) -> Envelope[SteeredOut]:
    """It is asked again, slowly at first, whoever or whatever opened it. That it is disabled stays as it is."""
    return await _steer(superadmin, sessions, known, name, "close", body)


@router.post(
    "/providers/{name}/disable",
    operation_id="disable_provider",
    summary="Switch a provider off",
    responses=errors(NotFound, *BODY_ERRORS),
    openapi_extra=json_request(SteeringIn),
)
async def disable_provider(
    superadmin: Superadmin, name: ProviderName, body: Steering, sessions: SessionsDep, known: CircuitsDep
) -> Envelope[SteeredOut]:
    """It refuses everything until it is enabled, and jobs go on without it, those that run too."""
    return await _steer(superadmin, sessions, known, name, "disable", body)


@router.post(
    "/providers/{name}/enable",
    operation_id="enable_provider",
    summary="Switch a provider on again",
    responses=errors(NotFound, *BODY_ERRORS),
    openapi_extra=json_request(SteeringIn),
)
async def enable_provider(
    superadmin: Superadmin, name: ProviderName, body: Steering, sessions: SessionsDep, known: CircuitsDep
) -> Envelope[SteeredOut]:
    """Its circuit stays as it is. A provider that the settings switch off stays off."""
    return await _steer(superadmin, sessions, known, name, "enable", body)


async def _steer(
    superadmin: Person, sessions: Sessions, known: Collection[str], name: str, hand: Hand, body: SteeringIn
) -> Envelope[SteeredOut]:
    return envelope(SteeredOut.of(await service.steer_provider(sessions, superadmin, known, name, hand, body.reason)))


def _answer(entry: Entry) -> Remembered:
    return Remembered(201, {}, EntryOut.of(entry).model_dump(mode="json"))
