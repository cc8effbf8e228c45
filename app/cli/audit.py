"""``holdfast audit``: does everything add up in the workspace of the embedded stack?"""

import asyncio
import os
import sys
from pathlib import Path

from app.cli.connection import DATA_DIR, DataDirOption, Target, connect
from app.cli.console import new_console
from app.cli.errors import CommandFailed
from app.cli.run import run
from app.local.state import LocalState

_ROOT = Path(__file__).parents[2]


def audit(*, data_dir: DataDirOption = DATA_DIR) -> None:
    """Count and check all jobs, results and credits in the database; exit code 1 where something does not add up."""
    run(_audit(Target(data_dir)))


async def _audit(target: Target) -> None:
    async with connect(target, new_console(stderr=True)) as connection:
        if connection.stack is None:
            raise CommandFailed("The audit reads the database of the embedded stack.")
        await audit_stack(connection.stack)


async def audit_stack(stack: LocalState, *, against_sandbox: bool = False) -> None:
    """Print the audit of the stack's workspace, read as the API's database role.

    `against_sandbox` compares also with what the emulated providers have billed since they were started. Raises
    CommandFailed where something does not add up.
    """
    # A process of its own: what it imports would slow every command down, and stay in the supervisor of `up`.
    arguments = [sys.executable, "-P", "-m", "app.cli.auditor", stack.workspace_id]
    if against_sandbox and stack.sandbox_url is not None:
        arguments += ["--sandbox", stack.sandbox_url]
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "HOLDFAST_DATABASE_URL": stack.database_url}
    process = await asyncio.create_subprocess_exec(*arguments, env=environment)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if code:
        raise CommandFailed("The audit failed.")
