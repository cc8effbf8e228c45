"""Webhooks over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.credentials.errors import CredentialsNotConfigured
from app.deps import BODY_ERRORS, SessionsDep, SettingsDep, json_body, json_request
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.idempotency import headers as idempotency
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import once
from app.pagination import Before, Limit, newest_first
from app.webhooks import history, management
from app.webhooks.delivery_routes import accepted
from app.webhooks.errors import TooManySecrets, TooManyWebhooks, WebhookDisabled
from app.webhooks.schemas import DeliveryOut, WebhookIn, WebhookOut, WebhookPatch, WebhookSecretOut

router = APIRouter(prefix="/workspaces/{workspace_id}/webhooks", tags=["Webhooks"])

WebhooksReader = Annotated[Caller, caller("webhooks:read")]
WebhooksWriter = Annotated[Caller, caller("webhooks:write")]


@router.get("", operation_id="list_webhooks", summary="List the webhooks of a workspace")
async def list_webhooks(
    caller: WebhooksReader, sessions: SessionsDep, limit: Limit = 50, before: Before = None
) -> ListEnvelope[WebhookOut]:
    """The newest first, without their secrets."""
    webhooks = await management.list_webhooks(sessions, caller.workspace_id, before=before, limit=limit + 1)
    page = newest_first(webhooks, limit, lambda webhook: webhook.id)
    return list_envelope(page.map(WebhookOut.of))


@router.post(
    "",
    operation_id="create_webhook",
    summary="Create a webhook",
    status_code=201,
    responses=errors(TooManyWebhooks, CredentialsNotConfigured, *BODY_ERRORS),
    openapi_extra=json_request(WebhookIn),
)
async def create_webhook(
    caller: WebhooksWriter,
    body: Annotated[WebhookIn, json_body(WebhookIn)],
    sessions: SessionsDep,
    settings: SettingsDep,
) -> Envelope[WebhookSecretOut]:
    """The answer has the secret, once: what is sent is signed with it, as Standard Webhooks says."""
    new = await management.create_webhook(
        sessions,
        caller,
        settings,
        url=body.url,
        event_types=body.event_types,
        description=body.description,
        headers=body.header_values(),
    )
    return envelope(WebhookSecretOut.of_new(new))


@router.get("/{webhook_id}", operation_id="get_webhook", summary="Get a webhook")
async def get_webhook(caller: WebhooksReader, webhook_id: UUID, sessions: SessionsDep) -> Envelope[WebhookOut]:
    """Where it leads, and how it fares."""
    return envelope(WebhookOut.of(await management.get_webhook(sessions, caller.workspace_id, webhook_id)))


@router.patch(
    "/{webhook_id}",
    operation_id="update_webhook",
    summary="Change, enable or disable a webhook",
    responses=errors(CredentialsNotConfigured, *BODY_ERRORS),
    openapi_extra=json_request(WebhookPatch),
)
async def update_webhook(
    caller: WebhooksWriter,
    webhook_id: UUID,
    body: Annotated[WebhookPatch, json_body(WebhookPatch)],
    sessions: SessionsDep,
    settings: SettingsDep,
) -> Envelope[WebhookOut]:
    """What is left out stays as it is. Of one that is enabled again, what failed meanwhile can be recovered."""
    changed = await management.update_webhook(sessions, caller, settings, webhook_id, body.changes())
    return envelope(WebhookOut.of(changed))


@router.delete("/{webhook_id}", operation_id="delete_webhook", summary="Delete a webhook", status_code=204)
async def delete_webhook(caller: WebhooksWriter, webhook_id: UUID, sessions: SessionsDep) -> Response:
    """With its secret and the list of its deliveries. Nothing more is sent there."""
    await management.delete_webhook(sessions, caller, webhook_id)
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/rotate-secret",
    operation_id="rotate_webhook_secret",
    summary="Replace the secret of a webhook",
    responses=errors(TooManySecrets, CredentialsNotConfigured),
)
async def rotate_webhook_secret(
    caller: WebhooksWriter, webhook_id: UUID, sessions: SessionsDep, settings: SettingsDep
) -> Envelope[WebhookSecretOut]:
    """The answer has the new secret, once. For 24 hours the one before signs each delivery too."""
    return envelope(WebhookSecretOut.of_new(await management.rotate_secret(sessions, caller, settings, webhook_id)))


@router.post(
    "/{webhook_id}/test",
    operation_id="test_webhook",
    summary="Send a test event to a webhook",
    status_code=202,
    response_model=Envelope[DeliveryOut],
    responses=errors(WebhookDisabled, IdempotencyInProgress, IdempotencyKeyReused),
)
async def send_test_event(
    request: Request,
    caller: WebhooksWriter,
    webhook_id: UUID,
    sessions: SessionsDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """A `webhook.test`, to this webhook alone, whatever its types; it is attempted like any other event."""
    route = f"POST {router.prefix}/{{webhook_id}}/test"
    first = once(caller.workspace_id, caller.id, route, idempotency_key, {"webhook_id": str(webhook_id)})
    answer = accepted(request, caller.workspace_id, webhook_id)
    said, replayed = await history.send_test(sessions, caller, webhook_id, answer, once=first)
    return idempotency.answer(said, replayed=replayed)
