"""The audit as a program, ``python -m app.cli.auditor WORKSPACE [--sandbox URL]``: reads HOLDFAST_DATABASE_URL.

Prints what it counted and exits with 1 where something does not add up, or one line where it cannot tell.
"""

import argparse
import asyncio
import json
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from rich.table import Table

from app.cli.console import new_console
from app.db import Sessions, create_engine
from app.enrichment.audit import answered_subjects, audit
from app.enrichment.audit_repository import Audit
from app.errors import Unavailable
from app.settings import Settings, SettingsError, load_settings


@dataclass(frozen=True, slots=True)
class Billed:
    """What the emulated providers say. `subjects` were billed, `lost` of them without an answer here; `again` were
    bought once more after a crash that came before the answer was committed: our cost, not the workspace's."""

    subjects: int
    lost: int
    again: int


def bill(calls: Mapping[str, Mapping[str, int]], answered: Mapping[str, set[str]]) -> Billed:
    """Hold what was billed (provider → looked-up key → times) against the answers (provider → subject keys)."""
    subjects = lost = again = 0
    for provider, keys in calls.items():
        # A provider's key is the bare domain or address; ours says which.
        known = {subject.partition(":")[2] for subject in answered.get(provider, ())}
        subjects += len(keys)
        lost += len(keys.keys() - known)
        again += sum(times - 1 for times in keys.values())
    return Billed(subjects, lost, again)


def report(figures: Audit, billed: Billed | None) -> Table:
    """The figures, beside each what it must be equal to."""
    accounted = figures.records_out + figures.records_pending
    under_way = f" + under way {figures.records_pending:,}" if figures.records_pending else ""
    rows = [
        (
            "records in",
            f"{figures.records_in:,}",
            _equals(accounted, figures.records_in, f"records out {figures.records_out:,}{under_way}"),
        ),
        (
            "provider results",
            f"{figures.found:,}",
            _equals(figures.charges, figures.found, f"ledger charges {figures.charges:,}"),
        ),
        (
            "credits of results",
            f"{figures.found_credits:,}",
            _equals(figures.charged_credits, figures.found_credits, f"credits charged {figures.charged_credits:,}"),
        ),
        (
            "balance",
            f"{figures.balance:,}",
            _equals(figures.entries_balance, figures.balance, f"sum of entries {figures.entries_balance:,}"),
        ),
        (
            "held",
            f"{figures.held:,}",
            _equals(figures.entries_held, figures.held, f"sum of entries {figures.entries_held:,}"),
        ),
        (
            "left of grants",
            f"{figures.lots:,}",
            _equals(max(figures.balance, 0), figures.lots, "balance, where it is not below zero"),
        ),
        ("lost", f"{figures.lost:,}", ""),
        ("doubled", f"{figures.doubled:,}", ""),
        ("lost to outages", f"{figures.waited_seconds:.1f} s", "waiting for providers that were away"),
    ]
    if billed is not None:
        rows.append(("billed by the providers", f"{billed.subjects:,}", f"without an answer here {billed.lost:,}"))
        rows.append(("billed again", f"{billed.again:,}", "after the crash: our cost, charged to nobody"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for row in rows:
        table.add_row(*row)
    return table


def _equals(value: int, expected: int, said: str) -> str:
    return f"{'=' if value == expected else '≠'} {said}"


async def _read(settings: Settings, workspace_id: UUID) -> tuple[Audit, Mapping[str, set[str]]]:
    engine = create_engine(settings.database_url, settings.database, application="audit")
    try:
        sessions = Sessions(engine)
        return await audit(sessions, workspace_id), await answered_subjects(sessions, workspace_id)
    finally:
        await engine.dispose()


def _billed_keys(sandbox_url: str) -> dict[str, dict[str, int]]:
    with urllib.request.urlopen(f"{sandbox_url}/_calls", timeout=10) as answer:  # noqa: S310  the stack's own sandbox
        return {provider: calls["charged_by_key"] for provider, calls in json.load(answer).items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m app.cli.auditor", description="The audit of a workspace.")
    parser.add_argument("workspace", type=UUID)
    parser.add_argument("--sandbox", help="address of the emulated providers, to compare with what they billed")
    given = parser.parse_args()
    try:
        figures, answered = asyncio.run(_read(load_settings(), given.workspace))
        billed = bill(_billed_keys(given.sandbox), answered) if given.sandbox else None
    except (SettingsError, Unavailable, OSError) as error:
        sys.exit(f"The audit could not be made: {error}")
    console = new_console()
    console.print(report(figures, billed))
    problems = list(figures.violations)
    if billed is not None and billed.lost:
        problems.append(f"billed by a provider, and lost here ({billed.lost})")
    for problem in problems:
        console.print(f"VIOLATION: {problem}", style="bold red")
    console.print("The audit found violations." if problems else "All adds up.", style="bold")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
