"""What Stripe sends us."""

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import SecretStr

from app.auth.dependencies import limit_refused
from app.billing import events
from app.billing.errors import (
    BillingNotConfigured,
    EventMalformed,
    EventRefused,
    EventTooLarge,
    EventUnsupported,
    SignatureExpired,
    SignatureInvalid,
)
from app.billing.event_schemas import EventReceivedOut
from app.billing.events import ReceivedEvent
from app.billing.signature import Signature
from app.deps import SessionsDep, SettingsDep, body_stream
from app.envelope import Envelope, envelope, errors
from app.errors import PayloadTooLarge, RequestTimeout, Unavailable, UnsupportedMediaType
from app.security_log import security_event

router = APIRouter(tags=["Billing"])

LIMIT_BYTES = 256 * 1024

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "title": "StripeEvent",
                    "description": "An event as Stripe sends it (docs.stripe.com/api/events/object).",
                    "required": ["id", "object", "type", "created"],
                    "properties": {
                        "id": {"type": "string"},
                        "object": {"type": "string"},
                        "type": {"type": "string"},
                        "created": {"type": "integer", "description": "Unix seconds."},
                        "data": {"type": "object"},
                    },
                    "examples": [
                        {
                            "id": "evt_1SVbq2KZ8hXcQ4mB9sT3uW7y",
                            "object": "event",
                            "type": "invoice.paid",
                            "created": 1795253400,
                            "data": {"object": {"id": "in_1SVbpz", "object": "invoice", "customer": "cus_TgQ1"}},
                        }
                    ],
                }
            }
        },
    }
}


@router.post(
    "/billing/stripe/events",
    operation_id="receive_stripe_event",
    summary="Take an event from Stripe",
    responses=errors(
        SignatureInvalid,
        SignatureExpired,
        EventTooLarge,
        EventMalformed,
        EventUnsupported,
        RequestTimeout,
        UnsupportedMediaType,
        Unavailable,
        BillingNotConfigured,
    ),
    openapi_extra=_BODY,
)
async def receive_stripe_event(
    request: Request,
    settings: SettingsDep,
    sessions: SessionsDep,
    stripe_signature: Annotated[
        str | None, Header(description="`t=…,v1=…`: HMAC-SHA256 by one of the endpoint's secrets.")
    ] = None,
) -> Envelope[EventReceivedOut]:
    """The address of the webhook endpoint at Stripe, and of nobody else: what carries no signature of Stripe's, or one
    that is not of now, is refused. An event is stored once, however often it comes, and only says that there is
    something to look at. Events that are signed count towards no limit; those that are refused do, by address."""
    secrets = settings.billing.webhook_secrets
    if not secrets:
        raise BillingNotConfigured("This installation takes no events: it has no secret that Stripe signs them with.")
    try:
        event, body = await _read(request, stripe_signature, secrets)
    except EventRefused as error:
        security_event("billing.event_refused", reason=error.code)
        await limit_refused(request)
        raise
    is_new = await events.receive(sessions, event, body)
    return envelope(EventReceivedOut(id=event.id, duplicate=not is_new))


async def _read(request: Request, header: str | None, secrets: Sequence[SecretStr]) -> tuple[ReceivedEvent, bytes]:
    """The event and its body. Of who shows no header of now nothing is read, of nobody more than the size of an
    event."""
    signature = Signature.of(header, now=time.time())
    try:
        body = b"".join([chunk async for chunk in body_stream(request, LIMIT_BYTES)])
    except PayloadTooLarge:
        raise EventTooLarge(f"The body is larger than {LIMIT_BYTES // 1024} KB.") from None
    signature.check(body, secrets)
    return events.read_event(body), body
