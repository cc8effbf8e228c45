"""What one person can see and do to another's rows: nothing, whatever the connection was used for before."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Table, select, text, update
from sqlalchemy.exc import ProgrammingError

from app.accounts.models import one_time_tokens, user_sessions, users
from app.db import Session, Sessions, create_engine, new_id
from app.settings import DatabaseSettings
from tests.migrations.rows import insert_rows, rows_of
from tests.servers import Database

TABLES = [users, user_sessions, one_time_tokens]
# What the application itself changes in them.
CHANGES: dict[str, dict[str, Any]] = {
    "users": {"name": "Eve"},
    "user_sessions": {"revoked_at": None},
    "one_time_tokens": {"used_at": None},
}
every_table_of_people = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@dataclass(frozen=True)
class People:
    """Two workspaces with one person each. `app` has a single connection, which all its transactions share."""

    app: Sessions
    owner: Sessions
    ours: UUID
    workspace_id: UUID


@pytest.fixture
async def people(database: Database) -> AsyncIterator[People]:
    one = DatabaseSettings(pool_size=1)
    app, owner = (
        create_engine(SecretStr(url), one, application="test") for url in (database.app_url, database.owner_url)
    )
    workspace_id, other = new_id(), new_id()
    async with Sessions(owner).unscoped() as session:
        for each in (workspace_id, other):
            await session.run_sync(insert_rows, each)
        query = text("SELECT user_id FROM memberships WHERE workspace_id = :id")
        ours = (await session.execute(query, {"id": workspace_id})).scalar_one()
    yield People(Sessions(app), Sessions(owner), ours, workspace_id)
    await app.dispose()
    await owner.dispose()


def person_of(table: Table) -> Any:
    return table.c.id if table is users else table.c.user_id


async def seen(session: Session, table: Table) -> list[UUID]:
    return list((await session.execute(select(person_of(table)))).scalars())


@every_table_of_people
async def test_a_person_sees_their_own_rows_alone(people: People, table: Table):
    async with people.owner.unscoped() as session:
        assert len(await seen(session, table)) == 2
    async with people.app.for_user(people.ours) as session:
        assert await seen(session, table) == [people.ours]
    async with people.app.for_user(new_id()) as session:
        assert await seen(session, table) == []


@every_table_of_people
async def test_a_session_of_no_person_sees_nobody_also_on_a_reused_connection(people: People, table: Table):
    backends = set()
    for opened in (
        people.app.unscoped(),
        people.app.for_user(people.ours),
        people.app.unscoped(),
        people.app.for_workspace(people.workspace_id),
    ):
        async with opened as session:
            backends.add((await session.execute(text("SELECT pg_backend_pid()"))).scalar_one())
            own = (await session.execute(text("SELECT current_setting('holdfast.user_id', true)"))).scalar_one()
            assert await seen(session, table) == ([people.ours] if own else [])
    assert len(backends) == 1


@every_table_of_people
async def test_a_person_changes_nothing_of_another(people: People, table: Table):
    async with people.app.for_user(people.ours) as session:
        changed = await session.execute(
            update(table).where(person_of(table) != people.ours).values(CHANGES[table.name])
        )
        assert changed.rowcount == 0
    with pytest.raises(ProgrammingError):
        async with people.app.for_user(people.ours) as session:
            await session.execute(table.insert().values(rows_of(new_id())[table.name]))


async def test_the_application_can_make_nobody_a_superadmin(people: People):
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with people.app.for_user(people.ours) as session:
            await session.execute(update(users).where(users.c.id == people.ours).values(is_superadmin=True))
    new = new_id()
    row = {"id": new, "email": "eve@example.com", "name": "Eve", "is_superadmin": True}
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with people.app.for_user(new) as session:
            await session.execute(users.insert().values(row))
