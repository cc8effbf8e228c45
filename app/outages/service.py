"""Outages: one row from the opening of a provider's circuit to its close, what waits in it, and when that is over.

Circuits tell of their changes, processes tell `park` and `unpark`; outages ask nobody. What waits is written in the
transaction in which the process notes it about itself, so that neither can be without the other.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from app.auth.permissions import Caller, Person
from app.db import Session, Sessions, new_id
from app.errors import NotFound
from app.outages import repository
from app.outages.repository import Outage, Totals, Waiting
from app.providers.ports import CircuitChange
from app.webhooks import service as webhooks

# Outages that a sweep looks at in one transaction.
_BATCH = 20


@dataclass(frozen=True, slots=True)
class Incident:
    """An outage as somebody sees it. `totals`: of their own workspace, or for the staff of all; None: not theirs to
    know."""

    outage: Outage
    totals: Totals | None


async def circuit_changed(session: Session, change: CircuitChange) -> None:
    """Note a change of a provider's circuit, in the transaction that stored it.

    The first opening is one outage for the whole cluster, however many processes tell of it; each later opening and
    probe until the close belongs to it. The workspaces that wait hear of the close from the sweep. The session is of
    the platform's role.
    """
    match change.state:
        case "open":
            await repository.record_open(session, new_id(), change.provider, change.at, change.cause, change.probes)
        case "half_open":
            await repository.record_probe(session, change.provider, change.probes)
        case "closed":
            await repository.record_close(session, change.provider, change.at, change.probes)


async def park(
    session: Session,
    workspace_id: UUID,
    provider: str,
    process: str,
    reference_id: UUID,
    *,
    records: int,
    credits_held: int,
) -> UUID | None:
    """Note that something of the workspace waits for the provider, `reference_id` of a `process`; in which outage.

    `records` and `credits_held` are what waits with it: told again they replace what was told before. None where the
    provider has no outage, which is so where too few calls failed to open its circuit: then nothing is noted.
    """
    joined = await repository.join(
        session, workspace_id, provider, process, reference_id, records=records, credits_held=credits_held
    )
    if joined is None:
        return None
    outage = joined.outage
    if joined.is_new:
        await webhooks.publish(
            session,
            workspace_id,
            "provider.outage.opened",
            {"outage_id": str(outage.id), "provider": outage.provider, "opened_at": outage.opened_at.isoformat()},
            key=str(outage.id),
        )
    return outage.id


async def unpark(session: Session, workspace_id: UUID, provider: str | None, process: str, reference_id: UUID) -> None:
    """Note that it waits for the provider no longer: it got an answer, gave it up, or has ended. None: for no provider
    any more. Again changes nothing."""
    await repository.leave(session, workspace_id, provider, process, reference_id)


async def sweep(platform_sessions: Sessions) -> int:
    """Tell the workspaces that waited in an outage that it is over, and find the outages in which nothing waits any
    more; how many those were.

    Any number of processes may do it at the same time. Raises Unavailable.
    """
    async with platform_sessions.unscoped() as session:
        closed = await repository.lock_closed(session, limit=_BATCH)
        if not closed:
            return 0
        for untold in await repository.take_untold(session, closed):
            await _tell_closed(session, untold.workspace_id, untold.outage)
        return len(await repository.drain(session, closed))


async def list_of_provider(
    sessions: Sessions,
    caller: Caller | Person,
    known: Collection[str],
    provider: str,
    *,
    before: UUID | None,
    limit: int,
) -> list[Incident]:
    """The outages of a provider, the newest first; `before` continues after the last one seen.

    An API key sees what waits of its own workspace, a superadmin what waits of all, other people nothing of that.
    Raises NotFound for a provider that is not `known`.
    """
    if provider not in known:
        raise NotFound("There is no such provider.")
    if isinstance(caller, Caller):
        async with sessions.for_workspace(caller.workspace_id) as session:
            found = await repository.of_provider(session, provider, before=before, limit=limit)
            return _incidents(found, await repository.own_totals(session, caller.workspace_id, found))
    async with sessions.unscoped() as session:
        found = await repository.of_provider(session, provider, before=before, limit=limit)
        if not caller.is_superadmin:
            return [Incident(outage, None) for outage in found]
        totals = await repository.all_totals(session, caller.user_id, found)
        return _incidents(found, totals, Totals(Waiting(workspaces=0), Waiting(workspaces=0)))


async def list_of_workspace(
    sessions: Sessions, workspace_id: UUID, *, before: UUID | None, limit: int
) -> list[Incident]:
    """The outages in which something of the workspace waits or waited, the newest first; `before` continues after the
    last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        found = await repository.of_workspace(session, workspace_id, before=before, limit=limit)
        return _incidents(found, await repository.own_totals(session, workspace_id, found))


async def _tell_closed(session: Session, workspace_id: UUID, outage: Outage) -> None:
    await webhooks.publish(
        session,
        workspace_id,
        "provider.outage.closed",
        {
            "outage_id": str(outage.id),
            "provider": outage.provider,
            "opened_at": outage.opened_at.isoformat(),
            "closed_at": outage.closed_at.isoformat() if outage.closed_at else None,
        },
        key=str(outage.id),
    )


def _incidents(outages: list[Outage], totals: Mapping[UUID, Totals], nothing: Totals | None = None) -> list[Incident]:
    return [Incident(outage, totals.get(outage.id, nothing or Totals())) for outage in outages]
