"""The SQL of what Stripe sent."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from app.db import Session, Sessions

_STORE = """
    SELECT store_billing_event(
        %(id)s, %(type)s, %(customer_id)s, %(payment_id)s, CAST(%(created_at)s AS timestamptz), %(body)s
    ) AS is_new
"""
_ADOPT = text("""
    SELECT adopt_billing_events(id) FROM billing_customers WHERE workspace_id = :workspace_id AND id = :customer_id
""")
_PENDING = text("SELECT id FROM billing_events WHERE workspace_id = :workspace_id AND state = 'pending'")
_MARK_APPLIED = text("""
    UPDATE billing_events SET state = 'applied', applied_at = now()
    WHERE workspace_id = :workspace_id AND id = ANY(CAST(:ids AS text[])) AND state = 'pending'
""")
_SWEEP = text("""
    DELETE FROM billing_events WHERE id IN (
        SELECT id FROM billing_events WHERE received_at < now() - CAST(:keep AS interval) AND state <> 'pending'
        ORDER BY received_at LIMIT :limit
    )
""")


async def store(
    sessions: Sessions,
    *,
    event_id: str,
    type: str,
    customer_id: str | None,
    payment_id: str | None,
    created_at: datetime,
    body: bytes,
) -> bool:
    """Store an event in one statement, which is a transaction of its own, and have its customer looked at; False where
    it was known already. Raises Unavailable."""
    values = {
        "id": event_id,
        "type": type,
        "customer_id": customer_id,
        "payment_id": payment_id,
        "created_at": created_at.isoformat(),
        "body": body,
    }
    [row] = await sessions.read(_STORE, values)
    return bool(row["is_new"])


async def adopt(session: Session, workspace_id: UUID, customer_id: str) -> int:
    """Give the events of a customer that nobody knew to the workspace whose customer it is; how many."""
    values = {"workspace_id": workspace_id, "customer_id": customer_id}
    return int((await session.execute(_ADOPT, values)).scalar() or 0)


async def pending(session: Session, workspace_id: UUID) -> Sequence[str]:
    """The events of the workspace for which nobody has looked yet."""
    return (await session.execute(_PENDING, {"workspace_id": workspace_id})).scalars().all()


async def mark_applied(session: Session, workspace_id: UUID, ids: Sequence[str]) -> None:
    """What they told of is stored."""
    if ids:
        await session.execute(_MARK_APPLIED, {"workspace_id": workspace_id, "ids": list(ids)})


async def sweep(session: Session, *, keep: timedelta, limit: int) -> int:
    """Delete up to `limit` events that came longer ago; those that still wait stay."""
    return (await session.execute(_SWEEP, {"keep": keep, "limit": limit})).rowcount
