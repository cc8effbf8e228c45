"""``holdfast enrich``: a CSV file in, the same file with what providers know out."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from app.cli.connection import (
    DATA_DIR,
    ApiKeyOption,
    ApiUrlOption,
    Connection,
    DataDirOption,
    Target,
    WorkspaceOption,
    connect,
)
from app.cli.console import new_console
from app.cli.errors import CommandFailed
from app.cli.follow import check_writable, follow, format_of, save
from app.cli.job import Job
from app.cli.run import run


def enrich(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with a header row.", show_default=False)],
    *,
    entity: Annotated[str, typer.Option(help="What the rows are: company or person.")] = "company",
    fields: Annotated[str | None, typer.Option(help="Fields to fill, as a,b. [default: all]")] = None,
    providers: Annotated[
        str | None, typer.Option(help="Whom to ask, in order, as x,y. [default: cheapest first]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The result, .csv or .jsonl. [default: FILE.enriched.csv]")] = None,
    data_dir: DataDirOption = DATA_DIR,
    api_url: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Enrich the rows of a CSV file.

    The embedded stack of the data directory is used where it runs, else started for as long as the command takes.
    Ctrl-C leaves the job as it is: it goes on in a stack that runs, else with the next `holdfast up`.
    """
    result = out or file.parent / f"{file.stem}.enriched.csv"
    options = {"entity": entity, **_listed("fields", fields), **_listed("providers", providers)}
    run(_enrich(file, result, options, Target(data_dir, api_url, api_key, workspace), new_console()))


async def _enrich(file: Path, result: Path, options: Mapping[str, Any], target: Target, console: Console) -> None:
    _check_paths(file, result)
    async with connect(target, console, new=True) as connection:
        job = await _start(connection, file, options, target, console)
        console.print(f"Job {job.id} of {job.total:,} records.")
        if connection.stack is not None and connection.stack.sandbox_url is not None:
            console.print("The sandbox answers for the providers: the values are invented.")
        await follow(connection, job.id, target, console)
        await save(connection, job.id, result)
        console.print(f"Written to {result}")


async def _start(
    connection: Connection, file: Path, options: Mapping[str, Any], target: Target, console: Console
) -> Job:
    console.print(f"Uploading {file} …")
    try:
        return await connection.api.start_job(file, options)
    except asyncio.CancelledError:
        listing = f"holdfast jobs list{target.options()}"
        console.print(f"Interrupted in the upload; whether a job began: {listing}")
        raise


def _check_paths(file: Path, result: Path) -> None:
    """Raises CommandFailed for what would fail only after the work."""
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise CommandFailed(f"Cannot read {file}: {error.strerror}.") from None
    format_of(result)
    check_writable(result)
    if result.exists() and result.samefile(file):
        raise CommandFailed(f"{result} is the input; name another file with --out.")


def _listed(name: str, text: str | None) -> dict[str, list[str]]:
    return {} if text is None else {name: [each.strip() for each in text.split(",") if each.strip()]}
