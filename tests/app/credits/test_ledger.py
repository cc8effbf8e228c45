"""The ledger: a model of it against PostgreSQL, in random order."""

from typing import TypeAlias
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.credits.errors import InsufficientCredits
from app.credits.repository import Balance
from app.db import Sessions
from tests.app.credits.ledgers import (
    balance,
    charge,
    claw_back,
    differences,
    expire,
    grant,
    hold,
    lots,
    pass_days,
    refund,
    release,
)
from tests.builders import make_workspace

NEVER = 10**6
KINDS = ["grant", "hold", "charge", "release", "refund", "clawback", "expiry", "days"]
# Kind, amount, a number that makes its key (so that repetitions happen), and in how many days a grant expires.
Operation: TypeAlias = tuple[str, int, int, int | None]
operations = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 50), st.integers(0, 5), st.one_of(st.none(), st.integers(0, 4))),
    max_size=40,
)


class Model:
    """What the ledger should do, said once more and without SQL."""

    def __init__(self) -> None:
        self.balance = self.held = 0
        # [day of expiry, order of making, what is left]
        self.lots: list[list[int]] = []
        self.today = 0
        self.keys: set[str] = set()

    def expire(self) -> None:
        left = sum(lot[2] for lot in self.lots if lot[0] <= self.today) - self.held
        if left > 0:
            self.balance -= left
            self.spend(left)

    def spend(self, amount: int) -> None:
        for lot in sorted(self.lots):
            taken = min(lot[2], amount)
            lot[2] -= taken
            amount -= taken
        self.lots = [lot for lot in self.lots if lot[2]]

    def add(self, amount: int, days: int | None) -> None:
        self.balance += amount
        remaining = min(amount, self.balance)
        if remaining > 0:
            made = max((lot[1] for lot in self.lots), default=0) + 1
            self.lots.append([NEVER if days is None else self.today + days, made, remaining])

    def is_new(self, key: str, amount: int) -> bool:
        """Whether an effect with this key does anything."""
        if key in self.keys or not amount:
            return False
        self.keys.add(key)
        return True


async def apply(model: Model, sessions: Sessions, owner: Sessions, workspace_id: UUID, operation: Operation) -> None:
    """Do one operation to both."""
    kind, amount, number, days = operation
    key = f"{kind}:{number}"
    match kind:
        case "grant":
            await grant(sessions, workspace_id, amount, days, key)
            if model.is_new(key, amount):
                model.add(amount, days)
        case "refund":
            await refund(sessions, workspace_id, amount, key)
            if model.is_new(key, amount):
                model.add(amount, None)
        case "hold":
            await apply_hold(model, sessions, workspace_id, amount, key)
        case "release":
            amount = min(amount, model.held)
            await release(sessions, workspace_id, amount, key)
            if model.is_new(key, amount):
                model.held -= amount
        case "charge":
            amount = min(amount, model.held)
            await charge(sessions, workspace_id, amount // 2, amount - amount // 2)
            model.balance, model.held = model.balance - amount, model.held - amount
            model.spend(amount)
        case "clawback":
            await claw_back(sessions, workspace_id, amount, key)
            if model.is_new(key, amount):
                model.balance -= amount
                model.spend(amount)
        case "expiry":
            await expire(sessions, workspace_id)
            model.expire()
        case _:
            await pass_days(owner, workspace_id, number)
            model.today += number


async def apply_hold(model: Model, sessions: Sessions, workspace_id: UUID, amount: int, key: str) -> None:
    if key in model.keys or not amount:
        await hold(sessions, workspace_id, amount, key)
        return
    expired = sum(lot[2] for lot in model.lots if lot[0] <= model.today)
    available = model.balance - model.held - max(0, expired - model.held)
    if amount > available:
        with pytest.raises(InsufficientCredits):
            await hold(sessions, workspace_id, amount, key)
        return
    await hold(sessions, workspace_id, amount, key)
    model.expire()
    model.keys.add(key)
    model.held += amount


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(todo=operations)
async def test_the_ledger_does_what_its_model_does_in_any_order(
    owner: Sessions, sessions: Sessions, todo: list[Operation]
) -> None:
    workspace_id = await make_workspace(owner, credit=0)
    model = Model()
    for operation in [("grant", 50, 9, None), *todo]:
        await apply(model, sessions, owner, workspace_id, operation)
        assert await balance(sessions, workspace_id) == Balance(model.balance, model.held)
        assert await lots(sessions, workspace_id) == [lot[2] for lot in sorted(model.lots)]
    assert await differences(owner) == []


async def test_a_second_effect_with_the_same_key_moves_nothing(owner: Sessions, sessions: Sessions) -> None:
    workspace_id = await make_workspace(owner, credit=100)
    for _ in range(2):
        await grant(sessions, workspace_id, 50, key="grant:1")
    assert await balance(sessions, workspace_id) == Balance(150, 0)
    assert await lots(sessions, workspace_id) == [100, 50]


async def test_a_second_hold_with_the_same_key_is_no_second_hold_also_when_credits_are_gone(
    owner: Sessions, sessions: Sessions
) -> None:
    workspace_id = await make_workspace(owner, credit=100)
    for _ in range(2):
        await hold(sessions, workspace_id, 60, key="hold:1")
    assert await balance(sessions, workspace_id) == Balance(100, 60)


async def test_too_few_credits_say_what_is_needed_and_what_is_there(owner: Sessions, sessions: Sessions) -> None:
    workspace_id = await make_workspace(owner, credit=10)
    with pytest.raises(InsufficientCredits, match="needs 11 credits and 10 are available"):
        await hold(sessions, workspace_id, 11)


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
