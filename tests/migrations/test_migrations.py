"""The migrations: what they build is what the code believes, and each goes down as well as up, also on data."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

import migrations
from app.db import new_id
from app.tables import TABLES, metadata
from migrations.upgrade import downgrade, upgrade
from tests.migrations.rows import insert_rows
from tests.servers import Database, PostgresServer

# Lists what is in the schema beside columns: (kind, where it belongs, what it says).
DEFINITIONS = text("""
    SELECT 'constraint', conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    UNION ALL
    SELECT 'index', tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'
""")
RIGHTS = text("""
    SELECT 'policy', tablename, format('%s to %s %s using %s check %s', policyname, roles, cmd, qual, with_check)
    FROM pg_policies WHERE schemaname = 'public'
    UNION ALL
    SELECT 'security', relname, format('%s %s', relrowsecurity, relforcerowsecurity)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    UNION ALL
    SELECT 'grant', relname, coalesce(relacl, acldefault('r', relowner))::text
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    UNION ALL
    SELECT 'grant', format('%s.%s', relname, attname), attacl::text
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND attacl IS NOT NULL
    UNION ALL
    SELECT 'function', proname, pg_get_functiondef(oid) || ' ' || proacl::text
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'schema', nspname, nspacl::text FROM pg_namespace WHERE nspname = 'public'
""")


@contextmanager
def owner(database: Database) -> Iterator[Connection]:
    with create_engine(database.owner_url, poolclass=NullPool).begin() as connection:
        yield connection


def up(database: Database, revision: str = "head") -> None:
    upgrade(database.owner_url, app_url=database.app_url, platform_url=database.platform_url, revision=revision)


def revisions() -> list[str]:
    """From nothing to the newest; one follows another, without branches."""
    script = ScriptDirectory(Path(migrations.__path__[0]))
    return [*(each.revision for each in script.walk_revisions()), "base"][::-1]


def contents(connection: Connection) -> set[tuple[str, str]]:
    """Relations, functions and types of the schema, but for Alembic's own table."""
    found = connection.execute(
        text("""
            SELECT 'relation', relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
            UNION ALL SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            UNION ALL SELECT 'type', typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
        """)
    )
    return {(kind, name) for kind, name in found if "alembic_version" not in name}


def rights(connection: Connection) -> set[tuple[str, str, str]]:
    return {tuple(row) for row in connection.execute(RIGHTS) if not row[1].startswith("alembic_version")}


def test_every_table_is_listed() -> None:
    assert {table.name for table in TABLES} == set(metadata.tables)
    assert len(TABLES) == len(metadata.tables)


def test_the_migrated_schema_is_the_one_the_code_describes(empty_database: Database) -> None:
    up(empty_database)
    with owner(empty_database) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_constraints_and_indexes_are_those_the_code_describes(
    empty_database: Database, postgres_server: PostgresServer
) -> None:
    """Alembic's comparison sees no check constraint, and of an index the columns only."""
    up(empty_database)
    with owner(empty_database) as connection:
        migrated = {tuple(row) for row in connection.execute(DEFINITIONS) if row[1] != "alembic_version"}
    with postgres_server.empty_database() as described, owner(described) as connection:
        metadata.create_all(connection)
        assert migrated == {tuple(row) for row in connection.execute(DEFINITIONS)}


def test_migrations_go_down_and_up_again_on_data(empty_database: Database) -> None:
    up(empty_database)
    with owner(empty_database) as connection:
        built, allowed = contents(connection), rights(connection)
        insert_rows(connection, new_id())

    for revision in reversed(revisions()[:-1]):
        downgrade(empty_database.owner_url, revision)
    with owner(empty_database) as connection:
        assert contents(connection) == set()

    up(empty_database)
    with owner(empty_database) as connection:
        assert (contents(connection), rights(connection)) == (built, allowed)
        insert_rows(connection, new_id())


@pytest.mark.parametrize(("before", "revision"), list(pairwise(revisions())))
def test_a_migration_leaves_nothing_when_it_goes_down(empty_database: Database, before: str, revision: str) -> None:
    if before != "base":
        up(empty_database, before)
    with owner(empty_database) as connection:
        found, allowed = contents(connection), rights(connection)

    up(empty_database, revision)
    downgrade(empty_database.owner_url, before)

    with owner(empty_database) as connection:
        assert (contents(connection), rights(connection)) == (found, allowed)


def test_a_second_upgrade_changes_nothing(empty_database: Database) -> None:
    up(empty_database)
    with owner(empty_database) as connection:
        insert_rows(connection, new_id())
        built, allowed = contents(connection), rights(connection)

    up(empty_database)

    with owner(empty_database) as connection:
        assert (contents(connection), rights(connection)) == (built, allowed)
        for table in TABLES:
            assert connection.execute(table.select()).all()
