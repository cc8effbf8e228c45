"""A workspace that is a customer of Stripe's on a stack, and the paths of SyncCustomer, for record_histories."""

import asyncio
from dataclasses import dataclass
from typing import Any, Self

from temporalio.client import WorkflowHandle

from app.billing.reconcile import DueCustomers
from app.outbox.waker import Waker
from app.providers.errors import CircuitOpen
from app.providers.payments import PayingCustomer
from tests.app.billing.stripe_events import add_customer
from tests.app.billing.syncing import Syncing, invoice, subscription
from tests.fakes import FakeSource
from tests.fakes_payments import FakePayments
from tests.stack import Stack
from workflows import ids


@dataclass(frozen=True)
class Scene:
    """A stack whose workspace is a customer of Stripe's."""

    stack: Stack
    syncing: Syncing

    @classmethod
    async def on(cls, stack: Stack) -> Self:
        """On a stack whose payment provider is one in memory."""
        payments = stack.resources.payments
        assert isinstance(payments, FakePayments)
        customer_id = f"cus_{stack.workspace_id.hex}"
        payments.put(PayingCustomer(customer_id, stack.workspace_id))
        async with stack.owner.unscoped() as session:
            await add_customer(session, stack.workspace_id, customer_id)
        platform = stack.resources.platform_sessions
        return cls(stack, Syncing(stack.sessions, platform, stack.owner, payments, stack.workspace_id, customer_id))

    @property
    def payments(self) -> FakePayments:
        return self.syncing.payments

    @property
    def workflow_id(self) -> str:
        return ids.billing_customer(str(self.stack.workspace_id))

    @property
    def workflow(self) -> WorkflowHandle[Any, Any]:
        return self.stack.client.get_workflow_handle(self.workflow_id)

    def buy(self) -> None:
        self.payments.put(subscription(self.syncing.customer_id), invoice(self.syncing.customer_id))

    async def wake(self) -> None:
        """Wake who is due, as the worker of another process does."""
        resources = self.stack.resources
        waker = Waker(DueCustomers(), resources.platform_sessions, resources.temporal, resources.settings.temporal)
        while not await waker.wake_waiting():
            await asyncio.sleep(0.02)

    async def until_applied(self, *, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while {*await self.syncing.events()} != {"applied"}:
                await asyncio.sleep(0.02)

    async def until_asked(self, calls: int) -> None:
        async with asyncio.timeout(60):
            while len(self.payments.calls) < calls:
                await asyncio.sleep(0.02)

    async def waits_for(self) -> Any:
        """The providers that the latest run waits for, as it is listed."""
        found = [run async for run in self.stack.client.list_workflows(f"WorkflowId = '{self.workflow_id}'")]
        return found[0].search_attributes.get("Provider") if found else None


async def synced_after_an_event(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    scene = await Scene.on(stack)
    scene.buy()
    async with stack.worker():
        await scene.syncing.hear()
        return await _ended(scene)


async def synced_again_for_what_came_meanwhile(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    scene = await Scene.on(stack)
    async with stack.worker():
        scene.payments.gate.clear()
        await scene.syncing.hear()
        await scene.until_asked(1)
        await scene.syncing.hear()
        await scene.wake()
        scene.payments.gate.set()
        return await _ended(scene)


async def waited_for_the_payment_provider(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    scene = await Scene.on(stack)
    scene.payments.before = lambda _: CircuitOpen("stripe", "the circuit is open", retry_after=1)
    async with stack.worker():
        await scene.syncing.hear()
        while await scene.waits_for() != ["stripe"]:
            await asyncio.sleep(0.05)
        scene.payments.before = lambda _: None
        return await _ended(scene)


async def woken_a_thousand_times_for_a_customer(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    """It goes on as another run."""
    scene = await Scene.on(stack)
    await scene.syncing.hear()
    await scene.wake()
    for _ in range(10):
        await asyncio.gather(*(scene.workflow.signal("wake") for _ in range(100)))
    async with stack.worker():
        return await _ended(scene)


async def _ended(scene: Scene) -> str:
    await scene.until_applied()
    await scene.workflow.result()
    return scene.workflow_id


BILLING_SCENES = [
    synced_after_an_event,
    synced_again_for_what_came_meanwhile,
    waited_for_the_payment_provider,
    woken_a_thousand_times_for_a_customer,
]
