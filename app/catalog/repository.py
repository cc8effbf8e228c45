"""The SQL of the provider catalogue: how each provider has been doing, as the workers see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, null, select

from app.db import Session
from app.providers.models import provider_health


@dataclass(frozen=True, slots=True)
class Health:
    """`circuit` is closed, open or half_open; the figures are of the last calls, None before the first. `disabled`: an
    operator has switched it off."""

    circuit: str
    opens_until: datetime | None
    success_rate: float | None
    p95_seconds: float | None
    disabled: bool


async def health(session: Session) -> Mapping[str, Health]:
    """By provider; those that were never called are not there."""
    table = provider_health.c
    is_over = (table.circuit == "open") & (table.opens_until <= func.now())
    rows = await session.execute(
        select(
            table.provider,
            # As soon as the next call would be the probe, whether there is one or not.
            case((is_over, "half_open"), else_=table.circuit),
            case((is_over, null()), else_=table.opens_until),
            table.success_rate,
            table.p95_seconds,
            table.disabled,
        )
    )
    return {provider: Health(*row) for provider, *row in rows}
