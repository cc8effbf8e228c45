"""The catalogue of providers over HTTP."""

from typing import Annotated

from fastapi import APIRouter

from app.auth.dependencies import any_caller
from app.auth.permissions import Caller
from app.catalog import service
from app.catalog.schemas import ProviderOut
from app.deps import OffersDep, SessionsDep
from app.envelope import ListEnvelope, list_envelope
from app.pagination import Page

router = APIRouter(prefix="/providers", tags=["Providers"])


@router.get("", operation_id="list_providers", summary="List the providers")
async def list_providers(
    _: Annotated[Caller, any_caller("providers:read")], sessions: SessionsDep, offers: OffersDep
) -> ListEnvelope[ProviderOut]:
    """What each provider can fill and costs, whether it can be used, and how it is doing. All of them on one page."""
    listings = await service.list_providers(sessions, offers)
    return list_envelope(Page([ProviderOut.of(listing) for listing in listings], next_cursor=None))
