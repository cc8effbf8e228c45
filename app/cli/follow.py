"""Staying with a job to its end, and taking home what it found."""

import asyncio
import tempfile
from pathlib import Path

from rich.console import Console

from app.cli.connection import Connection, Target
from app.cli.display import display, outcome
from app.cli.errors import CommandFailed
from app.cli.job import Job

_FORMATS = {".csv": "csv", ".jsonl": "jsonl"}


async def follow(connection: Connection, job_id: str, target: Target, console: Console) -> Job:
    """Show the job until it has completed.

    Interrupted, it leaves the job as it is and says how to come back. Raises CommandFailed where the job ended
    otherwise.
    """
    try:
        with display(console, await connection.api.prices()) as screen:
            async for job in connection.api.watch(job_id):
                screen.show(job)
    except asyncio.CancelledError:
        console.print(left_running(connection, job_id, target))
        raise
    if job.status != "completed":
        because = f": {job.error}" if job.error else ""
        raise CommandFailed(
            f"Job {job_id} {job.status}{because}. What it found: holdfast jobs export {job_id}{target.options()}"
        )
    console.print(outcome(job))
    return job


def left_running(connection: Connection, job_id: str, target: Target) -> str:
    """What becomes of a job that nobody watches any more, and how to come back to it."""
    goes_on = "goes on with the next `holdfast up`" if connection.is_own else "goes on"
    return f"Job {job_id} {goes_on}. Attach again: holdfast jobs watch {job_id}{target.options()}"


def format_of(path: Path) -> str:
    """The format that the name asks for. Raises CommandFailed for another extension than .csv and .jsonl."""
    if path.suffix.lower() not in _FORMATS:
        raise CommandFailed(f"{path}: the result is written as .csv or .jsonl.")
    return _FORMATS[path.suffix.lower()]


def check_writable(path: Path) -> None:
    """Raises CommandFailed where no file can be put at `path`: better before the work than after it."""
    if path.is_dir():
        raise CommandFailed(f"{path} is a directory; name a file.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise CommandFailed(f"Cannot write {path}: {error.strerror}.") from None


async def save(connection: Connection, job_id: str, path: Path) -> None:
    """Write the result to `path`, whole or not at all. Raises CommandFailed."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            async for block in connection.api.export(job_id, format_of(path)):
                file.write(block)
        part.replace(path)
    except OSError as error:
        raise CommandFailed(f"Cannot write {path}: {error.strerror}.") from None
    finally:
        part.unlink(missing_ok=True)
