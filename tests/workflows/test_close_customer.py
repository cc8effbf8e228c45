"""CloseWorkspace of a workspace that pays: it does not go on paying, whatever the payment provider does meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from app.providers.errors import CredentialRejected, Outage
from app.settings import OutboxSettings
from tests.app.billing.syncing import Syncing, subscription
from tests.builders import make_job
from tests.fakes import FakeSource
from tests.fakes_payments import FakePayments, works
from tests.servers import Database
from tests.stack import Stack, open_stack
from tests.workflows.checkout_scenes import Asking

DOMAINS = [f"company-{n}.com" for n in range(1, 11)]


@pytest.fixture
async def asking(database: Database, temporal_server: str) -> AsyncIterator[Asking]:
    async with open_stack(database, temporal_server, [FakeSource()], payments=FakePayments()) as stack:
        yield Asking(stack)


def is_cancelled(asking: Asking, subscription_id: str = "sub_1") -> bool:
    return asking.payments.subscriptions_by_id[subscription_id].ended_at is not None


async def until_asked(asking: Asking, method: str, times: int = 1) -> None:
    async with asyncio.timeout(60):
        while len(asking.payments.made(method)) < times:
            await asyncio.sleep(0.02)


async def test_what_a_deleted_workspace_pays_for_is_cancelled_before_it_is_closed(asking: Asking):
    await asking.become_customer()
    async with asking.stack.worker():
        closing = await asking.delete_workspace()
        await asking.until_closed()
        assert is_cancelled(asking)
        assert await closing.result() == {"held": 0}


async def test_a_payment_provider_that_is_away_keeps_nothing_else_from_ending(asking: Asking):
    await asking.become_customer()
    source = FakeSource(latency=0.2)
    asking.payments.before = lambda _: Outage("stripe", "no connection can be made")
    async with asking.stack.worker(source):
        stack = asking.stack
        job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source], chunk=1, window=1)
        await stack.until(job_id, lambda job: job["matched"] > 0)
        await store_credential(stack)
        await asking.delete_workspace()
        assert (await stack.until_finished(job_id))["status"] == "cancelled"
        await until_asked(asking, "find_customer", 2)
        assert await credentials(stack) == 0
        assert not await asking.is_closed()
        asking.payments.before = works
        await asking.until_closed()
    assert is_cancelled(asking)


async def test_a_closing_that_ends_while_it_waits_for_the_provider_is_started_again(
    database: Database, temporal_server: str
):
    outbox = OutboxSettings(poll_seconds=0.2, reconcile_every_seconds=0.2, stale_after_seconds=1)
    payments = FakePayments()
    async with open_stack(
        database, temporal_server, [FakeSource()], payments=payments, outbox_settings=outbox
    ) as stack:
        asking = Asking(stack)
        await asking.become_customer()
        # Until somebody has set right the key to the provider.
        payments.before = lambda _: CredentialRejected("stripe", "status 401")
        async with stack.worker():
            await asking.delete_workspace()
            await until_asked(asking, "find_customer", 2)
            assert not await asking.is_closed()
            payments.before = works
            await asking.until_closed()
        assert is_cancelled(asking)


async def test_where_no_plans_are_sold_any_more_a_customer_of_before_is_closed(
    database: Database, temporal_server: str
):
    payments = FakePayments()
    async with open_stack(database, temporal_server, [FakeSource()], payments=payments) as stack:
        await Asking(stack).become_customer()
        unsold = Asking(replace(stack, resources=replace(stack.resources, payments=None)))
        async with unsold.stack.worker():
            await unsold.delete_workspace()
            await unsold.until_closed()
    assert payments.calls == []


async def test_what_is_bought_on_a_page_that_outlived_the_workspace_is_cancelled_too(asking: Asking):
    customer_id = await asking.become_customer()
    async with asking.stack.worker():
        await asking.delete_workspace()
        await asking.until_closed()
        asking.payments.put(subscription(customer_id, 2))
        stack = asking.stack
        platform = stack.resources.platform_sessions
        await Syncing(stack.sessions, platform, stack.owner, asking.payments, stack.workspace_id, customer_id).hear()
        async with asyncio.timeout(60):
            while not is_cancelled(asking, "sub_2"):
                await asyncio.sleep(0.02)
        await asking.until_closed()


async def store_credential(stack: Stack) -> None:
    query = """
        INSERT INTO provider_credentials (workspace_id, provider, key_id, wrapped_key, ciphertext, hint)
        VALUES (:workspace_id, 'hunter', '1', 'wrapped', 'sealed', 'abcd')
    """
    async with stack.sessions.for_workspace(stack.workspace_id) as session:
        await session.execute(text(query), {"workspace_id": stack.workspace_id})


async def credentials(stack: Stack) -> int:
    async with stack.sessions.for_workspace(stack.workspace_id) as session:
        return int((await session.execute(text("SELECT count(*) FROM provider_credentials"))).scalar_one())
