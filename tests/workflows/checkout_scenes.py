"""Pages of a payment provider in memory, asked for as by the API; and the paths of OpenBillingPage, and of
CloseWorkspace with it, for record_histories."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from temporalio.client import WorkflowHandle

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.billing import pages
from app.billing.page_repository import PageRow, Wanted
from app.idempotency.answers import Remembered
from app.providers.errors import CredentialRejected
from app.providers.payments import PayingCustomer
from app.workspaces.service import delete_workspace
from tests.app.billing.stripe_events import add_customer
from tests.app.billing.syncing import subscription
from tests.fakes import FakeSource
from tests.fakes_payments import FakePayments
from tests.stack import Stack
from workflows import ids

BACK = "http://127.0.0.1:8000/back"
STARTER = Wanted("checkout", BACK, plan="starter", price_id="price_starter_monthly", success_url=BACK)
PORTAL = Wanted("portal", BACK)


@dataclass(frozen=True)
class Asking:
    """The owner of a stack's workspace."""

    stack: Stack

    @property
    def payments(self) -> FakePayments:
        payments = self.stack.resources.payments
        assert isinstance(payments, FakePayments)
        return payments

    async def ask(self, wanted: Wanted = STARTER, *, wait_seconds: float = 20) -> PageRow:
        """Have a page opened and wait for it, as the API does."""
        told: list[PageRow] = []

        def answer(page: PageRow) -> Remembered:
            told.append(page)
            return Remembered(201, {}, {"id": str(page.id)})

        await pages.open_page(self.stack.sessions, self._owner(), wanted, answer, once=None, wait_seconds=wait_seconds)
        return told[-1]

    def workflow(self, page: PageRow) -> WorkflowHandle[Any, Any]:
        return self.stack.client.get_workflow_handle(ids.billing_page(str(page.id)))

    async def become_customer(self) -> str:
        """At Stripe, with a subscription that goes on."""
        customer_id = f"cus_{self.stack.workspace_id.hex}"
        async with self.stack.owner.unscoped() as session:
            await add_customer(session, self.stack.workspace_id, customer_id)
        self.payments.put(PayingCustomer(customer_id, self.stack.workspace_id), subscription(customer_id))
        return customer_id

    async def delete_workspace(self) -> WorkflowHandle[Any, Any]:
        await delete_workspace(self.stack.sessions, self._owner())
        return self.stack.client.get_workflow_handle(ids.close_workspace(str(self.stack.workspace_id)))

    async def is_closed(self) -> bool:
        async with self.stack.sessions.for_workspace(self.stack.workspace_id) as session:
            found = (await session.execute(text("SELECT closed_at FROM workspaces"))).scalar_one()
        return found is not None

    async def until_closed(self, *, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not await self.is_closed():
                await asyncio.sleep(0.02)

    def _owner(self) -> Caller:
        return Caller(self.stack.workspace_id, ROLE_PERMISSIONS["owner"], "owner", user_id=_OWNER)


_OWNER = uuid4()


async def page_opened(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    return await _asked(stack)


async def page_refused(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    Asking(stack).payments.before = lambda _: CredentialRejected("stripe", "status 401")
    return await _asked(stack)


async def _asked(stack: Stack) -> str:
    asking = Asking(stack)
    async with stack.worker():
        handle = asking.workflow(await asking.ask())
        await handle.result()
    return handle.id


async def closed_as_a_customer(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    await Asking(stack).become_customer()
    return await _closed(stack)


async def closed_as_no_customer(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    return await _closed(stack)


async def _closed(stack: Stack) -> str:
    asking = Asking(stack)
    async with stack.worker():
        closing = await asking.delete_workspace()
        await asking.until_closed()
        await closing.result()
    return closing.id


CHECKOUT_SCENES = [page_opened, page_refused, closed_as_a_customer, closed_as_no_customer]
