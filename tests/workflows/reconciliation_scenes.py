"""The paths of ReconcileBilling and ReportUsage, for record_histories."""

from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from app.providers.errors import CircuitOpen, InvalidQuery
from tests.app.billing.charging import charge
from tests.app.billing.syncing import payment
from tests.fakes import FakeSource
from tests.fakes_payments import Call
from tests.stack import Stack
from tests.workflows.billing_scenes import Scene
from workflows import options
from workflows.attributes import PROCESS
from workflows.contracts.reconciliation import Reconciliation
from workflows.contracts.usage import UsageReport


async def reconciled_what_nobody_told_of(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    scene = await Scene.on(stack)
    scene.buy()
    return await _ended(await start_reconciliation(stack), stack)


async def reconciled_with_nothing_to_correct(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    await Scene.on(stack)
    return await _ended(await start_reconciliation(stack), stack)


async def reconciled_while_a_customer_could_not_be_read(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    """The hour for which it waits is skipped."""
    scene = await Scene.on(stack)
    await owe_a_refund(scene)
    hang_after_the_last_list(scene)
    async with stack.worker():
        handle = await start_reconciliation(stack)
        await handle.result()
        scene.payments.gate.set()
    return handle.id


async def reported_usage(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    scene = await Scene.on(stack)
    await charge(scene.syncing, 5)
    return await _ended(await start_report(stack), stack)


async def reported_usage_that_was_refused(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    scene = await Scene.on(stack)
    await charge(scene.syncing, 5)
    scene.payments.before = lambda _: InvalidQuery("stripe", "no such meter")
    return await _ended(await start_report(stack), stack)


async def left_usage_to_the_next_report(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    """The circuit would be open for longer than until then."""
    scene = await Scene.on(stack)
    await charge(scene.syncing, 5)
    scene.payments.before = lambda _: CircuitOpen("stripe", "the circuit is open", retry_after=3000)
    return await _ended(await start_report(stack), stack)


async def start_reconciliation(stack: Stack, *, everything: bool = False) -> WorkflowHandle[Any, Any]:
    return await _start(stack, "ReconcileBilling", Reconciliation(everything))


async def start_report(stack: Stack) -> WorkflowHandle[Any, Any]:
    return await _start(stack, "ReportUsage", UsageReport())


async def owe_a_refund(scene: Scene) -> None:
    """What the customer bought is known; that money went back is not."""
    scene.buy()
    await scene.syncing.execute("UPDATE billing_customers SET due_at = now()")
    await scene.syncing.sync()
    scene.payments.put(payment(scene.syncing.customer_id, refunded=4900))


def hang_after_the_last_list(scene: Scene) -> None:
    """From the first page of all payments on no call is answered; it is itself."""

    def before(call: Call) -> None:
        if call.method == "payments" and call.about is None:
            scene.payments.gate.clear()

    scene.payments.before = before


async def _start(stack: Stack, workflow: str, argument: object) -> WorkflowHandle[Any, Any]:
    """As the schedule starts it."""
    prefix = stack.resources.settings.temporal.task_queue_prefix
    return await stack.client.start_workflow(
        workflow,
        argument,
        id=f"{prefix}{workflow}-{uuid4().hex[:8]}",
        task_queue=prefix + options.WORKFLOWS,
        task_timeout=options.WORKFLOW_TASK_TIMEOUT,
        search_attributes=TypedSearchAttributes([SearchAttributePair(PROCESS, "billing")]),
    )


async def _ended(handle: WorkflowHandle[Any, Any], stack: Stack) -> str:
    async with stack.worker():
        await handle.result()
    return handle.id


RECONCILIATION_SCENES = [
    reconciled_what_nobody_told_of,
    reconciled_with_nothing_to_correct,
    reconciled_while_a_customer_could_not_be_read,
    reported_usage,
    reported_usage_that_was_refused,
    left_usage_to_the_next_report,
]
