"""The SQL of outages.

Lock order: the outage, then its waits; both after whatever waits (a job locks its own row first).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, exists, select, text

from app.db import Session
from app.outages.models import outage_waits, provider_outages


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which the circuit of a provider was not closed; `cause` as CircuitChange has it. `drained_at`: it was
    closed, and nothing waited in it any more."""

    id: UUID
    provider: str
    opened_at: datetime
    cause: Mapping[str, Any]
    probes: int
    closed_at: datetime | None
    drained_at: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs, their records without an end, and the credits held for them. `workspaces` is told to the staff only."""

    jobs: int = 0
    records: int = 0
    credits_held: int = 0
    workspaces: int | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """What waits in an outage `now`, as of its last park, and all that waited in it at some time, at its most."""

    now: Waiting = Waiting()
    ever: Waiting = Waiting()


@dataclass(frozen=True, slots=True)
class Joined:
    """The outage that something waits in. `is_new`: it did not before."""

    outage: Outage
    is_new: bool


@dataclass(frozen=True, slots=True)
class Untold:
    """A workspace that was not told yet that an outage in which it waited has ended."""

    workspace_id: UUID
    outage: Outage


_OUTAGE = "o.id, o.provider, o.opened_at, o.cause, o.probes, o.closed_at, o.drained_at"

# Told by a process that learned it late, after the outage was closed, an opening is none.
_OPEN = text("""
    INSERT INTO provider_outages AS o (id, provider, opened_at, cause, probes)
    SELECT :id, :provider, :at, CAST(:cause AS jsonb), :probes
    WHERE NOT EXISTS (SELECT FROM provider_outages WHERE provider = :provider AND closed_at >= :at)
    ON CONFLICT (provider) WHERE closed_at IS NULL DO UPDATE
    SET probes = greatest(o.probes, excluded.probes), cause = excluded.cause || o.cause
""")
_PROBE = text("""
    UPDATE provider_outages SET probes = greatest(probes, :probes) WHERE provider = :provider AND closed_at IS NULL
""")
# Clocks of machines differ.
_CLOSE = text("""
    UPDATE provider_outages SET closed_at = greatest(:at, opened_at), probes = greatest(probes, :probes)
    WHERE provider = :provider AND closed_at IS NULL
""")

# FOR SHARE: no outage is found to be drained while something joins it. Whatever waited in an earlier outage of the
# provider waits in this one now.
_JOIN = text(f"""
    WITH o AS (
        SELECT * FROM provider_outages WHERE provider = :provider AND drained_at IS NULL
        ORDER BY id DESC LIMIT 1 FOR SHARE
    ), moved AS (
        UPDATE outage_waits AS w SET ended_at = now() FROM o, provider_outages AS earlier
        WHERE w.workspace_id = :workspace_id AND w.reference_id = :reference_id AND w.process = :process
          AND w.ended_at IS NULL AND w.outage_id <> o.id AND earlier.id = w.outage_id AND earlier.provider = :provider
    ), joined AS (
        INSERT INTO outage_waits AS w (
            workspace_id, reference_id, process, outage_id, records, credits_held, most_records, most_credits_held
        )
        SELECT :workspace_id, :reference_id, :process, o.id, :records, :credits_held, :records, :credits_held FROM o
        ON CONFLICT (workspace_id, reference_id, process, outage_id) DO UPDATE
        SET records = excluded.records, credits_held = excluded.credits_held, ended_at = NULL,
            most_records = greatest(w.most_records, excluded.records),
            most_credits_held = greatest(w.most_credits_held, excluded.credits_held)
        RETURNING xmax = 0 AS is_new
    )
    SELECT {_OUTAGE}, joined.is_new FROM o, joined
""")
_LEAVE = text("""
    UPDATE outage_waits AS w SET ended_at = now() FROM provider_outages AS o
    WHERE w.workspace_id = :workspace_id AND w.reference_id = :reference_id AND w.process = :process
      AND w.ended_at IS NULL AND o.id = w.outage_id
      AND (CAST(:provider AS text) IS NULL OR o.provider = :provider)
    RETURNING w.outage_id
""")

_CLOSED = text(f"""
    SELECT {_OUTAGE} FROM provider_outages AS o WHERE o.closed_at IS NOT NULL AND o.drained_at IS NULL
    ORDER BY o.id LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_TELL = text("""
    UPDATE outage_waits SET told = true WHERE outage_id = ANY(CAST(:outages AS uuid[])) AND NOT told
    RETURNING workspace_id, outage_id
""")
_DRAIN = text("""
    UPDATE provider_outages AS o SET drained_at = now()
    WHERE id = ANY(CAST(:outages AS uuid[]))
      AND NOT EXISTS (SELECT FROM outage_waits AS w WHERE w.outage_id = o.id AND w.ended_at IS NULL)
    RETURNING id
""")

