"""The dead letters of webhook deliveries, which know nothing of letters themselves."""

from collections.abc import Sequence
from uuid import UUID

from app.auth.permissions import Caller
from app.db import Session, Sessions
from app.deadletters import redrives, service
from app.deadletters.service import Failure
from app.webhooks import service as webhooks
from app.webhooks.delivery_repository import GivenUp
from workflows.contracts.deadletters import PageRedriven, RedriveRef


async def gave_up(session: Session, workspace_id: UUID, endpoint_id: UUID, deliveries: Sequence[GivenUp]) -> None:
    """Deliveries to this endpoint have failed for good, in this transaction."""
    await service.open_many(
        session,
        workspace_id,
        "webhook",
        [
            Failure(
                _id_of(endpoint_id, each.delivery_id),
                each.error,
                "The endpoint did not take the event; its attempts say what it answered.",
                attempts=each.attempts,
            )
            for each in deliveries
        ],
    )


async def delivered(session: Session, workspace_id: UUID, endpoint_id: UUID, delivery_ids: Sequence[UUID]) -> None:
    """Deliveries that had failed for good before were taken after all."""
    payload_ids = [_id_of(endpoint_id, each) for each in delivery_ids]
    await service.resolve(session, workspace_id, "webhook", payload_ids)


async def redrive_page(sessions: Sessions, ref: RedriveRef) -> PageRedriven:
    """Redeliver the deliveries of the redrive, for as long as a page takes. Raises Unavailable."""
    return await redrives.redrive_page(sessions, ref, "webhook", _again, lock=False)


async def _again(session: Session, caller: Caller, endpoint_id: str, payload_ids: Sequence[str]) -> None:
    taken = []
    for payload_id in payload_ids:
        delivery_id = UUID(payload_id.partition(":")[2])
        if await webhooks.redeliver(session, caller.workspace_id, UUID(endpoint_id), delivery_id):
            taken.append((payload_id, payload_id))
    await service.redriven(session, caller.workspace_id, "webhook", taken)


def _id_of(endpoint_id: UUID, delivery_id: UUID) -> str:
    return f"{endpoint_id}:{delivery_id}"
