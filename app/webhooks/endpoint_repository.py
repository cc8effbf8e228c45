"""The SQL of endpoints: what people say of them, what is sealed of them, and how they fare."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row, delete, insert, text

from app.credentials.sealing import Sealed
from app.db import Session
from app.webhooks.models import webhook_endpoints, webhook_secrets

SecretKind = Literal["signing", "headers"]
DisabledReason = Literal["by_hand", "gone", "failing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How an endpoint stands. `updated_at` moves with what people say of it; `paused_seconds`: it is left alone for so
    long; `failures` in a row."""

    enabled: bool
    updated_at: datetime
    failures: int
    paused_seconds: float
    owners_to_tell: bool


@dataclass(frozen=True, slots=True)
class Health:
    """What some attempts say of an endpoint: whether any was taken (`recovered`), and how many failed after the last
    that was. `retry_after`: it asked for so many seconds without any."""

    recovered: bool
    failures: int
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where deliveries go. `signing` are the current key and those that it has replaced and that still count, the
    current one first; `headers` go with each delivery."""

    url: str
    signing: Sequence[Sealed]
    headers: Sealed | None


_STANDING = """
    enabled, updated_at, e.failures,
    greatest(coalesce(extract(epoch FROM paused_until - clock_timestamp()), 0), 0)::float8 AS paused_seconds,
    coalesce(disabled_reason IN ('gone', 'failing') AND owners_told_at IS NULL, false) AS owners_to_tell
"""
_WATCH = text(f"""
    UPDATE webhook_endpoints AS e SET watched_until = now() + CAST(:watch AS interval)
    WHERE workspace_id = :workspace_id AND id = :endpoint_id RETURNING {_STANDING}
""")
_LOOK = text(f"""
    SELECT {_STANDING} FROM webhook_endpoints AS e WHERE workspace_id = :workspace_id AND id = :endpoint_id
""")
_LEAVE = text(f"""
    UPDATE webhook_endpoints AS e SET watched_until = NULL
    WHERE workspace_id = :workspace_id AND id = :endpoint_id RETURNING {_STANDING}
""")
# A pause grows with the time for which nothing was taken: half of it, within bounds.
_NOTE_HEALTH = text(f"""
    UPDATE webhook_endpoints AS e
    SET failures = n.failures, failing_since = n.failing_since,
        paused_until = CASE
            WHEN n.failures = 0 AND CAST(:retry_after AS float8) IS NULL THEN NULL
            ELSE greatest(
                e.paused_until,
                now() + make_interval(secs => CAST(:retry_after AS float8)),
                CASE WHEN n.failures >= :opens_after THEN now()
                    + least(greatest((now() - n.failing_since) / 2, CAST(:shortest AS interval)),
                            CAST(:longest AS interval)) END
            )
        END
    FROM (
        SELECT id AS its_id, CASE WHEN :recovered THEN 0 ELSE failures END + :failures AS failures,
               CASE WHEN :failures = 0 AND :recovered THEN NULL
                    ELSE coalesce(CASE WHEN NOT :recovered THEN failing_since END, now()) END AS failing_since
        FROM webhook_endpoints WHERE workspace_id = :workspace_id AND id = :endpoint_id FOR NO KEY UPDATE
    ) AS n
    WHERE e.workspace_id = :workspace_id AND e.id = n.its_id
    RETURNING {_STANDING}, coalesce(e.failing_since < now() - CAST(:lasting AS interval), false) AS is_lasting
""")
_DISABLE = text("""
    UPDATE webhook_endpoints
    SET enabled = false, disabled_reason = :reason, disabled_at = now(), owners_told_at = NULL, updated_at = now()
    WHERE workspace_id = :workspace_id AND id = :endpoint_id AND enabled
""")
_ENABLE = text("""
    UPDATE webhook_endpoints
    SET enabled = true, disabled_reason = NULL, disabled_at = NULL, owners_told_at = NULL, updated_at = now(),
        failures = 0, failing_since = NULL, paused_until = NULL
    WHERE workspace_id = :workspace_id AND id = :endpoint_id AND NOT enabled
