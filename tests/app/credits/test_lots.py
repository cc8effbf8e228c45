"""What is left of grants: spent soonest to expire first, expired when nobody holds it, taken back when it was wrong."""

import asyncio
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from structlog.testing import capture_logs

from app.credits.errors import InsufficientCredits
from app.credits.expiry import CreditSweep
from app.credits.repository import Balance
from app.db import Sessions
from app.settings import CreditsSettings
from tests.app.credits.ledgers import (
    balance,
    charge,
    claw_back,
    differences,
    expire,
    grant,
    hold,
    kinds,
    lots,
    pass_days,
    refund,
    release,
)
from tests.builders import make_workspace


@pytest.fixture
async def workspace(owner: Sessions) -> UUID:
    return await make_workspace(owner, credit=0)


def low(logs: list[dict[str, object]]) -> list[object]:
    """What was available each time that it was said to be low."""
    return [line["available"] for line in logs if line["event"] == "credits.low"]


async def test_what_expires_soonest_is_spent_first(owner: Sessions, sessions: Sessions, workspace: UUID) -> None:
    await grant(sessions, workspace, 30)
    await grant(sessions, workspace, 20, days=9)
    await grant(sessions, workspace, 10, days=2)
    await hold(sessions, workspace, 60)

    await charge(sessions, workspace, 4)
    assert await lots(sessions, workspace) == [6, 20, 30]
    await charge(sessions, workspace, 5, 3)
    assert await lots(sessions, workspace) == [18, 30]
    await charge(sessions, workspace, 20)
    assert await lots(sessions, workspace) == [28]
    assert await differences(owner) == []


async def test_of_lots_without_an_end_the_oldest_is_spent_first(sessions: Sessions, workspace: UUID) -> None:
    await grant(sessions, workspace, 10)
    await grant(sessions, workspace, 20)
    await hold(sessions, workspace, 30)
    await charge(sessions, workspace, 15)
    assert await lots(sessions, workspace) == [15]


async def test_what_is_not_spent_in_time_expires_once(owner: Sessions, sessions: Sessions, workspace: UUID) -> None:
    await grant(sessions, workspace, 50, days=1)
    await grant(sessions, workspace, 30)
    assert await expire(sessions, workspace) == 0

    await pass_days(owner, workspace, 1)
    assert [await expire(sessions, workspace) for _ in range(2)] == [50, 0]

    assert await balance(sessions, workspace) == Balance(30, 0)
    assert (await kinds(sessions, workspace))[2:] == [("expiry", -50, 0)]
    assert await differences(owner) == []


async def test_what_is_held_expires_when_it_is_released(owner: Sessions, sessions: Sessions, workspace: UUID) -> None:
    await grant(sessions, workspace, 50, days=1)
    await grant(sessions, workspace, 30)
    await hold(sessions, workspace, 40)
    await pass_days(owner, workspace, 1)

    assert await expire(sessions, workspace) == 10
    assert await balance(sessions, workspace) == Balance(70, 40)
    await charge(sessions, workspace, 15)
    assert await lots(sessions, workspace) == [25, 30]
    await release(sessions, workspace, 25)
    assert await expire(sessions, workspace) == 25

    assert await balance(sessions, workspace) == Balance(30, 0)
    assert await lots(sessions, workspace) == [30]
    assert await differences(owner) == []


async def test_what_has_expired_cannot_be_held_before_the_sweep_comes(
    owner: Sessions, sessions: Sessions, workspace: UUID
) -> None:
    await grant(sessions, workspace, 50, days=1)
    await grant(sessions, workspace, 30)
    await pass_days(owner, workspace, 1)

    with pytest.raises(InsufficientCredits, match="needs 31 credits and 30 are available"):
        await hold(sessions, workspace, 31)
    # Refused is undone: the sweep takes what has expired.
    assert await balance(sessions, workspace) == Balance(80, 0)

    await hold(sessions, workspace, 30)
    assert await balance(sessions, workspace) == Balance(30, 30)
    assert await differences(owner) == []


async def test_a_refund_can_be_spent_and_does_not_expire(owner: Sessions, sessions: Sessions, workspace: UUID) -> None:
    await grant(sessions, workspace, 50, days=1)
    await hold(sessions, workspace, 50)
    await charge(sessions, workspace, 50)
    for _ in range(2):
        await refund(sessions, workspace, 20, key="refund:1")
    await pass_days(owner, workspace, 1)

    assert await expire(sessions, workspace) == 0
    assert await balance(sessions, workspace) == Balance(20, 0)
    assert (await kinds(sessions, workspace))[-1] == ("refund", 20, 0)
    await hold(sessions, workspace, 20)
    assert await differences(owner) == []