_OWN_TOTALS = text("""
    SELECT outage_id, count(*) FILTER (WHERE ended_at IS NULL) AS jobs,
           coalesce(sum(records) FILTER (WHERE ended_at IS NULL), 0)::bigint AS records,
           coalesce(sum(credits_held) FILTER (WHERE ended_at IS NULL), 0)::bigint AS credits_held,
           count(*) AS all_jobs, sum(most_records)::bigint AS all_records,
           sum(most_credits_held)::bigint AS all_credits_held
    FROM outage_waits WHERE workspace_id = :workspace_id AND outage_id = ANY(CAST(:outages AS uuid[]))
    GROUP BY outage_id
""")
_ALL_TOTALS = text("SELECT * FROM outage_totals(:superadmin, CAST(:outages AS uuid[]))")

_outage = provider_outages.c
_wait = outage_waits.c


async def record_open(
    session: Session, outage_id: UUID, provider: str, at: datetime, cause: Mapping[str, Any], probes: int
) -> None:
    await session.execute(
        _OPEN,
        {
            "id": outage_id,
            "provider": provider,
            "at": at,
            "cause": orjson.dumps(dict(cause)).decode(),
            "probes": probes,
        },
    )


async def record_probe(session: Session, provider: str, probes: int) -> None:
    await session.execute(_PROBE, {"provider": provider, "probes": probes})


async def record_close(session: Session, provider: str, at: datetime, probes: int) -> None:
    await session.execute(_CLOSE, {"provider": provider, "at": at, "probes": probes})


async def join(
    session: Session,
    workspace_id: UUID,
    provider: str,
    process: str,
    reference_id: UUID,
    *,
    records: int,
    credits_held: int,
) -> Joined | None:
    """Note the wait in the provider's newest outage that is not drained; None where there is none."""
    found = await session.execute(
        _JOIN,
        {
            "workspace_id": workspace_id,
            "provider": provider,
            "process": process,
            "reference_id": reference_id,
            "records": records,
            "credits_held": credits_held,
        },
    )
    row = found.one_or_none()
    return Joined(Outage(*row[:-1]), row.is_new) if row else None


async def leave(session: Session, workspace_id: UUID, provider: str | None, process: str, reference_id: UUID) -> None:
    """End what waits for the provider; None: for any."""
    await session.execute(
        _LEAVE,
        {"workspace_id": workspace_id, "provider": provider, "process": process, "reference_id": reference_id},
    )


async def lock_closed(session: Session, *, limit: int) -> list[Outage]:
    """Outages that are closed and not drained, but for those that others hold; nothing joins them before the end of
    the transaction."""
    return [Outage(*row) for row in await session.execute(_CLOSED, {"limit": limit})]


async def take_untold(session: Session, outages: Sequence[Outage]) -> list[Untold]:
    """The workspaces that waited in these outages and were not told of their end; from now on they were."""
    by_id = {outage.id: outage for outage in outages}
    rows = await session.execute(_TELL, {"outages": list(by_id)})
    return [Untold(workspace_id, by_id[outage_id]) for workspace_id, outage_id in {tuple(row) for row in rows}]


async def drain(session: Session, outages: Sequence[Outage]) -> list[UUID]:
    """Mark those in which nothing waits; which they are."""
    return list((await session.execute(_DRAIN, {"outages": [outage.id for outage in outages]})).scalars())


async def of_provider(session: Session, provider: str, *, before: UUID | None, limit: int) -> list[Outage]:
    """The newest first; `before` continues after the last one seen."""
    return await _newest(session, _outage.provider == provider, before, limit)


async def of_workspace(session: Session, workspace_id: UUID, *, before: UUID | None, limit: int) -> list[Outage]:
    """Those in which something of the workspace waited; newest first, `before` continues after the last one seen."""
    waited = exists().where(_wait.outage_id == _outage.id, _wait.workspace_id == workspace_id)
    return await _newest(session, waited, before, limit)


async def _newest(session: Session, wanted: ColumnElement[bool], before: UUID | None, limit: int) -> list[Outage]:
    query = select(*(_outage[name] for name in Outage.__slots__)).where(wanted)
    if before is not None:
        query = query.where(_outage.id < before)
    return [Outage(*row) for row in await session.execute(query.order_by(_outage.id.desc()).limit(limit))]


async def own_totals(session: Session, workspace_id: UUID, outages: Sequence[Outage]) -> dict[UUID, Totals]:
    """By outage, where something of the workspace waits or waited in it."""
    parameters = {"workspace_id": workspace_id, "outages": [outage.id for outage in outages]}
    return {
        row.outage_id: Totals(
            Waiting(row.jobs, row.records, row.credits_held),
            Waiting(row.all_jobs, row.all_records, row.all_credits_held),
        )
        for row in await session.execute(_OWN_TOTALS, parameters)
    }


async def all_totals(session: Session, superadmin: UUID, outages: Sequence[Outage]) -> dict[UUID, Totals]:
    """By outage, of all workspaces; nothing for who is no superadmin."""
    parameters = {"superadmin": superadmin, "outages": [outage.id for outage in outages]}
    return {
        row.outage_id: Totals(
            Waiting(row.jobs, row.records, row.credits_held, row.workspaces),
            Waiting(row.all_jobs, row.all_records, row.all_credits_held, row.all_workspaces),
        )
        for row in await session.execute(_ALL_TOTALS, parameters)
    }
