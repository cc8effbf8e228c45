"""``holdfast up``: the embedded stack in the foreground."""

import asyncio
import contextlib
import json
import shlex
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from app.local import environment
from app.local.errors import StackError
from app.local.parts import HOLDFAST, Parts
from app.local.stack import RunningStack, StackOptions
from app.local.stack import up as bring_up
from app.local.state import LocalState

_EXAMPLE = {"entity": "company", "records": [{"domain": "example.com"}, {"domain": "python.org"}]}


def up(
    *,
    data_dir: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path(".holdfast"),
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The API's port. [default: 8000, or another when that is taken]"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many worker processes.")] = 1,
    no_sandbox: Annotated[bool, typer.Option("--no-sandbox", help="Call the real providers.")] = False,
) -> None:
    """Run Holdfast on this machine: PostgreSQL, Temporal, the provider sandbox, the API and workers.

    Ctrl-C stops all of it; the next `holdfast up` on the same directory goes on where it was.
    """
    try:
        asyncio.run(serve(StackOptions(data_dir, port, workers, sandbox=not no_sandbox)))
    except StackError as error:
        typer.echo(f"holdfast up: {error}", err=True)
        raise typer.Exit(1) from None


async def serve(options: StackOptions, *, parts: Parts = HOLDFAST) -> None:
    """Bring the stack up and keep it until SIGINT, SIGTERM or SIGHUP. Raises StackError when it does not come up."""
    asked = asyncio.Event()
    # A handler that only sets a flag: a second Ctrl-C cannot interrupt the shutdown.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    began = time.monotonic()
    starting = asyncio.create_task(bring_up(options, say=_say, parts=parts))
    stopping = asyncio.create_task(asked.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        _say("Stopping …")
        starting.cancel()
        await asyncio.wait({starting})
        return
    stopping.cancel()
    await _until(asked, starting.result(), options, time.monotonic() - began)


async def _until(asked: asyncio.Event, stack: RunningStack, options: StackOptions, seconds: float) -> None:
    try:
        _introduce(stack.state, options.data_dir, seconds)
        await asked.wait()
        _say("Stopping …")
    finally:
        await stack.stop()
    _say("Stopped. Nothing is lost: `holdfast up` goes on from here.")


def _introduce(state: LocalState, data_dir: Path, seconds: float) -> None:
    _say(f"Holdfast is ready after {seconds:.1f} s. Ctrl-C stops it.")
    _say(f"  API          {state.api_url}/api/v1")
    _say(f"  Temporal UI  {state.temporal_ui_url}")
    if state.sandbox_url:
        _say(f"  Sandbox      {state.sandbox_url} (every provider is emulated there)")
    if environment.writes_mail():
        _say(f"  Mail         {data_dir / 'mail'}: one file for each mail that the API would have sent")
    _say(f"  Data, logs   {data_dir}, {data_dir / 'logs'}; keys and addresses in {data_dir / 'local.json'}")
    _say("Try:")
    _say(f"  {_curl(state)}")


def _curl(state: LocalState) -> str:
    """One line that starts a job, fit for a shell."""
    return shlex.join(
        [
            *("curl", "-sS", f"{state.api_url}/api/v1/workspaces/{state.workspace_id}/enrichment/jobs"),
            *("-H", f"Authorization: Bearer {state.api_key}", "-H", "Content-Type: application/json"),
            *("-d", json.dumps(_EXAMPLE)),
        ]
    )


def _say(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more; the stack goes on
        typer.echo(line)
