"""Events as Stripe sends them: made and signed by its own SDK, so that ours is held to theirs."""

import json
import time
from typing import Any
from uuid import UUID

import stripe
from sqlalchemy import text

from app.db import Session, Sessions, new_id

SECRET = "whsec_planted-secret-events"
OLD_SECRET = "whsec_planted-secret-of-before"
SETTINGS: dict[str, object] = {"billing": {"webhook_secrets": [OLD_SECRET, SECRET]}}
PATH = "/api/v1/billing/stripe/events"


def event(customer: object = None, **more: Any) -> dict[str, Any]:
    """An event about a subscription of this customer, an id or an object; `more` are fields of the event itself."""
    return {
        "id": f"evt_{new_id().hex}",
        "object": "event",
        "type": "customer.subscription.updated",
        "created": int(time.time()),
        "api_version": "2026-10-28.endive",
        "livemode": False,
        "pending_webhooks": 1,
        "request": None,
        "data": {"object": {"id": "sub_1", "object": "subscription", "customer": customer}},
        **more,
    }


def headers(body: bytes, *, secret: str = SECRET, seconds_ago: float = 0) -> dict[str, str]:
    """What Stripe sends with a body."""
    stamp = int(time.time() - seconds_ago)
    signature = stripe.WebhookSignature.generate_signature_header(body.decode("latin-1"), secret, timestamp=stamp)
    return {"Stripe-Signature": signature, "Content-Type": "application/json; charset=utf-8"}


def encoded(event: object) -> bytes:
    return json.dumps(event, indent=2).encode()


async def add_customer(session: Session, workspace_id: UUID, customer_id: str | None) -> None:
    """The workspace's customer, as the owner of the tables stores it; nobody is to look at it yet."""
    await session.execute(
        text("INSERT INTO billing_customers (workspace_id, id) VALUES (:workspace_id, :id)"),
        {"workspace_id": workspace_id, "id": customer_id},
    )


async def customer_of(owner: Sessions, workspace_id: UUID) -> dict[str, Any]:
    async with owner.for_workspace(workspace_id) as session:
        found = await session.execute(
            text("SELECT * FROM billing_customers WHERE workspace_id = :id"), {"id": workspace_id}
        )
        return dict(found.mappings().one())


async def stored(owner: Sessions, event_id: str) -> dict[str, Any] | None:
    async with owner.unscoped() as session:
        found = await session.execute(text("SELECT * FROM billing_events WHERE id = :id"), {"id": event_id})
        row = found.mappings().one_or_none()
        return None if row is None else dict(row)