""")
_LIFT_PAUSE = text("""
    UPDATE webhook_endpoints SET paused_until = NULL
    WHERE workspace_id = :workspace_id AND id = :endpoint_id AND paused_until IS NOT NULL
""")
_READ = text("SELECT url FROM webhook_endpoints WHERE workspace_id = :workspace_id AND id = :endpoint_id")
_SECRETS = text("""
    SELECT kind, key_id, wrapped_key, ciphertext FROM webhook_secrets
    WHERE workspace_id = :workspace_id AND endpoint_id = :endpoint_id
      AND (expires_at IS NULL OR expires_at > now())
    ORDER BY expires_at DESC NULLS FIRST
""")
# Those that count no more go with it.
_REPLACE_SIGNING = (
    text("""
        DELETE FROM webhook_secrets
        WHERE workspace_id = :workspace_id AND endpoint_id = :endpoint_id AND expires_at <= now()
    """),
    text("""
        UPDATE webhook_secrets SET expires_at = now() + CAST(:overlap AS interval)
        WHERE workspace_id = :workspace_id AND endpoint_id = :endpoint_id AND kind = 'signing' AND expires_at IS NULL
    """),
)
_TOUCH = text("""
    UPDATE webhook_endpoints SET header_names = coalesce(:header_names, header_names), updated_at = clock_timestamp()
    WHERE workspace_id = :workspace_id AND id = :endpoint_id
""")
_TO_TELL = text("""
    SELECT url, description, disabled_reason FROM webhook_endpoints
    WHERE workspace_id = :workspace_id AND id = :endpoint_id
      AND disabled_reason IN ('gone', 'failing') AND owners_told_at IS NULL
""")
_OWNERS = text("SELECT email FROM members_of_own_workspace() WHERE role = 'owner' ORDER BY email")
_OWNERS_TOLD = text("""
    UPDATE webhook_endpoints SET owners_told_at = now() WHERE workspace_id = :workspace_id AND id = :endpoint_id
""")


async def add(
    session: Session,
    workspace_id: UUID,
    endpoint_id: UUID,
    *,
    url: str,
    event_types: Sequence[str],
    description: str,
    created_by: UUID | None,
) -> None:
    await session.execute(
        insert(webhook_endpoints).values(
            workspace_id=workspace_id,
            id=endpoint_id,
            url=url,
            event_types=list(event_types),
            description=description,
            created_by=created_by,
        )
    )


async def add_secret(
    session: Session, workspace_id: UUID, endpoint_id: UUID, secret_id: UUID, kind: SecretKind, sealed: Sealed
) -> None:
    await session.execute(
        insert(webhook_secrets).values(
            workspace_id=workspace_id,
            endpoint_id=endpoint_id,
            id=secret_id,
            kind=kind,
            key_id=sealed.key_id,
            wrapped_key=sealed.wrapped_key,
            ciphertext=sealed.ciphertext,
        )
    )


async def remove_headers(session: Session, workspace_id: UUID, endpoint_id: UUID) -> None:
    table = webhook_secrets.c
    of_endpoint = (table.workspace_id == workspace_id, table.endpoint_id == endpoint_id)
    await session.execute(delete(webhook_secrets).where(*of_endpoint, table.kind == "headers"))


async def expire_signing(session: Session, workspace_id: UUID, endpoint_id: UUID, *, overlap: timedelta) -> None:
    """From now on the current key counts for `overlap` only."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id}
    remove, expire = _REPLACE_SIGNING
    await session.execute(remove, values)
    await session.execute(expire, values | {"overlap": overlap})


async def touch(
    session: Session, workspace_id: UUID, endpoint_id: UUID, *, header_names: Sequence[str] | None = None
) -> bool:
    """Have what is under way read the endpoint anew; False where there is none. The row is locked."""
    values = {
        "workspace_id": workspace_id,
        "endpoint_id": endpoint_id,
        "header_names": None if header_names is None else list(header_names),
    }
    return (await session.execute(_TOUCH, values)).rowcount > 0


