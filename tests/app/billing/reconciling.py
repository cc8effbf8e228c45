"""Reconciliations of a Stripe in memory, for tests: run in the test's own process, with a look at each customer in
place of its workflow."""

from uuid import UUID

from sqlalchemy import text

from app.billing import reconciliation
from app.billing.plans import load_plans
from app.billing.reconciliation import Comparison
from app.billing.sync import sync
from app.db import new_id
from app.settings import BillingSettings
from tests.app.billing.syncing import Syncing
from tests.fakes_payments import FakePayments
from workflows.contracts.reconciliation import Reconciled, ReconciliationRef


def comparison(scene: Syncing) -> Comparison:
    return Comparison(scene.sessions, scene.platform, scene.payments)


async def begun(scene: Syncing, *, everything: bool = False) -> ReconciliationRef:
    ref = ReconciliationRef(str(new_id()), everything)
    await reconciliation.begin(scene.platform, ref)
    return ref


async def finished(scene: Syncing, ref: ReconciliationRef) -> Reconciled:
    """Look at whom it made due, and end it."""
    await look_at_all(scene)
    assert (await reconciliation.corrections(scene.platform, ref)).running == 0
    return await reconciliation.finish(scene.platform, ref)


async def reconcile(scene: Syncing, *, everything: bool = False) -> Reconciled:
    ref = await begun(scene, everything=everything)
    while (await comparison(scene).go_on(ref)).list is not None:
        pass
    return await finished(scene, ref)


async def look_at_all(scene: Syncing) -> None:
    """As the workflows of the customers that are due do."""
    async with scene.platform.unscoped() as session:
        due = await session.execute(
            text("SELECT workspace_id FROM billing_customers WHERE due_at <= now() AND seen_at IS DISTINCT FROM due_at")
        )
        workspace_ids: list[UUID] = list(due.scalars())
    for workspace_id in workspace_ids:
        await sync(scene.sessions, scene.payments, load_plans(None), BillingSettings(), workspace_id, low_threshold=0)


def asked(payments: FakePayments) -> list[str]:
    """The lists of all customers that were asked for, page by page."""
    return [
        call.method
        for call in payments.calls
        if call.about is None and call.method in ("customers", "subscriptions", "invoices", "payments", "events")
    ]
