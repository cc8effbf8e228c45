"""What the platform's staff does. A change in a workspace is in its audit log; one of the installation is an event of
security, and keeps its reason."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.admin import repository
from app.admin.repository import AnyUser, AnyWorkspace
from app.audit_log import service as audit_log
from app.auth.permissions import Person
from app.credits import service as credits
from app.credits.repository import Entry
from app.db import Session, Sessions, new_id
from app.errors import NotFound
from app.idempotency import service as idempotency
from app.idempotency.answers import Once, Remembered
from app.providers import circuit_rows
from app.providers.circuit_rows import CircuitRow, Hand
from app.security_log import security_event
from app.workspaces import service as workspaces


@dataclass(frozen=True, slots=True)
class Grant:
    """`amount` credits for a workspace, which are lost at `expires_at` (None: never) where they are not spent."""

    amount: int
    reason: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer to the request. `replayed`: an earlier one with the same key had it, and nothing was granted."""

    answer: Remembered
    replayed: bool


async def grant_credits(
    sessions: Sessions,
    superadmin: Person,
    workspace_id: UUID,
    grant: Grant,
    *,
    once: Once | None,
    answer: Callable[[Entry], Remembered],
) -> Granted:
    """Grant credits to a workspace.

    Raises NoSuchWorkspace, IdempotencyInProgress, IdempotencyKeyReused, Unavailable.
    """
    async with sessions.for_workspace(workspace_id) as session:
        await workspaces.keep_open(session, workspace_id)
        if once and (first := await idempotency.replay_or_begin(session, once)):
            return Granted(first, replayed=True)
        entry = await _grant(session, superadmin, workspace_id, grant)
        made = answer(entry)
        if once:
            await idempotency.remember(session, once, made)
    return Granted(made, replayed=False)


async def _grant(session: Session, superadmin: Person, workspace_id: UUID, grant: Grant) -> Entry:
    key = f"staff-grant:{new_id()}"
    said: dict[str, Any] = {"amount": grant.amount, "reason": grant.reason}
    if grant.expires_at is not None:
        said["expires_at"] = grant.expires_at.isoformat()
    await audit_log.record(session, workspace_id, superadmin, "credits.grant", ("grant", key), after=said)
    await credits.grant(session, workspace_id, grant.amount, key=key, reason=grant.reason, expires_at=grant.expires_at)
    return await credits.entry_of(session, workspace_id, key)


async def list_workspaces(
    sessions: Sessions, superadmin: Person, *, before: UUID | None, limit: int
) -> list[AnyWorkspace]:
    """Of all tenants, also the deleted ones, newest first; `before` continues after the last one seen."""
    async with sessions.unscoped() as session:
        return await repository.list_workspaces(session, superadmin.user_id, before=before, limit=limit)


async def list_users(sessions: Sessions, superadmin: Person, *, before: UUID | None, limit: int) -> list[AnyUser]:
    """Of all tenants and of none, newest first; `before` continues after the last one seen."""
    async with sessions.unscoped() as session:
        return await repository.list_users(session, superadmin.user_id, before=before, limit=limit)


async def steer_provider(
    sessions: Sessions, by: Person | None, known: Collection[str], provider: str, hand: Hand, reason: str
) -> CircuitRow:
    """Have all workers treat a provider as a person wants it; they do within a tenth of a second.

    ``open``: nothing is asked until ``close``, and work waits as in an outage. ``close``: it is asked again, slowly at
    first. ``disable``: it refuses all until ``enable``, and jobs go on without it. Each says the same again when it is
    repeated. `by` is None for whoever has the database's URL. Raises NotFound, Unavailable.
    """
    if provider not in known:
        raise NotFound("There is no such provider.")
    async with sessions.unscoped() as session:
        row = await circuit_rows.steer(session, provider, hand, reason)
    security_event(f"provider.{hand}", provider=provider, reason=reason, user_id=by and by.user_id)
    return row


async def list_circuits(sessions: Sessions, known: Collection[str]) -> list[CircuitRow]:
    """The circuits of these providers, by name. Raises Unavailable."""
    async with sessions.unscoped() as session:
        await circuit_rows.ensure(session, known)
        return [row for row in await circuit_rows.read(session) if row.provider in known]
