"""Prepare the database of a stack: migrations, then the local workspace with its key.

A process of its own, ``python -m app.local.prepare [--new-key]``: what it imports would stay in the supervisor for
ever, and start it later. Prints one line of JSON, ``{"workspace_id": …, "api_key": … or null}``.
"""

import asyncio
import json
import sys
from dataclasses import asdict

from alembic.util import CommandError

from app.errors import AppError
from app.local.seed import Seeded, seed
from app.settings import Settings, SettingsError, load_settings
from migrations.upgrade import upgrade


def prepare(settings: Settings, *, new_key: bool) -> Seeded:
    """Raises SettingsError without the URLs of all three roles, CommandError when the database is ahead of us."""
    owner, platform = settings.owner_database_url, settings.platform_database_url
    if owner is None or platform is None:
        raise SettingsError("HOLDFAST_OWNER_DATABASE_URL and HOLDFAST_PLATFORM_DATABASE_URL: Field required")
    upgrade(
        owner.get_secret_value(),
        app_url=settings.database_url.get_secret_value(),
        platform_url=platform.get_secret_value(),
    )
    return asyncio.run(seed(settings, new_key=new_key))


def main() -> None:
    try:
        seeded = prepare(load_settings(), new_key="--new-key" in sys.argv[1:])
    except (SettingsError, AppError) as error:
        sys.exit(str(error))
    except CommandError as error:
        sys.exit(f"The database is of another version of Holdfast: {error}")
    sys.stdout.write(json.dumps(asdict(seeded)) + "\n")


if __name__ == "__main__":
    main()
