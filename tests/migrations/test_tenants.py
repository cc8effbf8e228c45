"""What one tenant can see and do to another's rows: nothing, whatever the connection was used for before."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr
from sqlalchemy import ClauseElement, Table, create_engine, delete, func, insert, select, text, update
from sqlalchemy.exc import ProgrammingError

from app import db
from app.db import Session, Sessions, new_id
from app.outbox.models import outbox_commands
from app.settings import DatabaseSettings
from app.tables import TABLES
from app.workspaces.models import workspaces
from tests.migrations.rows import insert_rows, rows_of
from tests.servers import Database, PostgresServer

TENANT_TABLES = [table for table in TABLES if "workspace_id" in table.columns or table is workspaces]
# The application writes to the outbox and reads nothing there, not even its own.
READABLE = [table for table in TENANT_TABLES if table is not outbox_commands]
every_tenant_table = pytest.mark.parametrize("table", TENANT_TABLES, ids=lambda table: table.name)


@dataclass(frozen=True)
class Tenants:
    """Two workspaces with a row in every table. `app` has a single connection, which all its transactions share."""

    app: Sessions
    owner: Sessions
    ours: UUID
    theirs: UUID

    async def everything(self) -> dict[str, list[str]]:
        """All rows of all tables, as the owner sees them."""
        async with self.owner.unscoped() as session:
            return {
                table.name: sorted(
                    (await session.execute(text(f"SELECT to_jsonb(t)::text FROM {table.name} AS t"))).scalars()
                )
                for table in TABLES
            }


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: whatever one of them changed for the next has made it fail itself."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture(scope="module")
def workspace_ids(database: Database) -> tuple[UUID, UUID]:
    """Two workspaces with a row in every table."""
    ours, theirs = new_id(), new_id()
    engine = create_engine(database.owner_url)
    with engine.begin() as connection:
        insert_rows(connection, ours)
        insert_rows(connection, theirs)
    engine.dispose()
    return ours, theirs


@pytest.fixture
async def tenants(database: Database, workspace_ids: tuple[UUID, UUID]) -> AsyncIterator[Tenants]:
    one = DatabaseSettings(pool_size=1)
    app, owner = (
        db.create_engine(SecretStr(url), one, application="test") for url in (database.app_url, database.owner_url)
    )
    yield Tenants(Sessions(app), Sessions(owner), *workspace_ids)
    await app.dispose()
    await owner.dispose()


def workspace_of(table: Table) -> Any:
    return table.c.id if table is workspaces else table.c.workspace_id


async def count(session: Session, table: Table) -> int:
    return int((await session.execute(select(func.count()).select_from(table))).scalar_one())


async def backend(session: Session) -> int:
    return int((await session.execute(text("SELECT pg_backend_pid()"))).scalar_one())


@asynccontextmanager
async def refused(session: Session) -> AsyncIterator[None]:
    """What is inside must fail for want of a privilege or by a policy; the transaction goes on."""
    with pytest.raises(ProgrammingError) as error:
        async with session.begin_nested():
            yield
    assert isinstance(error.value.orig, InsufficientPrivilege)


async def changed(session: Session, statement: ClauseElement) -> int:
    """How many rows it changed; none where the role may not do it at all."""
    try:
        async with session.begin_nested():
            return int((await session.execute(statement)).rowcount)  # type: ignore[call-overload]
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        return 0


@pytest.mark.parametrize("table", READABLE, ids=lambda table: table.name)
async def test_a_tenant_sees_its_own_rows_alone_on_a_reused_connection(tenants: Tenants, table: Table) -> None:
    workspace = workspace_of(table)
    backends = set()
    for workspace_id in (tenants.ours, tenants.theirs, tenants.ours):
        async with tenants.app.for_workspace(workspace_id) as session:
            seen = (await session.execute(select(workspace))).scalars().all()
            backends.add(await backend(session))
        assert seen == [workspace_id]
    assert len(backends) == 1


@every_tenant_table
async def test_a_tenant_changes_nothing_of_another(tenants: Tenants, table: Table) -> None:
    before = await tenants.everything()
    async with tenants.app.for_workspace(tenants.theirs) as session:
        await backend(session)  # from here on the connection is a used one
    async with tenants.app.for_workspace(tenants.ours) as session:
        of_theirs = workspace_of(table) == tenants.theirs
        assert await changed(session, update(table).where(of_theirs).values({workspace_of(table): tenants.ours})) == 0
        assert await changed(session, delete(table).where(of_theirs)) == 0
        async with refused(session):
            await session.execute(insert(table).values(rows_of(tenants.theirs)[table.name]))
    assert await tenants.everything() == before


@every_tenant_table
async def test_a_tenant_gives_none_of_its_rows_to_another(tenants: Tenants, table: Table) -> None:
    before = await tenants.everything()
    async with tenants.app.for_workspace(tenants.ours) as session, refused(session):
        await session.execute(update(table).values({workspace_of(table): tenants.theirs}))
    assert await tenants.everything() == before


@pytest.mark.parametrize("table", READABLE, ids=lambda table: table.name)
async def test_a_session_of_no_workspace_sees_no_tenants_row(tenants: Tenants, table: Table) -> None:
    async with tenants.app.unscoped() as session:
        fresh = await backend(session)
        assert await count(session, table) == 0
    async with tenants.app.for_workspace(tenants.ours) as session:
        assert await count(session, table) == 1
    async with tenants.app.unscoped() as session:
        # Now the setting is '' and no longer NULL.
        assert await backend(session) == fresh
        assert await count(session, table) == 0


@every_tenant_table
async def test_a_session_of_no_workspace_changes_nothing(tenants: Tenants, table: Table) -> None:
    before = await tenants.everything()
    async with tenants.app.unscoped() as session:
        same = workspace_of(table)
        assert await changed(session, update(table).values({same: same})) == 0
        assert await changed(session, delete(table)) == 0
        async with refused(session):
            await session.execute(insert(table).values(rows_of(tenants.ours)[table.name]))
    assert await tenants.everything() == before


async def test_the_application_cannot_read_the_outbox_not_even_its_own(tenants: Tenants) -> None:
    async with tenants.app.for_workspace(tenants.ours) as session, refused(session):
        await session.execute(select(outbox_commands.c.id))
