"""Idempotency keys: one effect for any number of the same request."""

from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from structlog.contextvars import bound_contextvars

from app.db import Sessions, create_engine
from app.idempotency.answers import Once, Remembered, Scope
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import answer
from app.idempotency.service import fingerprint, remember, replay_or_begin, sweep
from app.settings import DatabaseSettings
from tests.api import Tenant, new_tenant, owner_sessions
from tests.servers import Database

FIRST = Remembered(202, {"Location": "/api/v1/jobs/1"}, {"id": "1", "fields": ["a", "b"]})
PRINT = fingerprint({"records": [1]})


@pytest.fixture
async def sessions(database: Database):
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(pool_size=4), application="tests")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    return await new_tenant(database)


@pytest.fixture
def scope(tenant: Tenant) -> Scope:
    return Scope(tenant.workspace_id, tenant.api_key_id, "POST /workspaces/{workspace_id}/enrichment/jobs")


async def ask(sessions: Sessions, scope: Scope, key: str = "key", request: bytes = PRINT) -> Remembered | None:
    """One request: replays the first answer, or makes it."""
    async with sessions.for_workspace(scope.workspace_id) as session:
        found = await replay_or_begin(session, Once(scope, key, request))
        if found is None:
            await remember(session, Once(scope, key, request), FIRST)
        return found


async def age(database: Database, days: float) -> None:
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        await session.execute(
            text("UPDATE idempotency_keys SET created_at = now() - make_interval(hours => :hours)"),
            {"hours": int(days * 24)},
        )


async def test_the_same_request_gets_the_first_answer_again(sessions: Sessions, scope: Scope):
    assert await ask(sessions, scope) is None
    assert await ask(sessions, scope) == FIRST
    assert await ask(sessions, scope) == FIRST


async def test_another_request_with_the_key_is_refused(sessions: Sessions, scope: Scope):
    await ask(sessions, scope)
    with pytest.raises(IdempotencyKeyReused) as refused:
        await ask(sessions, scope, request=fingerprint({"records": [2]}))
    assert refused.value.status == 409
    assert refused.value.code == "idempotency_key_reused"


async def test_of_two_twins_in_flight_one_is_told_to_wait(sessions: Sessions, scope: Scope):
    async with sessions.for_workspace(scope.workspace_id) as first:
        assert await replay_or_begin(first, Once(scope, "key", PRINT)) is None
        with pytest.raises(IdempotencyInProgress) as refused:
            await ask(sessions, scope)
        assert refused.value.status == 409
        assert refused.value.code == "idempotency_in_progress"
        assert refused.value.retry_after == 1
        await remember(first, Once(scope, "key", PRINT), FIRST)
    assert await ask(sessions, scope) == FIRST


async def test_what_rolled_back_is_not_remembered(sessions: Sessions, scope: Scope):
    async with sessions.for_workspace(scope.workspace_id) as session:
        await replay_or_begin(session, Once(scope, "key", PRINT))
        await remember(session, Once(scope, "key", PRINT), FIRST)
        await session.rollback()
    assert await ask(sessions, scope) is None


async def test_a_key_is_another_one_for_another_route_caller_or_workspace(
    database: Database, sessions: Sessions, scope: Scope
):
    other = await new_tenant(database)
    scopes = [
        scope,
        Scope(scope.workspace_id, scope.caller_id, "POST /other"),
        Scope(scope.workspace_id, uuid4(), scope.route),
        Scope(other.workspace_id, scope.caller_id, scope.route),
    ]
    assert [await ask(sessions, each) for each in scopes] == [None] * 4
    assert [await ask(sessions, each) for each in scopes] == [FIRST] * 4


async def test_a_key_can_be_used_anew_after_a_week(database: Database, sessions: Sessions, scope: Scope):
    await ask(sessions, scope)
    await age(database, days=6.9)
    assert await ask(sessions, scope) == FIRST
    await age(database, days=7.1)
    other_request = fingerprint({"records": [2]})
    assert await ask(sessions, scope, request=other_request) is None
    assert await ask(sessions, scope, request=other_request) == FIRST


async def test_a_sweep_forgets_what_is_older_than_a_week_and_is_bounded(
    database: Database, sessions: Sessions, scope: Scope
):
    for number in range(5):
        await ask(sessions, scope, key=f"old {number}")
    await age(database, days=8)
    await ask(sessions, scope, key="young")
    engine = create_engine(SecretStr(database.platform_url), DatabaseSettings(pool_size=1), application="tests")
    platform = Sessions(engine)
    assert await sweep(platform, batch=2, max_batches=2) == 4
    assert await sweep(platform, batch=2, max_batches=2) == 1
    assert await sweep(platform, batch=2, max_batches=2) == 0
    await engine.dispose()
    assert await ask(sessions, scope, key="young") == FIRST


def test_a_fingerprint_is_of_the_meaning_not_of_the_order_of_keys():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": [1, 2]}) != fingerprint({"a": [2, 1]})
    assert fingerprint({}, b"file") != fingerprint({}, b"elif")
    assert fingerprint({}, b"ab", b"c") != fingerprint({}, b"a", b"bc")
    assert fingerprint({}) != fingerprint({}, b"")


def test_an_answer_given_again_says_so():
    with bound_contextvars(request_id="request"):
        first, again = answer(FIRST, replayed=False), answer(FIRST, replayed=True)
    assert first.status_code == again.status_code == 202
    assert first.headers["Location"] == again.headers["Location"] == "/api/v1/jobs/1"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert b'"fields":["a","b"]' in again.body
