"""Outages over HTTP: of a provider, and those that touch a workspace."""

from typing import Annotated

from fastapi import APIRouter

from app.auth.dependencies import any_caller, caller
from app.auth.permissions import Caller, Person
from app.deps import CircuitsDep, ProviderName, SessionsDep
from app.envelope import ListEnvelope, list_envelope
from app.outages import service
from app.outages.schemas import OutageOut
from app.pagination import Before, Limit, newest_first

router = APIRouter(tags=["Outages"])


@router.get("/providers/{name}/outages", operation_id="list_provider_outages", summary="List the outages of a provider")
async def list_provider_outages(
    caller: Annotated[Caller | Person, any_caller("providers:read")],
    sessions: SessionsDep,
    known: CircuitsDep,
    name: ProviderName,
    limit: Limit = 50,
    before: Before = None,
) -> ListEnvelope[OutageOut]:
    """When the provider was away, the newest first, whether anything of the caller's waited or not.

    To an API key `waiting` and `waited` are of its own workspace, to the platform's staff of all workspaces together;
    to other people they are null: `list_workspace_outages` says it of a workspace of theirs.
    """
    incidents = await service.list_of_provider(sessions, caller, known, name, before=before, limit=limit + 1)
    return list_envelope(newest_first(incidents, limit, lambda each: each.outage.id).map(OutageOut.of))


@router.get(
    "/workspaces/{workspace_id}/outages",
    operation_id="list_workspace_outages",
    summary="List the outages that touch a workspace",
)
async def list_workspace_outages(
    caller: Annotated[Caller, caller("providers:read")],
    sessions: SessionsDep,
    limit: Limit = 50,
    before: Before = None,
) -> ListEnvelope[OutageOut]:
    """The outages in which something of the workspace waits or waited, the newest first, with what that is."""
    incidents = await service.list_of_workspace(sessions, caller.workspace_id, before=before, limit=limit + 1)
    return list_envelope(newest_first(incidents, limit, lambda each: each.outage.id).map(OutageOut.of))