async def test_a_clawback_may_take_the_balance_below_zero_and_then_nothing_can_be_held(
    owner: Sessions, sessions: Sessions, workspace: UUID
) -> None:
    await grant(sessions, workspace, 50)
    await hold(sessions, workspace, 40)
    for _ in range(2):
        await claw_back(sessions, workspace, 70, key="clawback:1")

    assert await balance(sessions, workspace) == Balance(-20, 40)
    assert await lots(sessions, workspace) == []
    with pytest.raises(InsufficientCredits):
        await hold(sessions, workspace, 1)
    # What was held before it may still be charged.
    await charge(sessions, workspace, 40)
    assert await balance(sessions, workspace) == Balance(-60, 0)
    assert await differences(owner) == []


async def test_what_is_granted_after_a_clawback_fills_the_hole_first(
    owner: Sessions, sessions: Sessions, workspace: UUID
) -> None:
    await grant(sessions, workspace, 10)
    await claw_back(sessions, workspace, 110)

    await grant(sessions, workspace, 60, days=1)
    assert (await balance(sessions, workspace), await lots(sessions, workspace)) == (Balance(-40, 0), [])
    await grant(sessions, workspace, 60, days=1)
    assert (await balance(sessions, workspace), await lots(sessions, workspace)) == (Balance(20, 0), [20])

    await pass_days(owner, workspace, 1)
    assert await expire(sessions, workspace) == 20
    assert await balance(sessions, workspace) == Balance(0, 0)
    assert await differences(owner) == []


async def test_charges_at_once_of_one_workspace_leave_the_lots_right(
    owner: Sessions, sessions: Sessions, workspace: UUID
) -> None:
    """Each waits for the account's lock, and must then see the lots as the one before left them."""
    for days in (1, 2, 3):
        await grant(sessions, workspace, 100, days=days)
    await hold(sessions, workspace, 300)

    await asyncio.gather(*(charge(sessions, workspace, 1, 2, 4) for _ in range(32)))

    assert await lots(sessions, workspace) == [76]
    assert await differences(owner) == []


@pytest.mark.parametrize("amount", [-1, 10**12 + 1])
async def test_a_grant_is_bounded(sessions: Sessions, workspace: UUID, amount: int) -> None:
    with pytest.raises(ValueError, match="0 to 10"):
        await grant(sessions, workspace, amount)


async def test_sweeps_at_once_expire_what_is_due_in_every_workspace_once(
    owner: Sessions, sessions: Sessions, platform: Sessions
) -> None:
    workspaces = [await make_workspace(owner, credit=5) for _ in range(5)]
    for each in workspaces:
        await grant(sessions, each, 10, days=1)
        await grant(sessions, each, 20, days=3)
    await hold(sessions, workspaces[0], 12)
    for each in workspaces:
        await pass_days(owner, each, 1)
    sweeps = [CreditSweep(platform, CreditsSettings(), CollectorRegistry()) for _ in range(3)]

    expired = await asyncio.gather(*(sweep.sweep(batch=2) for sweep in sweeps))

    assert sum(expired) == 4 * 10
    assert [(await balance(sessions, each)).balance for each in workspaces] == [35, 25, 25, 25, 25]
    assert await differences(owner) == []


async def test_low_credits_are_said_once_until_there_were_enough_again(sessions: Sessions, workspace: UUID) -> None:
    await grant(sessions, workspace, 150)
    with capture_logs() as logs:
        await hold(sessions, workspace, 50, threshold=100)
        assert low(logs) == []
        await hold(sessions, workspace, 1, threshold=100)
        await hold(sessions, workspace, 10, threshold=100)
        await charge(sessions, workspace, 10)
        assert low(logs) == [99]
        await release(sessions, workspace, 40)
        await claw_back(sessions, workspace, 100, threshold=100)
    assert low(logs) == [99, 29]


async def test_a_workspace_may_choose_when_its_credits_are_low(
    owner: Sessions, sessions: Sessions, platform: Sessions, workspace: UUID
) -> None:
    await grant(sessions, workspace, 150, days=1)
    async with owner.unscoped() as session:
        await session.execute(text("""UPDATE workspaces SET settings = '{"credits_low_threshold": 20}'"""))
    registry = CollectorRegistry()
    sweep = CreditSweep(platform, CreditsSettings(low_threshold=1000), registry)
    with capture_logs() as logs:
        await hold(sessions, workspace, 100, threshold=1000)
        await sweep.sweep()
        assert (low(logs), registry.get_sample_value("holdfast_credits_low_workspaces")) == ([], 0)
        await pass_days(owner, workspace, 1)
        await sweep.sweep()
    assert (low(logs), registry.get_sample_value("holdfast_credits_low_workspaces")) == ([0], 1)
