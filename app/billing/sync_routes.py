"""Comparisons with Stripe over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.billing import syncs
from app.billing.configured import Configured
from app.billing.errors import BillingNotConfigured
from app.billing.sync_repository import Sync
from app.billing.sync_schemas import DriftOut, SyncOut
from app.deps import SessionsDep
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.errors import Unavailable
from app.idempotency import headers as idempotency
from app.idempotency.answers import Remembered
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import once
from app.pagination import Before, Limit, newest_first

router = APIRouter(
    prefix="/workspaces/{workspace_id}/billing/syncs",
    tags=["Billing"],
    responses=errors(BillingNotConfigured, Unavailable),
)

BillingReader = Annotated[Caller, caller("billing:read")]
BillingWriter = Annotated[Caller, caller("billing:write")]


@router.post(
    "",
    operation_id="start_billing_sync",
    summary="Compare a workspace's billing with Stripe",
    status_code=202,
    response_model=Envelope[SyncOut],
    responses=errors(IdempotencyInProgress, IdempotencyKeyReused),
)
async def start_billing_sync(
    request: Request,
    caller: BillingWriter,
    _: Configured,
    sessions: SessionsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Read what Stripe has now, set right what differs here, and record each difference.

    This happens anyway with each event of Stripe, and once a day for all. One that runs is answered again.
    """
    first = once(caller.workspace_id, caller.id, f"POST {router.prefix}", idempotency_key, {})

    def answer(sync: Sync) -> Remembered:
        place = request.url_for("get_billing_sync", workspace_id=str(caller.workspace_id), sync_id=str(sync.id))
        return Remembered(202, {"Location": place.path}, SyncOut.of(sync).model_dump(mode="json"))

    said, replayed = await syncs.start(sessions, caller, answer, once=first)
    return idempotency.answer(said, replayed=replayed)


@router.get("", operation_id="list_billing_syncs", summary="List comparisons with Stripe")
async def list_billing_syncs(
    caller: BillingReader, _: Configured, sessions: SessionsDep, limit: Limit = 50, before: Before = None
) -> ListEnvelope[SyncOut]:
    """The newest first: those that somebody asked for, and those in which the daily comparison found a difference."""
    found = await syncs.list_syncs(sessions, caller.workspace_id, before=before, limit=limit + 1)
    page = newest_first(found, limit, lambda sync: sync.id)
    return list_envelope(page.map(SyncOut.of))


@router.get("/{sync_id}", operation_id="get_billing_sync", summary="Get a comparison with Stripe")
async def get_billing_sync(
    caller: BillingReader, _: Configured, sync_id: UUID, sessions: SessionsDep
) -> Envelope[SyncOut]:
    """Whether it has ended, and how much differed."""
    return envelope(SyncOut.of(await syncs.get_sync(sessions, caller.workspace_id, sync_id)))


@router.get(
    "/{sync_id}/drift",
    operation_id="list_billing_drift",
    summary="List what differed from Stripe",
)
async def list_billing_drift(
    caller: BillingReader,
    _: Configured,
    sync_id: UUID,
    sessions: SessionsDep,
    limit: Limit = 50,
    before: Before = None,
) -> ListEnvelope[DriftOut]:
    """The differences that one comparison found, the newest first."""
    found = await syncs.list_drift(sessions, caller.workspace_id, sync_id, before=before, limit=limit + 1)
    page = newest_first(found, limit, lambda drift: drift.id)
    return list_envelope(page.map(DriftOut.of))
