"""Reads of one statement: what they see, and what they do when the database or the caller goes away."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.db import OwnRead, Sessions, create_engine
from app.errors import Unavailable
from app.settings import DatabaseSettings
from tests.api import Tenant, new_tenant
from tests.servers import Database, PostgresServer

BALANCES = OwnRead("SELECT workspace_id, balance FROM credit_accounts WHERE workspace_id = own.workspace_id", {})
# As careless as a query can be: only the policies keep it from showing everybody's accounts.
CARELESS = OwnRead("SELECT balance FROM credit_accounts WHERE own.workspace_id IS NOT NULL", {})
SETTING = "SELECT current_setting('holdfast.workspace_id', true) AS setting, pg_backend_pid() AS pid"


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each works in workspaces of its own."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
async def sessions(database: Database) -> AsyncIterator[Sessions]:
    """Of one connection, so that every read but the first is on a reused one."""
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(pool_size=1), application="tests")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def tenants(database: Database) -> list[Tenant]:
    return [await new_tenant(database, credit=credit) for credit in (11, 22)]


async def test_a_read_sees_rows_of_its_workspace_only_on_a_reused_connection_too(
    sessions: Sessions, tenants: list[Tenant]
):
    for tenant, credit in zip(tenants * 3, (11, 22) * 3, strict=True):
        (row,) = await sessions.read_own(tenant.workspace_id, BALANCES)
        assert (row["workspace_id"], row["balance"]) == (tenant.workspace_id, credit)
        assert [row["balance"] for row in await sessions.read_own(tenant.workspace_id, CARELESS)] == [credit]


async def test_the_workspace_ends_with_the_statement(sessions: Sessions, tenants: list[Tenant]):
    (before,) = await sessions.read(SETTING, {})
    await sessions.read_own(tenants[0].workspace_id, BALANCES)
    (after,) = await sessions.read(SETTING, {})
    assert after["pid"] == before["pid"]
    assert not after["setting"]
    assert await sessions.read("SELECT * FROM credit_accounts", {}) == []


async def test_a_read_as_somebody_sees_what_they_may_and_nothing_as_nobody(sessions: Sessions, tenants: list[Tenant]):
    who = "SELECT %(id)s::uuid AS own_workspace_id, 'somebody' AS name"
    first, second = tenants
    (row,) = await sessions.read_as(who, {"id": first.workspace_id}, CARELESS)
    assert (row["name"], row["balance"]) == ("somebody", 11)
    (row,) = await sessions.read_as(who, {"id": None}, BALANCES)
    assert (row["name"], row["balance"]) == ("somebody", None)
    # Not what the read before has left behind.
    (row,) = await sessions.read_as(who, {"id": None}, CARELESS)
    assert row["balance"] is None
    (row,) = await sessions.read_as(who, {"id": second.workspace_id}, CARELESS)
    assert row["balance"] == 22
    assert await sessions.read_as("SELECT NULL::uuid AS own_workspace_id WHERE false", {}, BALANCES) == []


def test_a_read_of_a_workspace_must_wait_for_it():
    with pytest.raises(ValueError, match=r"own\.workspace_id"):
        OwnRead("SELECT balance FROM credit_accounts", {})


async def test_reads_go_on_after_the_server_has_closed_their_connection(sessions: Sessions):
    (before,) = await sessions.read(SETTING, {})
    async with sessions.unscoped() as session:
        closed = await session.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": before["pid"]})
        assert closed.scalar_one()
    (after,) = await sessions.read(SETTING, {})
    assert after["pid"] != before["pid"]


async def test_a_read_that_is_cancelled_leaves_the_next_its_own_answer(sessions: Sessions):
    await sessions.read("SELECT 1", {})
    reading = asyncio.create_task(sessions.read("SELECT pg_sleep(30), 'late' AS answer", {}))
    while not await _is_active("pg_sleep(30)", sessions):
        await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await sessions.read("SELECT 'next' AS answer", {}) == [{"answer": "next"}]


async def test_more_reads_at_once_than_connections_wait_for_each_other(sessions: Sessions):
    answers = await asyncio.gather(*(sessions.read("SELECT %(n)s AS n", {"n": str(n)}) for n in range(20)))
    assert [row["n"] for (row,) in answers] == [str(n) for n in range(20)]


async def test_a_database_that_cannot_be_reached_is_unavailable():
    url = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    engine = create_engine(url, DatabaseSettings(pool_size=1), application="tests")
    try:
        with pytest.raises(Unavailable):
            await Sessions(engine).read("SELECT 1", {})
    finally:
        await engine.dispose()


async def _is_active(part: str, sessions: Sessions) -> bool:
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%' || :part || '%' AND state = 'active'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with sessions.unscoped() as session:
        return bool((await session.execute(query, {"part": part})).scalar_one())
