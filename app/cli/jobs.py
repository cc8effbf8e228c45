"""``holdfast jobs …``: see jobs, steer them, take their results."""

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.client import Verb
from app.cli.connection import (
    DATA_DIR,
    ApiKeyOption,
    ApiUrlOption,
    DataDirOption,
    Target,
    WorkspaceOption,
    connect,
)
from app.cli.console import new_console
from app.cli.display import status_line
from app.cli.follow import check_writable, follow, format_of, left_running, save
from app.cli.run import run

JobArgument = Annotated[str, typer.Argument(metavar="ID", help="The job.", show_default=False)]


class Format(StrEnum):
    """How a result is written."""

    CSV = "csv"
    JSONL = "jsonl"


def list_jobs(
    *,
    status: Annotated[str | None, typer.Option(help="Only jobs with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at the most.")] = 20,
    data_dir: DataDirOption = DATA_DIR,
    api_url: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """List jobs, the newest first."""
    run(_list(Target(data_dir, api_url, api_key, workspace), status, limit))


def watch(
    job_id: JobArgument,
    *,
    data_dir: DataDirOption = DATA_DIR,
    api_url: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Stay with a job to its end. Ctrl-C leaves it as it is."""
    run(_watch(Target(data_dir, api_url, api_key, workspace), job_id))


def steering(verb: Verb) -> Callable[..., None]:
    """The command of that verb."""

    def steer(
        job_id: JobArgument,
        *,
        data_dir: DataDirOption = DATA_DIR,
        api_url: ApiUrlOption = None,
        api_key: ApiKeyOption = None,
        workspace: WorkspaceOption = None,
    ) -> None:
        run(_steer(Target(data_dir, api_url, api_key, workspace), job_id, verb))

    return steer


def export(
    job_id: JobArgument,
    *,
    out: Annotated[Path | None, typer.Option(help="A file, .csv or .jsonl. [default: standard output]")] = None,
    format_: Annotated[Format, typer.Option("--format", help="Of standard output.")] = Format.CSV,
    data_dir: DataDirOption = DATA_DIR,
    api_url: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write what is known of a job's records, also while it runs."""
    run(_export(Target(data_dir, api_url, api_key, workspace), job_id, out, format_))


# What is said of a stack that is started goes to standard error: programs read the other.
async def _list(target: Target, status: str | None, limit: int) -> None:
    async with connect(target, new_console(stderr=True)) as connection:
        for job in await connection.api.jobs(limit=limit, status=status):
            created = f"{job.created_at.astimezone():%Y-%m-%d %H:%M}"
            records = f"{job.ended:,}/{job.total:,} records"
            typer.echo(f"{job.id}  {created}  {status_line(job):<10}  {records:>20}  {job.charged:,} credits")


async def _watch(target: Target, job_id: str) -> None:
    console = new_console()
    async with connect(target, console) as connection:
        await follow(connection, job_id, target, console)


async def _steer(target: Target, job_id: str, verb: Verb) -> None:
    async with connect(target, new_console(stderr=True)) as connection:
        job = await connection.api.steer(job_id, verb)
        if verb == "retry":
            typer.echo(f"Job {job.id} tries {job.total:,} records again.")
            typer.echo(left_running(connection, job.id, target))
        else:
            typer.echo(f"Job {job.id} is asked to {verb}; it is {status_line(job)} now.")


async def _export(target: Target, job_id: str, out: Path | None, format_: Format) -> None:
    if out is not None:
        format_of(out)
        check_writable(out)
    async with connect(target, new_console(stderr=True)) as connection:
        if out is not None:
            await save(connection, job_id, out)
            return
        async for block in connection.api.export(job_id, format_):
            sys.stdout.buffer.write(block)
        sys.stdout.flush()
