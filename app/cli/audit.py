"""``holdfast audit``: does everything add up in the workspace of the embedded stack?"""

from app.cli.connection import DATA_DIR, DataDirOption, Target, connect
from app.cli.console import new_console
from app.cli.errors import CommandFailed
from app.cli.program import run_program
from app.cli.run import run
from app.local.state import LocalState


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
    sandbox = ["--sandbox", stack.sandbox_url] if against_sandbox and stack.sandbox_url is not None else []
    # In this process its imports would also stay in the supervisor of `up`.
    if await run_program("app.cli.auditor", stack.workspace_id, *sandbox, HOLDFAST_DATABASE_URL=stack.database_url):
        raise CommandFailed("The audit failed.")
