"""Pages of the payment provider over HTTP: where a plan is bought, and where it is managed."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.billing import pages
from app.billing.configured import Configured, PlansDep
from app.billing.errors import AlreadySubscribed, BillingNotConfigured, NoSubscription
from app.billing.page_repository import PageRow, Wanted
from app.billing.page_schemas import CheckoutIn, CheckoutSessionOut, PortalIn, PortalSessionOut
from app.billing.plans import Plans
from app.db import Sessions
from app.deps import BODY_ERRORS, SessionsDep, SettingsDep, json_body, json_request
from app.envelope import Envelope, envelope, errors
from app.errors import Detail, InvalidRequest, Unavailable
from app.idempotency import headers as idempotency
from app.idempotency.answers import Once, Remembered
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import once

router = APIRouter(
    prefix="/workspaces/{workspace_id}/billing", tags=["Billing"], responses=errors(BillingNotConfigured, Unavailable)
)

# To see a page is to have its address, by which a plan is bought or cancelled.
BillingWriter = Annotated[Caller, caller("billing:write")]

WaitSeconds = Annotated[float, Query(ge=0, le=30, description="How long to wait for the page.")]


@router.post(
    "/checkout-sessions",
    operation_id="open_checkout_session",
    summary="Open a page on which a plan is bought",
    status_code=201,
    response_model=Envelope[CheckoutSessionOut],
    responses={
        202: {"model": Envelope[CheckoutSessionOut], "description": "It takes longer; `Location` shows the page."},
        **errors(AlreadySubscribed, IdempotencyInProgress, IdempotencyKeyReused, *BODY_ERRORS),
    },
    openapi_extra=json_request(CheckoutIn),
)
async def open_checkout_session(
    request: Request,
    caller: BillingWriter,
    plans: PlansDep,
    body: Annotated[CheckoutIn, json_body(CheckoutIn)],
    sessions: SessionsDep,
    settings: SettingsDep,
    wait_seconds: WaitSeconds = 10,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Wait until Stripe has opened it. 201 once that is decided: `status` says whether it is `open`.

    With the same `Idempotency-Key` the same page is shown again, for as long as it is open.
    """
    pages.check_returns(settings.billing, success_url=body.success_url, cancel_url=body.cancel_url)
    wanted = Wanted(
        "checkout",
        return_url=body.cancel_url or settings.billing.return_url,
        plan=body.plan,
        price_id=_price_of(plans, body),
        success_url=body.success_url or settings.billing.return_url,
    )
    first = _once(caller, wanted, body, idempotency_key)
    return await _open(request, sessions, caller, wanted, CheckoutSessionOut, first, wait_seconds)


@router.get(
    "/checkout-sessions/{checkout_session_id}",
    operation_id="get_checkout_session",
    summary="Get a page on which a plan is bought",
)
async def get_checkout_session(
    caller: BillingWriter, _: Configured, checkout_session_id: UUID, sessions: SessionsDep
) -> Envelope[CheckoutSessionOut]:
    """Its address, once it is open and until it expires. It is found for eight days."""
    page = await pages.get_page(sessions, caller.workspace_id, "checkout", checkout_session_id)
    return envelope(CheckoutSessionOut.of(page))


@router.post(
    "/portal-sessions",
    operation_id="open_portal_session",
    summary="Open a page on which the plan is managed",
    status_code=201,
    response_model=Envelope[PortalSessionOut],
    responses={
        202: {"model": Envelope[PortalSessionOut], "description": "It takes longer; `Location` shows the page."},
        **errors(NoSubscription, IdempotencyInProgress, IdempotencyKeyReused, *BODY_ERRORS),
    },
    openapi_extra=json_request(PortalIn),
)
async def open_portal_session(
    request: Request,
    caller: BillingWriter,
    _: Configured,
    body: Annotated[PortalIn, json_body(PortalIn)],
    sessions: SessionsDep,
    settings: SettingsDep,
    wait_seconds: WaitSeconds = 10,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Wait until Stripe has opened it: there a plan is changed or cancelled, and invoices are paid and kept.

    201 once that is decided: `status` says whether it is `open`. With the same `Idempotency-Key` the same page is
    shown again, for as long as it is open.
    """
    pages.check_returns(settings.billing, return_url=body.return_url)
    wanted = Wanted("portal", return_url=body.return_url or settings.billing.return_url)
    first = _once(caller, wanted, body, idempotency_key)
    return await _open(request, sessions, caller, wanted, PortalSessionOut, first, wait_seconds)


@router.get(
    "/portal-sessions/{portal_session_id}",
    operation_id="get_portal_session",
    summary="Get a page on which the plan is managed",
)
async def get_portal_session(
    caller: BillingWriter, _: Configured, portal_session_id: UUID, sessions: SessionsDep
) -> Envelope[PortalSessionOut]:
    """Its address, once it is open and until it expires. It is found for eight days."""
    page = await pages.get_page(sessions, caller.workspace_id, "portal", portal_session_id)
    return envelope(PortalSessionOut.of(page))


def _once(caller: Caller, wanted: Wanted, body: BaseModel, idempotency_key: str | None) -> Once | None:
    route = f"POST {router.prefix}/{wanted.kind}-sessions"
    return once(caller.workspace_id, caller.id, route, idempotency_key, body.model_dump(mode="json"))


async def _open(
    request: Request,
    sessions: Sessions,
    caller: Caller,
    wanted: Wanted,
    shape: type[PortalSessionOut],
    first: Once | None,
    wait_seconds: float,
) -> Response:
    def answer(page: PageRow) -> Remembered:
        ids = {"workspace_id": str(caller.workspace_id), f"{page.kind}_session_id": str(page.id)}
        place = request.url_for(f"get_{page.kind}_session", **ids)
        status = 202 if page.status == "pending" else 201
        return Remembered(status, {"Location": place.path}, shape.of(page).model_dump(mode="json"))

    said, replayed = await pages.open_page(sessions, caller, wanted, answer, once=first, wait_seconds=wait_seconds)
    return idempotency.answer(said, replayed=replayed)


def _price_of(plans: Plans, wanted: CheckoutIn) -> str:
    plan = plans.get(wanted.plan)
    if plan is None or not plan.prices:
        sold = ", ".join(each.name for each in plans if each.prices)
        raise InvalidRequest("There is no such plan to buy.", details=[Detail("plan", f"must be one of {sold}")])
    for price in plan.prices:
        if price.interval == wanted.interval:
            return price.id
    intervals = ", ".join(price.interval for price in plan.prices)
    raise InvalidRequest(
        f"The plan {plan.name} is not sold by the {wanted.interval}.",
        details=[Detail("interval", f"must be one of {intervals}")],
    )
