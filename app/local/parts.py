"""The programs of Holdfast that a stack runs beside PostgreSQL and Temporal.

Tests run the same stack with small programs of their own.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from alembic.util import CommandError
from pydantic import ValidationError

from app.local.environment import Addresses
from app.local.errors import StackError
from app.local.ports import LOOPBACK
from app.local.seed import Seeded, seed
from app.settings import PREFIX, Settings, TemporalSettings
from migrations.upgrade import upgrade

# -P: a worker.py in the user's directory must not be taken for ours.
_PYTHON = (sys.executable, "-P", "-m")


@dataclass(frozen=True, slots=True)
class Parts:
    """Command lines, to which the stack adds the ports, and what prepares the database.

    `api` gets ``--port``, `sandbox` gets ``--port`` and ``--dns-port``; the worker takes all from its environment.
    `prepare` migrates and seeds, and raises StackError.
    """

    api: tuple[str, ...]
    worker: tuple[str, ...]
    sandbox: tuple[str, ...]
    prepare: Callable[[Addresses], Awaitable[Seeded]]


async def prepare(addresses: Addresses) -> Seeded:
    """Migrate the database to the newest revision and make the local workspace. Raises StackError."""
    try:
        settings = Settings(
            environment="local",
            database_url=addresses.app_url,
            platform_database_url=addresses.platform_url,
            owner_database_url=addresses.owner_url,
            temporal=TemporalSettings(address=addresses.temporal_address, ui_url=addresses.temporal_ui_url),
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        variable = PREFIX + "__".join(str(part).upper() for part in wrong["loc"])
        raise StackError(f"{variable}: {wrong['msg']}") from error
    try:
        await asyncio.to_thread(
            upgrade, addresses.owner_url, app_url=addresses.app_url, platform_url=addresses.platform_url
        )
    except CommandError as error:
        raise StackError(f"This data directory is of another version of Holdfast: {error}") from error
    return await seed(settings)


HOLDFAST = Parts(
    api=(
        *_PYTHON,
        *("uvicorn", "app.main:create_app", "--factory", "--host", LOOPBACK),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
        # Streams of events end only when they are cut; the worker needs the rest of the shutdown's 15 s.
        *("--timeout-graceful-shutdown", "2"),
    ),
    worker=(*_PYTHON, "worker"),
    sandbox=(*_PYTHON, "app.sandbox"),
    prepare=prepare,
)
