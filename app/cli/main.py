"""The command line: ``holdfast …``."""

import sys

import typer

from app.cli import admin, deadletters, jobs, providers, webhooks
from app.cli.audit import audit
from app.cli.credentials import rotate
from app.cli.demo import demo
from app.cli.enrich import enrich
from app.cli.errors import CommandFailed, Interrupted
from app.local.command import up
from app.local.errors import StackError


def build() -> typer.Typer:
    """All commands."""
    holdfast = _group("Durable workflows over providers that fail.")
    for command in (up, enrich, audit, demo):
        holdfast.command()(command)
    steps = _group("See jobs, steer them, take their results.")
    steps.command("list")(jobs.list_jobs)
    steps.command()(jobs.watch)
    steps.command("pause", help="Have a job begin no new call until it is resumed.")(jobs.steering("pause"))
    steps.command("resume", help="Let a paused job go on.")(jobs.steering("resume"))
    steps.command("cancel", help="End a job; what it found is kept.")(jobs.steering("cancel"))
    steps.command("retry", help="Start a new job of what failed or was skipped in one that has ended.")(
        jobs.steering("retry")
    )
    steps.command()(jobs.export)
    holdfast.add_typer(steps, name="jobs")
    credentials = _group("Look after the encryption of provider credentials.")
    credentials.command()(rotate)
    # One command does not make a group of itself.
    credentials.callback()(lambda: None)
    holdfast.add_typer(credentials, name="credentials")
    steered = _group("See the circuits of the providers, and overrule them.")
    steered.command("list")(providers.list_providers)
    steered.command("open", help="Ask nothing of a provider until `close`; work waits for it.")(
        providers.steering("open")
    )
    steered.command("close", help="Ask a provider again, slowly at first.")(providers.steering("close"))
    steered.command("disable", help="Switch a provider off until `enable`; jobs go on without it.")(
        providers.steering("disable")
    )
    steered.command("enable", help="Switch a provider on again.")(providers.steering("enable"))
    holdfast.add_typer(steered, name="providers")
    told = _group("See where events are sent, and try a receiver of them on this machine.")
    told.command("list")(webhooks.list_webhooks)
    told.command()(webhooks.listen)
    holdfast.add_typer(told, name="webhooks")
    letters = _group("See what could not be done, have it tried again, or leave it.")
    letters.command("list")(deadletters.list_letters)
    letters.command()(deadletters.redrive)
    letters.command()(deadletters.discard)
    holdfast.add_typer(letters, name="deadletters")
    staff = _group("Manage the platform's staff.")
    staff.callback()(admin.staff)
    staff.command()(admin.create)
    holdfast.add_typer(staff, name="admin")
    return holdfast


def main() -> None:
    try:
        build()()
    except (CommandFailed, StackError) as error:
        typer.echo(f"holdfast: {error}", err=True)
        sys.exit(1)
    except Interrupted as error:
        sys.exit(error.exit_code)


def _group(what: str) -> typer.Typer:
    return typer.Typer(
        help=what,
        no_args_is_help=True,
        add_completion=False,
        # Their tables and tracebacks are for a terminal; what a program reads is plain.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


if __name__ == "__main__":
    main()
