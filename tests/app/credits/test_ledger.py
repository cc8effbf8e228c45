"""The ledger: a model of it against PostgreSQL, in random order and from many clients at once."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.credits import service as credits
from app.credits.errors import InsufficientCredits
from app.db import Sessions, create_engine, new_id
from app.settings import DatabaseSettings
from tests.builders import make_workspace
from tests.servers import Database


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(database.owner_url), DatabaseSettings(), application="test")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def sessions(database: Database) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(pool_size=32), application="test")
    yield Sessions(engine)
    await engine.dispose()


Operation = tuple[str, int, int]
operations = st.lists(
    st.tuples(st.sampled_from(["grant", "hold", "charge", "release"]), st.integers(0, 50), st.integers(0, 5)),
    max_size=40,
)


async def apply(sessions: Sessions, workspace_id: UUID, operation: Operation) -> bool:
    """Do one operation; whether it was accepted. Its number makes its key, so that repetitions happen."""
    kind, amount, number = operation
    key = f"{kind}:{number}"
    async with sessions.for_workspace(workspace_id) as session:
        account = await credits.balance(session, workspace_id)
        if kind == "grant":
            await credits.grant(session, workspace_id, amount, key=key, reason="test")
        elif kind == "hold":
            try:
                await credits.hold(session, workspace_id, amount, key=key, reason="test", reference=("job", key))
            except InsufficientCredits:
                return False
        elif kind == "release":
            taken = min(amount, account.held)
            await credits.release(session, workspace_id, taken, key=key, reason="test", reference=("job", key))
        else:
            charge = credits.Charge(f"charge:{new_id()}", min(amount, account.held), "1")
            await credits.charge(session, workspace_id, [charge], reason="test", reference_type="answer")
    return True


async def check(sessions: Sessions, workspace_id: UUID) -> None:
    """Balance and held are the sums of the entries, and each entry says where it left them."""
    async with sessions.for_workspace(workspace_id) as session:
        account = await credits.balance(session, workspace_id)
        entries = (await credits.list_entries(session, workspace_id, before_seq=None, limit=500))[::-1]
    balance = held = 0
    for entry in entries:
        balance += entry.amount
        held += entry.held_amount
        assert (entry.balance_after, entry.held_after) == (balance, held)
        assert held >= 0
    assert (account.balance, account.held) == (balance, held)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(todo=operations)
async def test_the_account_is_the_sum_of_its_entries_in_any_order(
    owner: Sessions, sessions: Sessions, todo: list[Operation]
) -> None:
    workspace_id = await make_workspace(owner, credit=100)
    for operation in todo:
        await apply(sessions, workspace_id, operation)
    await check(sessions, workspace_id)


async def test_clients_at_once_never_hold_more_than_there_is(owner: Sessions, sessions: Sessions) -> None:
    workspace_id = await make_workspace(owner, credit=100)

    accepted = await asyncio.gather(*(apply(sessions, workspace_id, ("hold", 7, n)) for n in range(32)))

    assert sum(accepted) == 100 // 7
    await check(sessions, workspace_id)


async def test_a_second_effect_with_the_same_key_moves_nothing(owner: Sessions, sessions: Sessions) -> None:
    workspace_id = await make_workspace(owner, credit=100)
    for _ in range(2):
        await apply(sessions, workspace_id, ("grant", 50, 1))
    async with sessions.for_workspace(workspace_id) as session:
        assert (await credits.balance(session, workspace_id)).balance == 150


async def test_too_few_credits_say_what_is_needed_and_what_is_there(owner: Sessions, sessions: Sessions) -> None:
    workspace_id = await make_workspace(owner, credit=10)
    async with sessions.for_workspace(workspace_id) as session:
        with pytest.raises(InsufficientCredits, match="needs 11 credits and 10 are available"):
            await credits.hold(session, workspace_id, 11, key="h", reason="test", reference=("job", "1"))


@pytest.mark.parametrize(
    "statement", ["UPDATE credit_entries SET amount = 1", "DELETE FROM credit_entries"], ids=["update", "delete"]
)
async def test_entries_cannot_be_changed_by_the_runtime_role(
    owner: Sessions, sessions: Sessions, statement: str
) -> None:
    workspace_id = await make_workspace(owner)
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with sessions.for_workspace(workspace_id) as session:
            await session.execute(text(statement))
