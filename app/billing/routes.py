"""Plans, and what a workspace has bought, over HTTP."""

from typing import Annotated

from fastapi import APIRouter

from app.auth.dependencies import any_caller, caller
from app.auth.permissions import Caller, Person
from app.billing import service
from app.billing.configured import PlansDep
from app.billing.errors import BillingNotConfigured
from app.billing.schemas import BillingOut, InvoiceCursor, InvoiceOut, PlanOut
from app.deps import SessionsDep, SettingsDep
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.errors import Unavailable
from app.pagination import CursorText, Limit, Page, page_of

router = APIRouter(tags=["Billing"], responses=errors(BillingNotConfigured, Unavailable))

BillingReader = Annotated[Caller, caller("billing:read")]


@router.get("/billing/plans", operation_id="list_plans", summary="List the plans")
async def list_plans(
    _: Annotated[Caller | Person, any_caller("billing:read")], plans: PlansDep
) -> ListEnvelope[PlanOut]:
    """What can be had here, from the least to the most, and what each allows."""
    return list_envelope(Page([PlanOut.of(plan) for plan in plans], None))


@router.get("/workspaces/{workspace_id}/billing", operation_id="get_billing", summary="Get a workspace's billing")
async def get_billing(
    caller: BillingReader, plans: PlansDep, sessions: SessionsDep, settings: SettingsDep
) -> Envelope[BillingOut]:
    """Its plan, its subscription, and what it is allowed."""
    found = await service.get_billing(sessions, caller.workspace_id, plans, settings.billing)
    return envelope(BillingOut.of(found, plans))


@router.get(
    "/workspaces/{workspace_id}/billing/invoices", operation_id="list_invoices", summary="List a workspace's invoices"
)
async def list_invoices(
    caller: BillingReader, _: PlansDep, sessions: SessionsDep, limit: Limit = 50, cursor: CursorText = None
) -> ListEnvelope[InvoiceOut]:
    """Newest first, with the credits that each granted."""
    after = InvoiceCursor.decode(cursor) if cursor is not None else None
    before = (after.created_at, after.id) if after is not None else None
    invoices = await service.list_invoices(sessions, caller.workspace_id, before=before, limit=limit + 1)
    page = page_of(
        invoices, limit, lambda invoice: InvoiceCursor(created_at=invoice.facts.created_at, id=invoice.facts.id)
    )
    return list_envelope(page.map(InvoiceOut.of))
