"""``holdfast admin``: the platform's staff, made by whoever has the owner's database URL."""

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from app.cli.connection import DATA_DIR, DataDirOption, running_or_set
from app.cli.errors import CommandFailed
from app.cli.program import argv
from app.local import postgres
from app.local.program import with_our_packages
from app.local.state import DataDirectory

_OWNER = "HOLDFAST_OWNER_DATABASE_URL"
_APP = "HOLDFAST_DATABASE_URL"


def staff() -> None:
    """Manage the platform's staff."""


def create(
    email: Annotated[str, typer.Argument(help="Of the person.")],
    *,
    name: Annotated[str | None, typer.Option(help="Of a new account. [default: the address]")] = None,
    password: Annotated[
        bool, typer.Option("--password", help="Ask for a password, instead of printing a magic link.")
    ] = False,
    data_dir: DataDirOption = DATA_DIR,
) -> None:
    """Make somebody a superadmin, in the database of HOLDFAST_OWNER_DATABASE_URL, else of the stack that runs."""
    given = ""
    if password:
        given = typer.prompt("Password (12 to 128 characters)", hide_input=True, confirmation_prompt=True)
    done = subprocess.run(  # noqa: S603  # our own program; its arguments go through no shell
        argv("app.cli.superadmin", "--", email, name or email),
        env=_environment(data_dir),
        # Not as an argument, which everybody on the machine can read.
        input=given,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandFailed("No superadmin was made.")


def _environment(data_dir: Path) -> dict[str, str]:
    """Of a process that may change what the owner of the tables may. Raises CommandFailed."""
    variables = with_our_packages(os.environ)
    if _OWNER in variables:
        return {_APP: variables[_OWNER], **variables}
    state = running_or_set(data_dir, _OWNER)
    memory = DataDirectory(data_dir.absolute()).recall()
    owner = postgres.url(postgres.OWNER, memory.passwords[postgres.OWNER], memory.ports["postgres"], postgres.DATABASE)
    return {"HOLDFAST_PUBLIC_URL": state.api_url, **variables, _APP: owner, _OWNER: owner}
