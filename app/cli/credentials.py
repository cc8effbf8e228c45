"""``holdfast credentials rotate``: wrap every stored credential with the newest encryption key."""

from app.cli.errors import CommandFailed
from app.cli.program import run_program
from app.cli.run import run


def rotate() -> None:
    """Wrap the keys of all provider credentials with the last of HOLDFAST_CREDENTIALS__KEYS.

    First give the new key to every process, as the last one; then run this; then take the old key away. Reads
    HOLDFAST_PLATFORM_DATABASE_URL. Stopped at any point, the next run does the rest. Exit code 1 where one is left.
    """
    run(_rotate())


async def _rotate() -> None:
    if await run_program("app.cli.rotator"):
        raise CommandFailed("Not every credential was rotated.")
