"""Whom a command talks to: the API that it was told, the stack that runs, or one that it starts for its own time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.client import Api, open_api
from app.cli.errors import CommandFailed
from app.local.stack import StackOptions, up
from app.local.state import DataDirectory, LocalState, running

DATA_DIR = Path(".holdfast")

DataDirOption = Annotated[Path, typer.Option("--data-dir", help="Of the embedded stack.")]
ApiUrlOption = Annotated[
    str | None, typer.Option("--api-url", help="Of another installation, instead of the embedded stack.")
]
ApiKeyOption = Annotated[
    str | None, typer.Option("--api-key", envvar="HOLDFAST_API_KEY", help="A key of that installation.")
]
WorkspaceOption = Annotated[str | None, typer.Option("--workspace", help="The workspace of that key.")]


@dataclass(frozen=True, slots=True)
class Target:
    """The API that the user asks for: the one at `api_url`, else that of the stack in `data_dir`."""

    data_dir: Path = DATA_DIR
    api_url: str | None = None
    api_key: str | None = None
    workspace_id: str | None = None

    def options(self) -> str:
        """The options that name it on a command line, but for the key; each behind a space."""
        if self.api_url is not None:
            return f" --api-url {self.api_url} --workspace {self.workspace_id}"
        return f" --data-dir {self.data_dir}" if self.data_dir != DATA_DIR else ""


@dataclass(frozen=True, slots=True)
class Connection:
    """An API that answers. `stack` is the embedded one, None for another installation; `is_own` where it ends with
    the command."""

    api: Api
    stack: LocalState | None
    is_own: bool


@asynccontextmanager
async def connect(target: Target, console: Console, *, new: bool = False) -> AsyncIterator[Connection]:
    """Reach the API of `target`; what happens to a stack that is started is said on `console`.

    `new` starts a stack also where none was before. Raises CommandFailed, StackError.
    """
    if target.api_url is not None:
        if target.api_key is None or target.workspace_id is None:
            raise CommandFailed("--api-url needs --api-key (or HOLDFAST_API_KEY) and --workspace too.")
        async with open_api(target.api_url, target.api_key, target.workspace_id) as api:
            yield Connection(api, None, is_own=False)
        return
    state, is_known = _look_into(target.data_dir)
    if state is not None:
        async with _api_of(state) as api:
            yield Connection(api, state, is_own=False)
        return
    if not new and not is_known:
        raise CommandFailed(f"There is no stack in {target.data_dir}: `holdfast up` starts one.")
    async with own_stack(StackOptions(target.data_dir), console) as connection:
        yield connection


@asynccontextmanager
async def own_stack(options: StackOptions, console: Console) -> AsyncIterator[Connection]:
    """A stack for the length of the block. Raises StackError."""
    console.print(f"Starting the embedded stack in {options.data_dir} …")
    stack = await up(options, say=console.print)
    try:
        addresses = f"API {stack.state.api_url}/api/v1, Temporal UI {stack.state.temporal_ui_url}"
        console.print(f"It is ready for as long as this takes: {addresses}")
        async with _api_of(stack.state) as api:
            yield Connection(api, stack.state, is_own=True)
    finally:
        console.print("Stopping the embedded stack …")
        await stack.stop()


@asynccontextmanager
async def _api_of(state: LocalState) -> AsyncIterator[Api]:
    if state.api_key is None:
        raise CommandFailed("The stack has no API key; start it anew with `holdfast up`.")
    async with open_api(state.api_url, state.api_key, state.workspace_id) as api:
        yield api


def _look_into(data_dir: Path) -> tuple[LocalState | None, bool]:
    """The stack that runs there, and whether one ever did. Raises CommandFailed, StackError."""
    try:
        return running(data_dir), DataDirectory(data_dir.absolute()).recall().workspace_id is not None
    except NotADirectoryError:
        return None, False
    except OSError as error:
        raise CommandFailed(f"Cannot look into {data_dir}: {error.strerror}.") from None


def running_or_set(data_dir: Path, variable: str) -> LocalState:
    """The stack that runs in `data_dir`, for a command that has no `variable` to say where else to go.

    Raises CommandFailed where none runs.
    """
    state = running(data_dir)
    if state is None:
        raise CommandFailed(f"Set {variable}, or start the stack in {data_dir} with `holdfast up`.")
    return state
