"""The catalogue of providers: what each offers, and how it is doing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from app.catalog import repository
from app.catalog.repository import Health
from app.credentials import service as credentials
from app.db import Sessions
from app.providers.ports import Offer

_UNTRIED = Health("closed", None, None, None, disabled=False)


@dataclass(frozen=True, slots=True)
class Listing:
    offer: Offer
    health: Health


async def list_providers(
    sessions: Sessions, offers: Mapping[str, Offer], workspace_id: UUID | None = None
) -> list[Listing]:
    """Every provider of the installation, in the order of `offers`; to a workspace as it is offered to that one."""
    if workspace_id is not None:
        async with sessions.for_workspace(workspace_id) as session:
            offers = await credentials.offers_to(session, workspace_id, offers)
    async with sessions.unscoped() as session:
        health = await repository.health(session)
    return [_listing(offer, health.get(name, _UNTRIED)) for name, offer in offers.items()]


def _listing(offer: Offer, health: Health) -> Listing:
    return Listing(replace(offer, available=offer.available and not health.disabled), health)
