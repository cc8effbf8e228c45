"""``holdfast webhooks …``: see where events are sent, and try a receiver of them on this machine."""

from typing import Annotated

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
from app.cli.forwarding import check_address, forwarding
from app.cli.run import run
from app.webhooks.signing import new_secret

ForwardToOption = Annotated[
    str, typer.Option("--forward-to", metavar="URL", help="Where events are sent to.", show_default=False)
]


def list_webhooks(
    *,
    data_dir: DataDirOption = DATA_DIR,
    api_url: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """List webhooks, the newest first."""
    run(_list(Target(data_dir, api_url, api_key, workspace)))


def listen(
    *,
    forward_to: ForwardToOption,
    data_dir: DataDirOption = DATA_DIR,
    api_url: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Send events to an address of this machine, until Ctrl-C.

    All that the workspace is told from now on, as a webhook would get it, signed with a secret that is made for this
    run and printed first. Each event is sent once, whatever is answered.
    """
    check_address(forward_to)
    run(_listen(Target(data_dir, api_url, api_key, workspace), forward_to))


async def _list(target: Target) -> None:
    async with connect(target, new_console(stderr=True)) as connection:
        for webhook in await connection.api.webhooks():
            state = "enabled" if webhook["enabled"] else f"disabled: {webhook['disabled_reason']}"
            typer.echo(f"{webhook['id']}  {state:<18}  {webhook['url']}  {', '.join(webhook['event_types'])}")


async def _listen(target: Target, forward_to: str) -> None:
    secret = new_secret()
    async with connect(target, new_console(stderr=True)) as connection, forwarding(forward_to, secret) as forward:
        began = await connection.api.now()
        typer.echo(f"Events go to {forward_to}, signed with the secret {secret}. Ctrl-C ends it.")
        async for event in connection.api.events(began):
            typer.echo(f"{event['timestamp']}  {event['type']:<30}  {event['id']}  {await forward(event)}")
