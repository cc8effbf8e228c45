"""Events: each is stored with the fact that it tells, once, for its own workspace."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.credits.audit import Differences, audit_range, check
from app.credits.service import grant, hold, release
from app.db import Sessions, create_engine
from app.metrics import new_registry
from app.settings import DatabaseSettings
from app.webhooks.service import is_published, publish, sweep
from tests.api import new_tenant, owner_sessions
from tests.app.outages.incidents import events
from tests.servers import Database
from workflows.contracts.ledger import AuditRange

EVERYBODY = AuditRange(after=str(UUID(int=0)), through=str(UUID(int=2**128 - 1)))


@pytest.fixture
async def sessions(database: Database) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(), application="tests")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def platform(database: Database) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(database.platform_url), DatabaseSettings(), application="tests")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def workspace(database: Database) -> UUID:
    return (await new_tenant(database, credit=0)).workspace_id


async def test_an_event_is_stored_with_the_fact_or_not_at_all(sessions: Sessions, workspace: UUID):
    with suppress(ZeroDivisionError):
        async with sessions.for_workspace(workspace) as session:
            await publish(session, workspace, "credits.low", {"available": 1})
            raise ZeroDivisionError
    assert await events(sessions, workspace) == []

    async with sessions.for_workspace(workspace) as session:
        await publish(session, workspace, "credits.low", {"available": 2})
    (event,) = await events(sessions, workspace)
    assert (event["type"], event["version"], event["data"]) == ("credits.low", 1, {"available": 2})
    assert event["id"].version == 7


async def test_the_same_fact_told_by_many_is_one_event_and_the_first_stays(
    sessions: Sessions, platform: Sessions, workspace: UUID
):
    async def tell(number: int) -> None:
        async with sessions.for_workspace(workspace) as session:
            await publish(session, workspace, "credits.low", {"by": number}, key="crossing 1")

    await tell(0)
    await asyncio.gather(*(tell(number) for number in range(1, 8)))
    async with platform.unscoped() as session:
        await publish(session, workspace, "credits.low", {"by": "platform"}, key="crossing 1")

    assert [event["data"] for event in await events(sessions, workspace)] == [{"by": 0}]


async def test_a_key_names_a_fact_of_its_type_and_workspace(sessions: Sessions, database: Database, workspace: UUID):
    other = (await new_tenant(database)).workspace_id
    for workspace_id in (workspace, other):
        async with sessions.for_workspace(workspace_id) as session:
            await publish(session, workspace_id, "enrichment.job.waiting", {}, key="1")
            await publish(session, workspace_id, "enrichment.job.waiting", {}, key="2")
            assert not await is_published(session, workspace_id, "enrichment.job.resumed", "1")
            await publish(session, workspace_id, "enrichment.job.resumed", {}, key="1")
            assert await is_published(session, workspace_id, "enrichment.job.resumed", "1")
            assert not await is_published(session, workspace_id, "enrichment.job.resumed", "2")
    ours, theirs = [await events(sessions, each) for each in (workspace, other)]
    assert len({event["id"] for event in ours + theirs}) == 6


async def test_events_are_kept_for_thirty_days(sessions: Sessions, database: Database, platform: Sessions):
    tenants = [(await new_tenant(database, credit=0)).workspace_id for _ in range(2)]
    for workspace_id in tenants:
        async with sessions.for_workspace(workspace_id) as session:
            for kind in ("credits.low", "webhook.test"):
                await publish(session, workspace_id, kind, {})
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        await session.execute(
            text("UPDATE events SET created_at = now() - interval '30 days 1 minute' WHERE type = 'webhook.test'")
        )

    assert await sweep(platform) == 2

    assert [[event["type"] for event in await events(sessions, each)] for each in tenants] == [["credits.low"]] * 2


async def test_nobody_deletes_what_was_told_or_says_that_it_was_something_else(sessions: Sessions, workspace: UUID):
    async with sessions.for_workspace(workspace) as session:
        await publish(session, workspace, "credits.low", {})
    for statement in ("UPDATE events SET type = ''", "UPDATE events SET created_at = now()", "DELETE FROM events"):
        with pytest.raises(Exception, match="permission denied"):
            async with sessions.for_workspace(workspace) as session:
                await session.execute(text(statement))


async def test_each_fall_below_the_threshold_is_one_event(sessions: Sessions, database: Database):
    workspace = (await new_tenant(database, credit=150)).workspace_id
    reference = ("enrichment_job", "1")

    async def held(amount: int, key: str) -> None:
        async with sessions.for_workspace(workspace) as session:
            await hold(session, workspace, amount, key=key, reason="test", reference=reference, low_threshold=100)

    await held(40, "a")
    assert await events(sessions, workspace) == []
    await held(40, "b")
    await held(40, "b")
    await held(10, "c")
    assert [event["data"] for event in await events(sessions, workspace)] == [{"available": 70, "threshold": 100}]
    async with sessions.for_workspace(workspace) as session:
        await release(session, workspace, 90, key="d", reason="test", reference=reference)
    await held(60, "e")

    assert [event["data"]["available"] for event in await events(sessions, workspace)] == [70, 90]


async def test_a_difference_in_the_ledger_is_told_once_and_again_when_it_grows(
    sessions: Sessions, platform: Sessions, database: Database
):
    broken, sound = [(await new_tenant(database)).workspace_id for _ in range(2)]
    differences = Differences(new_registry())

    async def audit() -> None:
        await audit_range(sessions, platform, EVERYBODY, differences, check)

    async with owner_sessions(database) as owner:
        async with owner.for_workspace(broken) as session:
            await session.execute(
                text("UPDATE credit_entries SET balance_after = balance_after + 1 WHERE workspace_id = :id"),
                {"id": broken},
            )
        await audit()
        await audit()
        (event,) = await events(sessions, broken)
        assert event["type"] == "credits.difference"
        assert event["data"] == {
            "rule": "chain",
            "problem": "an entry does not follow from the one before",
            "places": 1,
        }

        async with owner.for_workspace(broken) as session:
            await grant(session, broken, 5, key="more", reason="test")
        await audit()
    assert [event["data"]["places"] for event in await events(sessions, broken)] == [1, 2]
    assert await events(sessions, sound) == []
