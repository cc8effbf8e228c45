"""The operator's hand on providers, as the API's database role: a process of its own, for ``holdfast providers``.

python -m app.cli.operator -- [HAND NAME REASON]
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import get_args

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from app.admin.schemas import SteeringIn
from app.admin.service import list_circuits, steer_provider
from app.cli.console import new_console
from app.db import Sessions, create_engine
from app.errors import AppError
from app.logging import configure_logging
from app.providers.circuit_rows import CircuitRow, Hand
from app.providers.registry import CIRCUITS
from app.settings import Settings, SettingsError, load_settings


async def _do(settings: Settings, arguments: Sequence[str]) -> list[CircuitRow]:
    engine = create_engine(settings.database_url, settings.database, application="providers")
    try:
        if not arguments:
            return await list_circuits(Sessions(engine), CIRCUITS)
        hand, name, reason = arguments
        said = SteeringIn(reason=reason).reason
        return [await steer_provider(Sessions(engine), None, CIRCUITS, name, _HANDS[hand], said)]
    finally:
        await engine.dispose()


_HANDS: Mapping[str, Hand] = {hand: hand for hand in get_args(Hand)}


def _show(console: Console, rows: Sequence[CircuitRow]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("provider", "circuit", "since", "until", "probes", "cause", "by hand"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            row.provider,
            row.state,
            _time(row.changed_at),
            _time(row.opens_until),
            str(row.probes) if row.state != "closed" else "",
            _cause(row),
            _hand(row),
        )
    console.print(table)


def _cause(row: CircuitRow) -> str:
    errors, sample = row.cause.get("errors"), row.cause.get("sample")
    counted = ", ".join(f"{count} {code}" for code, count in errors.items()) if isinstance(errors, dict) else ""
    return f"{counted}: {sample}" if sample else counted


def _hand(row: CircuitRow) -> str:
    done = [word for word, holds in (("held open", row.is_held), ("disabled", row.is_disabled)) if holds]
    return f"{' and '.join(done)}: {row.hand_reason}" if done else ""


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%SZ}"


def main() -> None:
    _, *arguments = sys.argv[1:]
    try:
        settings = load_settings()
        # What people read is below.
        configure_logging("ERROR")
        rows = asyncio.run(_do(settings, arguments))
    except ValidationError as error:
        sys.exit("; ".join(f"{each['loc'][0]}: {each['msg'].removeprefix('Value error, ')}" for each in error.errors()))
    except (SettingsError, AppError) as error:
        sys.exit(str(error))
    _show(new_console(), rows)


if __name__ == "__main__":
    main()
