"""What a workspace has bought, as people see it: from what Stripe said last, without asking it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.billing import repository
from app.billing.entitlements import Standing, standing
from app.billing.plans import Plan, Plans
from app.billing.repository import StoredInvoice
from app.db import Sessions
from app.plan_limits import repository as plan_limits
from app.settings import BillingSettings


@dataclass(frozen=True, slots=True)
class Billing:
    """`plan` is what the workspace is allowed now, `standing` what follows from its subscriptions: they agree, but for
    the moment until somebody has looked. `synced_at`: when what Stripe had was last stored; None: it never paid."""

    plan: Plan
    standing: Standing
    synced_at: datetime | None


async def get_billing(sessions: Sessions, workspace_id: UUID, plans: Plans, settings: BillingSettings) -> Billing:
    async with sessions.for_workspace(workspace_id) as session:
        named = await plan_limits.plan(session, workspace_id)
        plan = (plans.get(named) if named else None) or plans.free
        customer = await repository.customer(session, workspace_id)
        if customer is None:
            return Billing(plan, Standing(plans.free, "none", None, None), None)
        stands = standing(
            await repository.subscriptions(session, workspace_id),
            await repository.failed_invoices(session, workspace_id),
            plans,
            grace=timedelta(days=settings.grace_days),
            now=customer.now,
        )
        return Billing(plan, stands, customer.synced_at)


async def list_invoices(
    sessions: Sessions, workspace_id: UUID, *, before: tuple[datetime, str] | None, limit: int
) -> Sequence[StoredInvoice]:
    """The newest first; `before` (created at, id) continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.invoice_page(session, workspace_id, before=before, limit=limit)
