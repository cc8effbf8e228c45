"""Many clients at once, on one ledger and on several: whatever the order, every ledger adds up.

``LEDGER_OPERATIONS=1000 pytest tests/app/credits/test_interleavings.py`` for longer than `make test` has time for.
"""

import asyncio
import os
from random import Random
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from app.credits.errors import InsufficientCredits
from app.credits.expiry import CreditSweep
from app.db import Sessions
from app.settings import CreditsSettings
from tests.app.credits.ledgers import balance, charge, claw_back, differences, grant, hold, refund, release
from tests.builders import make_workspace

CLIENTS = 32
KINDS = {"grant", "hold", "charge", "release", "refund", "expiry", "clawback"}
OPERATIONS = int(os.environ.get("LEDGER_OPERATIONS", "20"))


class Client:
    """Does as jobs do: holds, charges of its hold until it is tired of it, releases the rest. And now and then what
    staff, sweeps and payment providers do."""

    def __init__(self, number: int, sessions: Sessions, sweep: CreditSweep, workspaces: list[UUID]) -> None:
        self._random = Random(number)
        self._number = number
        self._sessions = sessions
        self._sweep = sweep
        self._workspaces = workspaces
        self.open: dict[UUID, int] = dict.fromkeys(workspaces, 0)
        self.refused = 0

    async def run(self) -> None:
        for step in range(OPERATIONS):
            await self._act(self._random.choice(self._workspaces), f"{self._number}:{step}")

    async def _act(self, workspace_id: UUID, key: str) -> None:
        open_hold = self.open[workspace_id]
        kind = self._random.choice(
            ["charge", "charge", "charge", "release"] if open_hold else ["hold", "hold", "grant", "refund", "other"]
        )
        amount = self._random.randint(1, 40)
        match kind:
            case "hold":
                try:
                    await hold(self._sessions, workspace_id, amount, f"hold:{key}")
                    self.open[workspace_id] = amount
                except InsufficientCredits:
                    self.refused += 1
            case "charge":
                amounts = [amount // 3, amount // 3, amount - 2 * (amount // 3)] if amount <= open_hold else [open_hold]
                await charge(self._sessions, workspace_id, *amounts)
                self.open[workspace_id] -= sum(amounts)
            case "release":
                await release(self._sessions, workspace_id, open_hold, f"release:{key}")
                self.open[workspace_id] = 0
            case "grant":
                # Some have expired before they are granted: time need not pass for them to expire.
                await grant(self._sessions, workspace_id, amount, self._random.choice([None, -1, 1]), f"grant:{key}")
            case "refund":
                await refund(self._sessions, workspace_id, amount, f"refund:{key}")
            case _ if self._random.random() < 0.5:
                await claw_back(self._sessions, workspace_id, amount, f"clawback:{key}")
            case _:
                await self._sweep.sweep()


@pytest.mark.parametrize("count", [1, 3])
async def test_ledgers_add_up_whatever_many_clients_do_at_once(
    owner: Sessions, sessions: Sessions, platform: Sessions, count: int
) -> None:
    workspaces = [await make_workspace(owner, credit=300) for _ in range(count)]
    sweep = CreditSweep(platform, CreditsSettings(), CollectorRegistry())
    clients = [Client(number, sessions, sweep, workspaces) for number in range(CLIENTS)]

    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.run())

    assert await differences(owner) == []
    for workspace_id in workspaces:
        held = sum(client.open[workspace_id] for client in clients)
        assert (await balance(sessions, workspace_id)).held == held
        await grant(sessions, workspace_id, 1000, days=-1)
        await release(sessions, workspace_id, held)
    await sweep.sweep()
    assert await differences(owner) == []
    async with owner.unscoped() as session:
        assert set((await session.execute(text("SELECT DISTINCT kind FROM credit_entries"))).scalars()) == KINDS


async def test_clients_at_once_never_hold_more_than_there_is(owner: Sessions, sessions: Sessions) -> None:
    workspace_id = await make_workspace(owner, credit=100)

    answers = await asyncio.gather(*(hold(sessions, workspace_id, 7) for _ in range(CLIENTS)), return_exceptions=True)

    assert len([each for each in answers if each is None]) == 100 // 7
    assert all(isinstance(each, InsufficientCredits) for each in answers if each is not None)
    assert (await balance(sessions, workspace_id)).held == 98
    assert await differences(owner) == []


async def test_clients_at_once_with_the_same_key_have_one_effect(owner: Sessions, sessions: Sessions) -> None:
    workspace_id = await make_workspace(owner, credit=100)

    await asyncio.gather(*(grant(sessions, workspace_id, 5, key="grant:1") for _ in range(CLIENTS)))

    assert (await balance(sessions, workspace_id)).balance == 105
    assert await differences(owner) == []
