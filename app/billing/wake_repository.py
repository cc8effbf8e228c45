"""The SQL of when to look what Stripe has of a customer: who is due, and who took it upon themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from app.db import Session

# The clock, and not the beginning of the transaction: whoever took what was due before sees that this is another.
_MAKE_DUE = text(
    "UPDATE billing_customers SET due_at = clock_timestamp() WHERE workspace_id = :workspace_id RETURNING true"
)
# A wake that Temporal took is a signal in a history, and lost no more: the next one is for what became due since, or
# for the case that this one was not taken. Those on their way take their places until they are seen.
_TAKE_WAITING = text("""
    WITH woken AS (
        SELECT count(*) AS customers FROM billing_customers
        WHERE due_at <= now() AND seen_at IS DISTINCT FROM due_at
          AND woken_at >= due_at AND woken_at > now() - CAST(:again AS interval)
    )
    UPDATE billing_customers AS c SET woken_at = clock_timestamp()
    FROM (
        SELECT workspace_id FROM billing_customers
        WHERE due_at <= now() AND seen_at IS DISTINCT FROM due_at
          AND (woken_at IS NULL
               OR woken_at <= now() - CAST(:apart AS interval) AND woken_at < due_at
               OR woken_at <= now() - CAST(:again AS interval))
        ORDER BY woken_at NULLS FIRST LIMIT greatest(:places - (SELECT customers FROM woken), 0)
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS waiting
    WHERE c.workspace_id = waiting.workspace_id
    RETURNING c.workspace_id
""")
_TAKE_SILENT = text("""
    UPDATE billing_customers AS c SET checked_at = now()
    FROM (
        SELECT workspace_id FROM billing_customers
        WHERE due_at < now() - make_interval(secs => :seconds) AND seen_at = due_at
          AND checked_at < now() - make_interval(secs => :seconds)
        ORDER BY checked_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ) AS silent
    WHERE c.workspace_id = silent.workspace_id
    RETURNING c.workspace_id
""")
_FORGET_SEEN = text("""
    UPDATE billing_customers SET seen_at = NULL, woken_at = NULL
    WHERE workspace_id = :workspace_id AND seen_at = due_at
""")
# By the clock: an event for which this has waited is due later than its transaction began.
_TAKE = text("""
    UPDATE billing_customers SET seen_at = due_at, fence = fence + 1
    WHERE workspace_id = :workspace_id AND due_at <= clock_timestamp()
    RETURNING id AS customer_id, fence
""")
_LOCK = text("""
    SELECT FROM billing_customers WHERE workspace_id = :workspace_id AND fence = :fence FOR NO KEY UPDATE
""")
_CONCLUDE = text("""
    UPDATE billing_customers
    SET synced_at = now(),
        due_at = CASE WHEN due_at <> seen_at THEN due_at
                      WHEN CAST(:next_look_at AS timestamptz) IS NOT NULL
                      THEN greatest(:next_look_at, now() + CAST(:pause AS interval)) END
    WHERE workspace_id = :workspace_id
    RETURNING coalesce(due_at <= clock_timestamp(), false)
""")


@dataclass(frozen=True, slots=True)
class Look:
    """A look that somebody took upon themselves: at a customer of Stripe's, None where there is none yet. What it finds
    is to be stored while the `fence` is the customer's."""

    customer_id: str | None
    fence: int


async def make_due(session: Session, workspace_id: UUID) -> bool:
    """Have somebody look, now, what Stripe has of the workspace's customer; False where it has none. In the workspace's
    session, or the platform's."""
    return (await session.execute(_MAKE_DUE, {"workspace_id": workspace_id})).scalar() is not None


async def take_waiting(session: Session, *, apart: timedelta, again: timedelta, places: int) -> Sequence[UUID]:
    """Take workspaces whose customers are due and were seen by nobody: those that were not taken less than `apart` ago,
    and for the same a second time only after `again`. With those that were taken and not seen yet they are about
    `places` at the most."""
    values = {"apart": apart, "again": again, "places": places}
    return (await session.execute(_TAKE_WAITING, values)).scalars().all()


async def take_silent(session: Session, *, seconds: float, limit: int) -> Sequence[UUID]:
    """Workspaces whose workflows have been at what is due for so long. Taking counts as a look, for as long again."""
    return (await session.execute(_TAKE_SILENT, {"seconds": seconds, "limit": limit})).scalars().all()


async def forget_seen(session: Session, workspace_id: UUID) -> None:
    """Nobody is at what is due: it is to be found again."""
    await session.execute(_FORGET_SEEN, {"workspace_id": workspace_id})


async def take(session: Session, workspace_id: UUID) -> Look | None:
    """Take what is due of the workspace upon oneself, as another one may have done that is gone, or is only slow; its
    find is worth nothing from now on. None where nothing is due."""
    row = (await session.execute(_TAKE, {"workspace_id": workspace_id})).one_or_none()
    return None if row is None else Look(row.customer_id, row.fence)


async def lock(session: Session, workspace_id: UUID, fence: int) -> bool:
    """Lock the customer until the transaction ends; False where somebody took a later look, and nothing is locked."""
    return (await session.execute(_LOCK, {"workspace_id": workspace_id, "fence": fence})).one_or_none() is not None


async def conclude(session: Session, workspace_id: UUID, *, next_look_at: datetime | None, pause: timedelta) -> bool:
    """What was found is stored: nothing is due until `next_look_at`, and not before the `pause` is over, unless
    something came since the look was taken. Whether there is something due at once."""
    values = {"workspace_id": workspace_id, "next_look_at": next_look_at, "pause": pause}
    return bool((await session.execute(_CONCLUDE, values)).scalar_one())
