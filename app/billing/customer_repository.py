"""The SQL of who is a customer of the payment provider."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app.db import Session


@dataclass(frozen=True, slots=True)
class Making:
    """A workspace's customer, whether it is made already (`id`) or not. `generation` is that of its idempotency key,
    `since` when that was first tried, `is_old`: too long ago for the provider to be sure to remember it."""

    id: str | None
    name: str
    generation: int
    since: datetime
    is_old: bool


# A row of before, without an attempt, was made by whoever needed one first.
_BEGIN = text("""
    INSERT INTO billing_customers AS c (workspace_id, name, creating_at)
    SELECT id, name, now() FROM workspaces WHERE id = :workspace_id
    ON CONFLICT (workspace_id) DO UPDATE
    SET name = coalesce(c.name, excluded.name), creating_at = coalesce(c.creating_at, excluded.creating_at)
    RETURNING id, name, generation, creating_at AS since, creating_at < now() - interval '12 hours' AS is_old
""")
_NEXT_GENERATION = text("""
    UPDATE billing_customers SET generation = generation + 1, creating_at = now()
    WHERE workspace_id = :workspace_id AND generation = :generation AND id IS NULL
""")
_STORE = text("UPDATE billing_customers SET id = :id WHERE workspace_id = :workspace_id AND id IS NULL")
_ID = text("SELECT id FROM billing_customers WHERE workspace_id = :workspace_id")
_IS_SUBSCRIBED = text("""
    SELECT EXISTS (SELECT FROM billing_subscriptions
                   WHERE workspace_id = :workspace_id
                     AND status NOT IN ('canceled', 'incomplete', 'incomplete_expired'))
""")


async def begin(session: Session, workspace_id: UUID) -> Making:
    """The workspace's customer, which from now on is being made where there is none."""
    row = (await session.execute(_BEGIN, {"workspace_id": workspace_id})).one()
    return Making(row.id, row.name, row.generation, row.since, row.is_old)


async def next_generation(session: Session, workspace_id: UUID, generation: int) -> None:
    """Have the customer made with another key than that of `generation`."""
    await session.execute(_NEXT_GENERATION, {"workspace_id": workspace_id, "generation": generation})


async def store(session: Session, workspace_id: UUID, customer_id: str) -> None:
    """It is made. The first one stays."""
    await session.execute(_STORE, {"workspace_id": workspace_id, "id": customer_id})


async def customer_id(session: Session, workspace_id: UUID) -> str | None:
    """What the payment provider calls the workspace; None where it is no customer."""
    found: str | None = (await session.execute(_ID, {"workspace_id": workspace_id})).scalar_one_or_none()
    return found


async def is_subscribed(session: Session, workspace_id: UUID) -> bool:
    """Whether a subscription of the workspace, paid or not, goes on."""
    return bool((await session.execute(_IS_SUBSCRIBED, {"workspace_id": workspace_id})).scalar_one())
