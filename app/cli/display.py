"""A job on the screen: a bar and a table that stay in place on a terminal, plain lines everywhere else."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.cli.job import Job, ProviderProgress

# Of the work, between two plain lines.
_STEP = 0.1
_CIRCUITS = {"closed": "green", "half_open": "yellow", "open": "red"}


class Display(Protocol):
    """Something that shows how a job stands."""

    def show(self, job: Job) -> None:
        """Show it as it is now."""


@contextmanager
def display(console: Console, prices: Mapping[str, int]) -> Iterator[Display]:
    """What suits the console. `prices` are credits for a found result by provider; whatever else is printed on the
    console meanwhile appears above."""
    if not console.is_terminal:
        yield PlainDisplay(console)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield LiveDisplay(live, prices)


class LiveDisplay:
    """A bar, a line and a table, drawn anew in place."""

    def __init__(self, live: Live, prices: Mapping[str, int]) -> None:
        self._live = live
        self._prices = prices

    def show(self, job: Job) -> None:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=1, completed=job.done, width=30),
            f"{job.done:4.0%}",
            f"{job.ended:,}/{job.total:,} records have an end",
        )
        self._live.update(Group(bar, Text(status_line(job), style=_style(job)), self._providers(job)))

    def _providers(self, job: Job) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("provider")
        for column in ("calls", "found", "errors", "circuit", "credits"):
            table.add_column(column, justify="left" if column == "circuit" else "right", min_width=7)
        for each in job.providers:
            table.add_row(
                each.name,
                f"{each.calls:,}",
                f"{each.found:,}",
                f"{each.errors:,}",
                Text(circuit(each), style=_CIRCUITS.get(each.circuit, "")),
                f"{each.found * self._prices.get(each.name, 0):,}",
            )
        return table


class PlainDisplay:
    """A line when something changed that matters, and for every tenth of the work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: tuple[object, ...] = ()

    def show(self, job: Job) -> None:
        state = (job.status, job.waiting_for, int(job.done / _STEP), [each.circuit for each in job.providers])
        if state == self._said:
            return
        self._said = state
        calls = [f"{each.name} {each.calls} calls {each.found} found" for each in job.providers if each.calls]
        self._console.print(f"{job.done:4.0%}  {'; '.join(filter(None, [status_line(job), ', '.join(calls)]))}")


def status_line(job: Job) -> str:
    """What the job does now, and until when it waits."""
    if job.status == "waiting":
        who = ", ".join(each.name for each in job.providers if each.waiting_until)
        until = f" until {clock(job.waiting_until)}" if job.waiting_until else ""
        return f"waiting for {who or 'a provider'} ({job.waiting_for}){until}"
    kept = [
        f"{each.name} is asked again at {clock(each.waiting_until)}" for each in job.providers if each.waiting_until
    ]
    return "; ".join([job.status, *kept])


def circuit(provider: ProviderProgress) -> str:
    """The state of the circuit, and when an open one lets a call try."""
    until = f" until {clock(provider.waiting_until)}" if provider.waiting_until else ""
    return provider.circuit.replace("_", "-") + until


def clock(moment: datetime) -> str:
    """The time of day here."""
    return f"{moment.astimezone():%H:%M:%S}"


def outcome(job: Job) -> str:
    """How a job that has ended came out, in one line."""
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in job.counts.items() if count)
    seconds = ((job.finished_at or job.created_at) - job.created_at).total_seconds()
    return f"{job.total:,} records in {seconds:.1f} s: {counts or 'none'}; {job.charged:,} credits."


def _style(job: Job) -> str:
    return "bold yellow" if job.status in ("waiting", "paused") else "bold"
