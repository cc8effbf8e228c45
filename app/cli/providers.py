"""``holdfast providers``: how the providers are treated by all workers, and the operator's hand on that."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from app.cli.connection import DATA_DIR, DataDirOption
from app.cli.errors import CommandFailed
from app.cli.program import argv
from app.local.program import with_our_packages
from app.local.state import running

_URL = "HOLDFAST_DATABASE_URL"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The provider.", show_default=False)]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why: kept with the provider.", show_default=False)]


def list_providers(*, data_dir: DataDirOption = DATA_DIR) -> None:
    """Show every circuit, since when and until when it is what it is, why, and what was done by hand.

    Reads the database of HOLDFAST_DATABASE_URL, else of the stack that runs.
    """
    _run(data_dir)


def steering(hand: str) -> Callable[..., None]:
    """The command that does this to a provider."""

    def steer(name: NameArgument, *, reason: ReasonOption, data_dir: DataDirOption = DATA_DIR) -> None:
        _run(data_dir, hand, name, reason)

    return steer


def _run(data_dir: Path, *arguments: str) -> None:
    done = subprocess.run(  # noqa: S603  # our own program; its arguments go through no shell
        argv("app.cli.operator", "--", *arguments), env=_environment(data_dir), check=False
    )
    if done.returncode:
        raise CommandFailed("Nothing was changed." if arguments else "The providers could not be listed.")


def _environment(data_dir: Path) -> dict[str, str]:
    variables = with_our_packages(os.environ)
    if _URL in variables:
        return variables
    state = running(data_dir)
    if state is None:
        raise CommandFailed(f"Set {_URL}, or start the stack in {data_dir} with `holdfast up`.")
    return {**variables, _URL: state.database_url}
