"""The SQL of pages of the payment provider."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias
from uuid import UUID

from sqlalchemy import insert, text

from app.billing.models import billing_pages
from app.db import Session

Kind: TypeAlias = Literal["checkout", "portal"]
PageStatus: TypeAlias = Literal["pending", "open", "expired", "failed"]

# Where the provider does not say for how long one is open.
LASTS = timedelta(days=1)
# Whoever asked for one has gone long before. It is for what nothing else ends: a workflow that was terminated.
_WAITS = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page to be opened. `plan`, `price_id` and `success_url` are those of a checkout."""

    kind: Kind
    return_url: str
    plan: str | None = None
    price_id: str | None = None
    success_url: str | None = None


@dataclass(frozen=True, slots=True)
class PageRow:
    """A page as somebody who asked for it sees it. `url` is None unless it is open, `error` a code unless it failed."""

    id: UUID
    kind: Kind
    plan: str | None
    status: PageStatus
    url: str | None
    expires_at: datetime | None
    error: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Opening:
    """A page that is to be opened, with the `generation` of its idempotency key."""

    wanted: Wanted
    generation: int


_IS_PENDING = "status = 'pending' AND created_at > now() - CAST(:waits AS interval)"

_GET = text(f"""
    SELECT id, kind, plan,
           CASE WHEN is_over THEN 'expired' WHEN is_given_up THEN 'failed' ELSE status END AS status,
           CASE WHEN NOT is_over THEN url END AS url, expires_at,
           CASE WHEN is_given_up THEN 'provider_unavailable' ELSE error END AS error, created_at
    FROM (
        SELECT *, status = 'open' AND coalesce(expires_at, created_at + CAST(:lasts AS interval)) <= now() AS is_over,
               status = 'pending' AND NOT ({_IS_PENDING}) AS is_given_up
        FROM billing_pages WHERE workspace_id = :workspace_id AND id = :id AND kind = :kind
    ) AS page
""")
_TO_OPEN = text(f"""
    SELECT kind, return_url, plan, price_id, success_url, generation FROM billing_pages
    WHERE workspace_id = :workspace_id AND id = :id AND {_IS_PENDING}
""")
_NEXT_GENERATION = text("""
    UPDATE billing_pages SET generation = generation + 1
    WHERE workspace_id = :workspace_id AND id = :id AND generation = :generation AND status = 'pending'
""")
_OPENED = text(f"""
    UPDATE billing_pages SET status = 'open', url = :url, expires_at = :expires_at
    WHERE workspace_id = :workspace_id AND id = :id AND {_IS_PENDING}
""")
_CLOSE_EARLIER = text("""
    UPDATE billing_pages AS p SET expires_at = now()
    FROM billing_pages AS opened
    WHERE opened.workspace_id = :workspace_id AND opened.id = :id AND opened.kind = 'checkout'
      AND p.workspace_id = opened.workspace_id AND p.kind = 'checkout' AND p.id < opened.id
      AND p.status = 'open' AND p.expires_at > now()
""")
_FAILED = text("""
    UPDATE billing_pages SET status = 'failed', error = :error
    WHERE workspace_id = :workspace_id AND id = :id AND status = 'pending'
""")
_SWEEP = text("""
    DELETE FROM billing_pages WHERE (workspace_id, id) IN (
        SELECT workspace_id, id FROM billing_pages WHERE created_at < now() - CAST(:keep AS interval)
        ORDER BY created_at LIMIT :limit
    )
""")


async def add(session: Session, workspace_id: UUID, page_id: UUID, wanted: Wanted) -> None:
    values = {
        "workspace_id": workspace_id,
        "id": page_id,
        "kind": wanted.kind,
        "plan": wanted.plan,
        "price_id": wanted.price_id,
        "success_url": wanted.success_url,
        "return_url": wanted.return_url,
    }
    await session.execute(insert(billing_pages).values(values))


async def get(session: Session, workspace_id: UUID, page_id: UUID, kind: Kind) -> PageRow | None:
    values = {"workspace_id": workspace_id, "id": page_id, "kind": kind, "lasts": LASTS, "waits": _WAITS}
    row = (await session.execute(_GET, values)).mappings().one_or_none()
    return None if row is None else PageRow(**row)


async def to_open(session: Session, workspace_id: UUID, page_id: UUID) -> Opening | None:
    """None where it is open already, or was given up."""
    values = {"workspace_id": workspace_id, "id": page_id, "waits": _WAITS}
    row = (await session.execute(_TO_OPEN, values)).mappings().one_or_none()
    if row is None:
        return None
    wanted = dict(row)
    return Opening(generation=wanted.pop("generation"), wanted=Wanted(**wanted))


async def next_generation(session: Session, workspace_id: UUID, page_id: UUID, generation: int) -> None:
    """Have it opened with another key than that of `generation`."""
    values = {"workspace_id": workspace_id, "id": page_id, "generation": generation}
    await session.execute(_NEXT_GENERATION, values)


async def opened(session: Session, workspace_id: UUID, page_id: UUID, *, url: str, expires_at: datetime | None) -> None:
    """It is open at this address, unless it was given up before. Earlier checkouts are over."""
    values = {"workspace_id": workspace_id, "id": page_id, "url": url, "expires_at": expires_at, "waits": _WAITS}
    await session.execute(_OPENED, values)
    await session.execute(_CLOSE_EARLIER, {"workspace_id": workspace_id, "id": page_id})


async def failed(session: Session, workspace_id: UUID, page_id: UUID, error: str) -> bool:
    """It was given up, unless it is open; whether it was."""
    values = {"workspace_id": workspace_id, "id": page_id, "error": error}
    return (await session.execute(_FAILED, values)).rowcount > 0


async def sweep(session: Session, *, keep: timedelta, limit: int) -> int:
    """Delete up to `limit` pages that were asked for longer ago than `keep`; how many. In the platform's session."""
    return (await session.execute(_SWEEP, {"keep": keep, "limit": limit})).rowcount
