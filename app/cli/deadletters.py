"""``holdfast deadletters …``: see what could not be done, have it tried again, or leave it."""

from typing import Annotated, Any

import typer

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
from app.cli.errors import CommandFailed
from app.cli.run import run

ProcessOption = Annotated[str | None, typer.Option(help="Only of this process: enrichment, webhook, …")]
ReasonOption = Annotated[str | None, typer.Option(help="Only with this code: provider_unavailable, …")]
ReferenceOption = Annotated[str | None, typer.Option(help="Only about this: a job, or one of its records, as listed.")]


def list_letters(
    *,
    process: ProcessOption = None,
    reason: ReasonOption = None,
    reference: ReferenceOption = None,
    state: Annotated[str, typer.Option(help="open, redriven, resolved or discarded.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at the most.")] = 20,
    data_dir: DataDirOption = DATA_DIR,
    api_url: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """List dead letters, the newest first."""
    wanted = _given(process=process, reason=reason, reference=reference) | {"state": state, "limit": str(limit)}
    run(_list(Target(data_dir, api_url, api_key, workspace), wanted))


def redrive(
    letter_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]…", help="The letters.", show_default=False)
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="All that are open, or that the options below leave.")] = False,
    process: ProcessOption = None,
    reason: ReasonOption = None,
    reference: ReferenceOption = None,
    data_dir: DataDirOption = DATA_DIR,
    api_url: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Have letters be tried again: these, or those that are open and fit the options."""
    wanted = _given(process=process, reason=reason, reference=reference)
    if bool(letter_ids) == (all_ or bool(wanted)):
        raise CommandFailed("Name letters, or say which by --all, --process, --reason or --reference.")
    body: dict[str, Any] = {"ids": letter_ids} if letter_ids else {"filter": wanted}
    run(_redrive(Target(data_dir, api_url, api_key, workspace), body))


def discard(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="The letter.", show_default=False)],
    *,
    reason: Annotated[str, typer.Option(help="Why it stays undone. It is kept: name nobody.")],
    data_dir: DataDirOption = DATA_DIR,
    api_url: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Leave undone what could not be done, for good."""
    run(_discard(Target(data_dir, api_url, api_key, workspace), letter_id, reason))


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


# What is said of a stack that is started goes to standard error: programs read the other.
async def _list(target: Target, wanted: dict[str, str]) -> None:
    async with connect(target, new_console(stderr=True)) as connection:
        for each in await connection.api.dead_letters(wanted):
            what = f"{each['process']}  {each['reference']['id']}"
            typer.echo(f"{each['id']}  {each['state']:<9}  {what}  {each['reason']}  {each['attempts']} attempts")


async def _redrive(target: Target, body: dict[str, Any]) -> None:
    async with connect(target, new_console(stderr=True)) as connection:
        redrive = await connection.api.redrive(body)
        typer.echo(f"Redrive {redrive['id']} tries {redrive['counts']['total']:,} dead letters again.")


async def _discard(target: Target, letter_id: str, reason: str) -> None:
    async with connect(target, new_console(stderr=True)) as connection:
        letter = await connection.api.discard(letter_id, reason)
        typer.echo(f"Dead letter {letter['id']} is {letter['state']}.")
