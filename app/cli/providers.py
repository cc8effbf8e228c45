"""``holdfast providers``: how the providers are treated by all workers, and the operator's hand on that."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from app.cli.connection import DATA_DIR, DataDirOption, running_or_set
from app.cli.errors import CommandFailed
from app.cli.program import run_program
from app.cli.run import run

_URL = "HOLDFAST_DATABASE_URL"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The provider.", show_default=False)]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why: kept with the provider.", show_default=False)]


def list_providers(*, data_dir: DataDirOption = DATA_DIR) -> None:
    """Show every circuit, since when and until when it is what it is, why, and what was done by hand.

    Reads the database of HOLDFAST_DATABASE_URL, else of the stack that runs.
    """
    run(_run(data_dir))


def steering(hand: str) -> Callable[..., None]:
    """The command that does this to a provider."""

    def steer(name: NameArgument, *, reason: ReasonOption, data_dir: DataDirOption = DATA_DIR) -> None:
        run(_run(data_dir, hand, name, reason))

    return steer


async def _run(data_dir: Path, *arguments: str) -> None:
    url = os.environ.get(_URL) or running_or_set(data_dir, _URL).database_url
    if await run_program("app.cli.operator", "--", *arguments, HOLDFAST_DATABASE_URL=url):
        raise CommandFailed("Nothing was changed." if arguments else "The providers could not be listed.")
