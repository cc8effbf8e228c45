"""The SQL of circuits as all processes share them. Whoever changes one says so on `CHANNEL`, in the same transaction.

Times left are by the database's clock, so that those of the machines need not agree.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson
from sqlalchemy import text

from app.db import Session
from app.providers.ports import CircuitChange, JsonValue

CHANNEL = "holdfast_circuits"

Hand = Literal["open", "close", "disable", "enable"]

_COLUMNS = """
    provider, circuit, version, changed_at, opened_at, opens_until, closed_at, cause, probes,
    extract(epoch FROM opens_until - now())::float8 AS opens_in,
    CASE WHEN probe_until > now() THEN extract(epoch FROM probe_until - now())::float8 END AS probe_ends_in,
    coalesce(probe_by = CAST(:me AS uuid) AND probe_until > now(), false) AS is_ours,
    forced IS NOT NULL AS is_held, disabled, hand_reason, hand_at, announced
"""
_ENSURE = text("""
    INSERT INTO provider_health (provider, circuit) SELECT unnest(CAST(:providers AS text[])), 'closed'
    ON CONFLICT DO NOTHING
""")
_READ = text(f"SELECT {_COLUMNS} FROM provider_health ORDER BY provider")
_READ_ONE = text(f"SELECT {_COLUMNS} FROM provider_health WHERE provider = :provider")
_LEASE = text(f"""
    UPDATE provider_health
    SET circuit = 'half_open', version = version + 1, opens_until = NULL, probes = probes + 1, updated_at = now(),
        changed_at = CASE WHEN circuit = 'half_open' THEN changed_at ELSE now() END,
        probe_by = :me, probe_until = now() + make_interval(secs => CAST(:seconds AS float8))
    WHERE provider = :provider AND circuit <> 'closed' AND forced IS NULL
          AND coalesce(opens_until <= now(), true) AND (coalesce(probe_until <= now(), true) OR probe_by = :me)
    RETURNING {_COLUMNS}
""")
_FREE = text(f"""
    UPDATE provider_health SET version = version + 1, probe_by = NULL, probe_until = NULL, updated_at = now()
    WHERE provider = :provider AND probe_by = :me
    RETURNING {_COLUMNS}
""")
# The cause is what began the outage: that the probes fail is nothing new.
_STORE = text(f"""
    UPDATE provider_health
    SET circuit = :state, version = version + 1, changed_at = now(), updated_at = now(),
        opened_at = CASE WHEN :state <> 'closed' THEN coalesce(opened_at, now()) END,
        opens_until = now() + make_interval(secs => CAST(:seconds AS float8)),
        closed_at = CASE WHEN :state = 'closed' THEN now() ELSE closed_at END,
        cause = CASE WHEN :state = 'closed' OR circuit = 'closed' THEN CAST(:cause AS jsonb) ELSE cause END,
        probes = CASE WHEN circuit = 'closed' THEN 0 ELSE probes END,
        probe_by = NULL, probe_until = NULL
    WHERE provider = :provider AND version = :version AND forced IS NULL
    RETURNING {_COLUMNS}
""")
_ANNOUNCE = text(f"""
    UPDATE provider_health SET announced = true WHERE provider = :provider AND NOT announced RETURNING {_COLUMNS}
