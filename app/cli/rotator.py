"""The rotation of encryption keys as a program, ``python -m app.cli.rotator``: reads the settings of a worker.

Prints what it did, and exits with 1 where a credential is left under an older key.
"""

import asyncio
import sys

from app.cli.console import new_console
from app.credentials.rotation import Rotated, rotate
from app.db import Sessions, create_engine
from app.errors import AppError
from app.logging import configure_logging
from app.settings import Settings, SettingsError, load_settings
from app.webhooks import secrets_repository as webhook_secrets


async def _rotate(settings: Settings) -> Rotated:
    if settings.platform_database_url is None:
        raise SettingsError("HOLDFAST_PLATFORM_DATABASE_URL: Field required")
    engine = create_engine(settings.platform_database_url, settings.database, application="credentials rotate")
    try:
        sessions = Sessions(engine)
        credentials = await rotate(sessions, settings.credentials)
        secrets = await rotate(sessions, settings.credentials, webhook_secrets)
        return Rotated(credentials.rewrapped + secrets.rewrapped, credentials.left + secrets.left)
    finally:
        await engine.dispose()


def main() -> None:
    try:
        settings = load_settings()
        configure_logging(settings.log_level)
        rotated = asyncio.run(_rotate(settings))
    except (SettingsError, AppError) as error:
        sys.exit(f"The credentials could not be rotated: {error}")
    console = new_console()
    console.print(
        f"{rotated.rewrapped:,} credentials and webhook secrets are wrapped with the newest key that were not before."
    )
    if rotated.left:
        console.print(f"{rotated.left:,} cannot be unwrapped: the lines above name them and why.", style="bold red")
    sys.exit(1 if rotated.left else 0)


if __name__ == "__main__":
    main()
