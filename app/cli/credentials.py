"""``holdfast credentials rotate``: wrap every stored credential with the newest encryption key."""

import asyncio
import os
import sys
from pathlib import Path

from app.cli.errors import CommandFailed
from app.cli.run import run

_ROOT = Path(__file__).parents[2]


def rotate() -> None:
    """Wrap the keys of all provider credentials with the last of HOLDFAST_CREDENTIALS__KEYS.

    First give the new key to every process, as the last one; then run this; then take the old key away. Reads
    HOLDFAST_PLATFORM_DATABASE_URL. Stopped at any point, the next run does the rest. Exit code 1 where one is left.
    """
    run(_rotate())


async def _rotate() -> None:
    # A process of its own: what it imports would slow every command down.
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "app.cli.rotator", env={**os.environ, "PYTHONPATH": path}
    )
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if code:
        raise CommandFailed("Not every credential was rotated.")
