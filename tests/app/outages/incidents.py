"""Circuits that change, and what is stored of it, for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text

from app.db import Sessions, new_id
from app.outages.service import circuit_changed, park, unpark
from app.providers.ports import CircuitChange

START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
CAUSE = {"errors": {"provider_transient": 5}, "sample": "hunter: status 503"}


def change(
    state: Literal["closed", "open", "half_open"], *, seconds: float = 0, probes: int = 0, provider: str = "hunter"
) -> CircuitChange:
    """A change so many seconds after START."""
    at = START + timedelta(seconds=seconds)
    opens_until = at + timedelta(seconds=30) if state == "open" else None
    return CircuitChange(provider, state, at, opens_until, CAUSE if state != "closed" else {}, probes)


async def tell(platform: Sessions, *changes: CircuitChange) -> None:
    for each in changes:
        async with platform.unscoped() as session:
            await circuit_changed(session, each)


async def wait(
    sessions: Sessions,
    workspace_id: UUID,
    job_id: UUID | None = None,
    *,
    records: int = 10,
    credits_held: int = 20,
    provider: str = "hunter",
) -> UUID | None:
    """Have a job of the workspace wait for the provider; in which outage."""
    async with sessions.for_workspace(workspace_id) as session:
        return await park(
            session,
            workspace_id,
            provider,
            "enrichment",
            job_id or new_id(),
            records=records,
            credits_held=credits_held,
        )


async def go_on(sessions: Sessions, workspace_id: UUID, job_id: UUID, provider: str | None = "hunter") -> None:
    async with sessions.for_workspace(workspace_id) as session:
        await unpark(session, workspace_id, provider, "enrichment", job_id)


async def outages(platform: Sessions) -> list[dict[str, Any]]:
    """All that are stored, the oldest first."""
    async with platform.unscoped() as session:
        rows = await session.execute(text("SELECT * FROM provider_outages ORDER BY id"))
        return [dict(row) for row in rows.mappings()]


async def events(sessions: Sessions, workspace_id: UUID, kind: str = "") -> list[dict[str, Any]]:
    """What the workspace was told, in order of time; of one type where that is said."""
    query = text("SELECT * FROM events WHERE type LIKE :kind || '%' ORDER BY created_at, id")
    async with sessions.for_workspace(workspace_id) as session:
        return [dict(row) for row in (await session.execute(query, {"kind": kind})).mappings()]
