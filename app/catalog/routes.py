"""The catalogue of providers over HTTP."""

from typing import Annotated

from fastapi import APIRouter

from app.auth.dependencies import any_caller
from app.auth.permissions import Caller, Person
from app.catalog import service
from app.catalog.schemas import ProviderOut
from app.deps import OffersDep, SessionsDep
from app.envelope import ListEnvelope, list_envelope
from app.pagination import Page

router = APIRouter(prefix="/providers", tags=["Providers"])


@router.get("", operation_id="list_providers", summary="List the providers")
async def list_providers(
    caller: Annotated[Caller | Person, any_caller("providers:read")], sessions: SessionsDep, offers: OffersDep
) -> ListEnvelope[ProviderOut]:
    """What each provider can fill, what by and how fast, what it costs, whether it can be used, and how it is doing.
    All of them on one page.

    To an API key cost and availability are those of its workspace, which may have a credential of its own.
    """
    workspace_id = caller.workspace_id if isinstance(caller, Caller) else None
    listings = await service.list_providers(sessions, offers, workspace_id)
    return list_envelope(Page([ProviderOut.of(listing) for listing in listings], next_cursor=None))
