"""Deliveries and events over HTTP."""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.deps import BODY_ERRORS, SessionsDep, json_body, json_request
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.idempotency import headers as idempotency
from app.idempotency.answers import Remembered
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import once
from app.pagination import Before, CursorText, Limit, newest_first, page_of
from app.webhooks import history
from app.webhooks.errors import WebhookDisabled
from app.webhooks.schemas import DeliveryOut, EventCursor, EventOut, RecoverIn, RecoveryOut
from app.webhooks.service import EventType
from app.webhooks.shown_repository import Delivery, DeliveryFilter, DeliveryState

router = APIRouter(prefix="/workspaces/{workspace_id}", tags=["Webhooks"])

WebhooksReader = Annotated[Caller, caller("webhooks:read")]
WebhooksWriter = Annotated[Caller, caller("webhooks:write")]

_SEND_ERRORS = (WebhookDisabled, IdempotencyInProgress, IdempotencyKeyReused)


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    operation_id="list_webhook_deliveries",
    summary="List the deliveries to a webhook",
)
async def list_webhook_deliveries(
    caller: WebhooksReader,
    webhook_id: UUID,
    sessions: SessionsDep,
    state: Annotated[DeliveryState | None, Query(description="Only deliveries in this state.")] = None,
    event_type: Annotated[EventType | None, Query(description="Only of events of this type.")] = None,
    limit: Limit = 50,
    before: Before = None,
) -> ListEnvelope[DeliveryOut]:
    """The newest first, those of the last 30 days, each with what came of its attempts."""
    found = await history.list_deliveries(
        sessions, caller.workspace_id, webhook_id, DeliveryFilter(state, event_type), before=before, limit=limit + 1
    )
    page = newest_first(found, limit, lambda delivery: delivery.id)
    return list_envelope(page.map(DeliveryOut.of))


@router.get(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}",
    operation_id="get_webhook_delivery",
    summary="Get a delivery to a webhook",
)
async def get_webhook_delivery(
    caller: WebhooksReader, webhook_id: UUID, delivery_id: UUID, sessions: SessionsDep
) -> Envelope[DeliveryOut]:
    """What came of its attempts, and when there is another."""
    return envelope(DeliveryOut.of(await history.get_delivery(sessions, caller.workspace_id, webhook_id, delivery_id)))


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    operation_id="redeliver_webhook_delivery",
    summary="Send an event to a webhook again",
    status_code=202,
    response_model=Envelope[DeliveryOut],
    responses=errors(*_SEND_ERRORS),
)
async def redeliver_webhook_delivery(
    request: Request,
    caller: WebhooksWriter,
    webhook_id: UUID,
    delivery_id: UUID,
    sessions: SessionsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """At once, and as often as a new one, with the same `webhook-id`. One that waits has its next attempt now."""
    route = f"POST {router.prefix}/webhooks/{{webhook_id}}/deliveries/{{delivery_id}}/redeliver"
    asked = {"webhook_id": str(webhook_id), "delivery_id": str(delivery_id)}
    first = once(caller.workspace_id, caller.id, route, idempotency_key, asked)
    answer = accepted(request, caller.workspace_id, webhook_id)
    said, replayed = await history.redeliver(sessions, caller, webhook_id, delivery_id, answer, once=first)
    return idempotency.answer(said, replayed=replayed)


@router.post(
    "/webhooks/{webhook_id}/recover",
    operation_id="recover_webhook_deliveries",
    summary="Send again what failed since a time",
    status_code=202,
    response_model=Envelope[RecoveryOut],
    responses=errors(*_SEND_ERRORS, *BODY_ERRORS),
    openapi_extra=json_request(RecoverIn),
)
async def recover_webhook_deliveries(
    request: Request,
    caller: WebhooksWriter,
    webhook_id: UUID,
    body: Annotated[RecoverIn, json_body(RecoverIn)],
    sessions: SessionsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """All deliveries that failed of events since then, in the order of their events."""
    route = f"POST {router.prefix}/webhooks/{{webhook_id}}/recover"
    asked = {"webhook_id": str(webhook_id), "since": body.since.isoformat()}
    first = once(caller.workspace_id, caller.id, route, idempotency_key, asked)

    def answer(recovered: int) -> Remembered:
        place = request.url_for(
            "list_webhook_deliveries", workspace_id=str(caller.workspace_id), webhook_id=str(webhook_id)
        )
        return Remembered(202, {"Location": place.path}, RecoveryOut(deliveries=recovered).model_dump(mode="json"))

    said, replayed = await history.recover(sessions, caller, webhook_id, body.since, answer, once=first)
    return idempotency.answer(said, replayed=replayed)


@router.get("/events", operation_id="list_events", summary="List the events of a workspace")
async def list_events(
    caller: WebhooksReader,
    sessions: SessionsDep,
    type: Annotated[EventType | None, Query(description="Only events of this type.")] = None,
    created_after: Annotated[AwareDatetime | None, Query(description="Only events told then or later.")] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> ListEnvelope[EventOut]:
    """In the order in which they were told, those of the last 30 days, whether a webhook wants them or not; but
    `enrichment.records.completed` is stored only while one does.

    An event is there once what it tells is committed: one may turn up a moment later than others that were told after
    it. Who follows the list asks from a minute before, and knows an event by its `id`.
    """
    after = EventCursor.decode(cursor) if cursor is not None else None
    events = await history.list_events(
        sessions,
        caller.workspace_id,
        type=type,
        created_after=created_after,
        after=None if after is None else (after.at, after.id),
        limit=limit + 1,
    )
    page = page_of(events, limit, lambda event: EventCursor(at=event.created_at, id=event.id))
    return list_envelope(page.map(EventOut.of))


def accepted(request: Request, workspace_id: UUID, webhook_id: UUID) -> Callable[[Delivery], Remembered]:
    """What is said of a delivery that begins: 202, and where to see what comes of it."""

    def answer(delivery: Delivery) -> Remembered:
        place = request.url_for(
            "get_webhook_delivery",
            workspace_id=str(workspace_id),
            webhook_id=str(webhook_id),
            delivery_id=str(delivery.id),
        )
        return Remembered(202, {"Location": place.path}, DeliveryOut.of(delivery).model_dump(mode="json"))

    return answer
