"""The SQL of the provider catalogue: how each provider has been doing, as the workers see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from app.db import Session
from app.providers.models import provider_health


@dataclass(frozen=True, slots=True)
class Health:
    """`circuit` is closed, open or half_open; the figures are of the last calls, None before the first."""

    circuit: str
    opens_until: datetime | None
    success_rate: float | None
    p95_seconds: float | None


async def health(session: Session) -> Mapping[str, Health]:
    """By provider; those that were never called are not there."""
    table = provider_health.c
    rows = await session.execute(
        select(table.provider, table.circuit, table.opens_until, table.success_rate, table.p95_seconds)
    )
    return {row.provider: Health(row.circuit, row.opens_until, row.success_rate, row.p95_seconds) for row in rows}
