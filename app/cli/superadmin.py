"""Make a superadmin, as the owner of the tables: a process of its own, for ``holdfast admin create``.

python -m app.cli.superadmin -- EMAIL NAME, with a password on stdin, or nothing there for a magic link.
"""

import asyncio
import sys

from pydantic import BaseModel, ValidationError

from app.accounts.passwords import Passwords
from app.accounts.schemas import NewPassword
from app.accounts.staff import make_superadmin
from app.db import Sessions, create_engine
from app.errors import AppError
from app.logging import configure_logging
from app.mail.letters import link
from app.settings import Settings, SettingsError, load_settings
from app.text import EmailAddress, Name


class _Person(BaseModel):
    email: EmailAddress
    name: Name
    password: NewPassword | None


async def _make(settings: Settings, person: _Person) -> str | None:
    if settings.owner_database_url is None:
        raise SettingsError("HOLDFAST_OWNER_DATABASE_URL: Field required")
    password_hash = None
    if person.password is not None:
        password_hash = await Passwords().hash(person.password.get_secret_value())
    engine = create_engine(settings.owner_database_url, settings.database, application="superadmin")
    try:
        async with Sessions(engine).unscoped() as session:
            return await make_superadmin(
                session,
                email=person.email,
                name=person.name,
                password_hash=password_hash,
                link_seconds=settings.auth.link_seconds,
            )
    finally:
        await engine.dispose()


def main() -> None:
    _, email, name = sys.argv[1:]
    try:
        settings = load_settings()
        # What people read is below.
        configure_logging("ERROR")
        person = _Person.model_validate(
            {"email": email, "name": name[:100], "password": sys.stdin.read().strip("\n") or None}
        )
        token = asyncio.run(_make(settings, person))
    except ValidationError as error:
        sys.exit("; ".join(f"{each['loc'][0]}: {each['msg'].removeprefix('Value error, ')}" for each in error.errors()))
    except (SettingsError, AppError) as error:
        sys.exit(str(error))
    sys.stdout.write(f"{person.email} is a superadmin.\n")
    if token is not None:
        minutes = settings.auth.link_seconds // 60
        sys.stdout.write(f"To sign in, once and within {minutes} minutes:\n")
        sys.stdout.write(f"  {link(settings.public_url, 'magic-link', token)}\n")


if __name__ == "__main__":
    main()