""")
_SIGNED = "hand_reason = :reason, hand_at = now(), updated_at = now()"
_CHANGED = "version = version + 1, probe_by = NULL, probe_until = NULL, announced = false"
_HANDS: Mapping[Hand, str] = {
    "open": f"""
        circuit = 'open', forced = 'open', opens_until = NULL, opened_at = coalesce(opened_at, now()),
        changed_at = CASE WHEN circuit = 'open' THEN changed_at ELSE now() END,
        cause = CASE WHEN circuit = 'closed' THEN '{{}}' ELSE cause END
                || jsonb_build_object('reason', CAST(:reason AS text)),
        probes = CASE WHEN circuit = 'closed' THEN 0 ELSE probes END, {_CHANGED}
    """,
    "close": f"""
        circuit = 'closed', forced = NULL, opens_until = NULL, opened_at = NULL, cause = '{{}}',
        changed_at = CASE WHEN circuit = 'closed' THEN changed_at ELSE now() END,
        closed_at = CASE WHEN circuit = 'closed' THEN closed_at ELSE now() END, {_CHANGED}
    """,
    "disable": "disabled = true",
    "enable": "disabled = false",
}
_STEER: Mapping[Hand, Any] = {
    hand: text(f"UPDATE provider_health SET {change}, {_SIGNED} WHERE provider = :provider RETURNING {_COLUMNS}")
    for hand, change in _HANDS.items()
}
_NOTIFY = text(f"SELECT pg_notify('{CHANNEL}', :provider)")


@dataclass(frozen=True, slots=True)
class CircuitRow:
    """A circuit as it is stored. `opens_in` and `probe_ends_in` are seconds from now, None where it is not open until
    some time, or nobody probes; `is_ours`: who asks holds the probe. `is_announced` is false where an operator's
    change waits for a worker to tell it."""

    provider: str
    state: Literal["closed", "open", "half_open"]
    version: int
    changed_at: datetime
    opened_at: datetime | None
    opens_until: datetime | None
    closed_at: datetime | None
    cause: Mapping[str, JsonValue]
    probes: int
    opens_in: float | None
    probe_ends_in: float | None
    is_ours: bool
    is_held: bool
    is_disabled: bool
    hand_reason: str | None
    hand_at: datetime | None
    is_announced: bool

    def change(self) -> CircuitChange:
        """What is told of it."""
        return CircuitChange(self.provider, self.state, self.changed_at, self.opens_until, self.cause, self.probes)


async def ensure(session: Session, providers: Collection[str]) -> None:
    """Have a row for each: closed, where nothing was known."""
    await session.execute(_ENSURE, {"providers": sorted(providers)})


async def read(session: Session, me: UUID | None = None) -> list[CircuitRow]:
    """All of them, by name; `me` is the process that asks."""
    return [CircuitRow(*row) for row in await session.execute(_READ, {"me": me})]


async def lease(session: Session, provider: str, me: UUID, *, seconds: float) -> CircuitRow | None:
    """Take the one probe for so long; None where it is not due or another process has it."""
    return await _change(session, _LEASE, {"provider": provider, "me": me, "seconds": seconds})


async def read_one(session: Session, provider: str, me: UUID) -> CircuitRow:
    """One that `ensure` was called for."""
    return CircuitRow(*(await session.execute(_READ_ONE, {"provider": provider, "me": me})).one())


async def free(session: Session, provider: str, me: UUID) -> CircuitRow | None:
    """Give the probe back without a verdict; None where this process does not have it."""
    return await _change(session, _FREE, {"provider": provider, "me": me})


async def store(
    session: Session,
    provider: str,
    version: int,
    state: Literal["closed", "open", "half_open"],
    cause: Mapping[str, JsonValue],
    *,
    opens_in: float | None,
) -> CircuitRow | None:
    """Store a change of the circuit that was known as `version`; None where it has changed since or is held open."""
    values = {"provider": provider, "version": version, "state": state, "seconds": opens_in, "me": None}
    return await _change(session, _STORE, {**values, "cause": orjson.dumps(cause).decode()})


async def announce(session: Session, provider: str) -> CircuitRow | None:
    """Note that an operator's change is told in this transaction; None where it was told already."""
    row = (await session.execute(_ANNOUNCE, {"provider": provider, "me": None})).one_or_none()
    return None if row is None else CircuitRow(*row)


async def steer(session: Session, provider: str, hand: Hand, reason: str) -> CircuitRow:
    """Do what an operator wants. Any process may be told of it on `CHANNEL`; a worker announces it."""
    await ensure(session, [provider])
    row = await _change(session, _STEER[hand], {"provider": provider, "reason": reason, "me": None})
    assert row is not None  # noqa: S101  # there is one, and nobody deletes it
    return row


async def _change(session: Session, statement: Any, values: Mapping[str, Any]) -> CircuitRow | None:
    row = (await session.execute(statement, values)).one_or_none()
    if row is None:
        return None
    await session.execute(_NOTIFY, {"provider": values["provider"]})
    return CircuitRow(*row)
