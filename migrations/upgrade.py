"""Bring a database to a revision, and give the two runtime roles their login.

As a program: ``python -m migrations.upgrade`` reads HOLDFAST_OWNER_DATABASE_URL, HOLDFAST_DATABASE_URL and
HOLDFAST_PLATFORM_DATABASE_URL.
"""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from app.settings import SettingsError, load_settings

# Two stacks that start together on one database: the second waits for the first.
_LOCK = text("SELECT pg_advisory_lock(hashtext('holdfast migrations'))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtext('holdfast migrations'))")


def upgrade(owner_url: str, *, app_url: str, platform_url: str, revision: str = "head") -> None:
    """Run the migrations up to `revision` as the owner, then let the users of the other two URLs log in.

    The owner needs CREATEROLE the first time. Idempotent; safe to run from two processes at once.
    """
    with _owner(owner_url) as connection:
        connection.execute(_LOCK)
        connection.commit()
        try:
            command.upgrade(_config(connection), revision)
            for url in (make_url(app_url), make_url(platform_url)):
                _let_log_in(connection, url)
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(_UNLOCK)
            connection.commit()


def downgrade(owner_url: str, revision: str) -> None:
    """Take the migrations back down to `revision` (``base``: to nothing)."""
    with _owner(owner_url) as connection:
        command.downgrade(_config(connection), revision)
        connection.commit()


def _owner(url: str) -> Connection:
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool).connect()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def _let_log_in(connection: Connection, url: URL) -> None:
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
        sql.Identifier(url.username or ""), sql.Literal(url.password or "")
    )
    connection.exec_driver_sql(statement.as_string())


def main() -> None:
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    if settings.owner_database_url is None or settings.platform_database_url is None:
        sys.exit("HOLDFAST_OWNER_DATABASE_URL and HOLDFAST_PLATFORM_DATABASE_URL: Field required")
    upgrade(
        settings.owner_database_url.get_secret_value(),
        app_url=settings.database_url.get_secret_value(),
        platform_url=settings.platform_database_url.get_secret_value(),
    )


if __name__ == "__main__":
    main()