async def disable(session: Session, workspace_id: UUID, endpoint_id: UUID, reason: DisabledReason) -> bool:
    """False where there is none that is enabled."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id, "reason": reason}
    return (await session.execute(_DISABLE, values)).rowcount > 0


async def enable(session: Session, workspace_id: UUID, endpoint_id: UUID) -> bool:
    """False where there is none that is disabled."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id}
    return (await session.execute(_ENABLE, values)).rowcount > 0


async def lift_pause(session: Session, workspace_id: UUID, endpoint_id: UUID) -> None:
    """Have it tried again now. The row is locked where it was left alone."""
    await session.execute(_LIFT_PAUSE, {"workspace_id": workspace_id, "endpoint_id": endpoint_id})


async def watch(session: Session, workspace_id: UUID, endpoint_id: UUID, watch: timedelta) -> Standing | None:
    """Say that its deliveries are looked after for so long; how it stands, None where it was deleted."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id, "watch": watch}
    return _standing((await session.execute(_WATCH, values)).one_or_none())


async def look(session: Session, workspace_id: UUID, endpoint_id: UUID) -> Standing | None:
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id}
    return _standing((await session.execute(_LOOK, values)).one_or_none())


async def leave(session: Session, workspace_id: UUID, endpoint_id: UUID) -> Standing | None:
    """Say that nobody looks after its deliveries any more."""
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id}
    return _standing((await session.execute(_LEAVE, values)).one_or_none())


async def note_health(
    session: Session,
    workspace_id: UUID,
    endpoint_id: UUID,
    health: Health,
    *,
    opens_after: int,
    pauses: tuple[timedelta, timedelta],
    lasting: timedelta,
) -> tuple[Standing, bool] | None:
    """Add to what is known of it, and leave it alone where it fails: for between the two of `pauses`. How it stands
    then, and whether it has failed for longer than `lasting`; None where it was deleted. The row is locked."""
    values = {
        "workspace_id": workspace_id,
        "endpoint_id": endpoint_id,
        "recovered": health.recovered,
        "failures": health.failures,
        "retry_after": health.retry_after,
        "opens_after": opens_after,
        "shortest": pauses[0],
        "longest": pauses[1],
        "lasting": lasting,
    }
    row = (await session.execute(_NOTE_HEALTH, values)).one_or_none()
    standing = _standing(row)
    return None if standing is None or row is None else (standing, bool(row.is_lasting))


async def read(session: Session, workspace_id: UUID, endpoint_id: UUID) -> Endpoint | None:
    values = {"workspace_id": workspace_id, "endpoint_id": endpoint_id}
    url = (await session.execute(_READ, values)).scalar_one_or_none()
    if url is None:
        return None
    signing: list[Sealed] = []
    headers: Sealed | None = None
    for kind, *sealed in await session.execute(_SECRETS, values):
        if kind == "signing":
            signing.append(Sealed(*sealed))
        else:
            headers = Sealed(*sealed)
    return Endpoint(url, signing, headers)


@dataclass(frozen=True, slots=True)
class DisabledEndpoint:
    """One that Holdfast disabled, and of which the owners do not know."""

    url: str
    description: str
    reason: DisabledReason


async def to_tell(session: Session, workspace_id: UUID, endpoint_id: UUID) -> DisabledEndpoint | None:
    row = (await session.execute(_TO_TELL, {"workspace_id": workspace_id, "endpoint_id": endpoint_id})).one_or_none()
    return None if row is None else DisabledEndpoint(*row)


async def owners(session: Session) -> list[str]:
    """The addresses of the owners of the session's workspace."""
    return list((await session.execute(_OWNERS)).scalars())


async def owners_told(session: Session, workspace_id: UUID, endpoint_id: UUID) -> None:
    await session.execute(_OWNERS_TOLD, {"workspace_id": workspace_id, "endpoint_id": endpoint_id})


def _standing(row: Row[Any] | None) -> Standing | None:
    if row is None:
        return None
    return Standing(row.enabled, row.updated_at, row.failures, row.paused_seconds, row.owners_to_tell)
