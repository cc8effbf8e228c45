"""Pages of the payment provider, on which people buy a plan or manage the one they have. The address of one goes to
whoever asked for it, and nowhere else: it opens the page to everybody who has it.

The API asks and waits; the workflow OpenBillingPage opens the page.
"""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit
from uuid import UUID

from app import polling
from app.audit_log import service as audit_log
from app.auth.permissions import Caller
from app.billing import customer_repository as customers
from app.billing import page_repository as repository
from app.billing.customers import ensure_customer
from app.billing.errors import AlreadySubscribed, NoSubscription
from app.billing.page_repository import Kind, PageRow, Wanted
from app.db import Session, Sessions, in_batches, new_id
from app.errors import Detail, InvalidRequest, NotFound
from app.idempotency import service as idempotency
from app.idempotency.answers import Once, Remembered
from app.outbox import service as outbox
from app.providers.errors import StoredFailure
from app.providers.payments import HostedPage, PaymentsApi
from app.settings import BillingSettings
from app.workspaces import service as workspaces
from workflows import ids

# For as long as the answer to its request may be given again.
KEPT = idempotency.KEPT + repository.LASTS
_BATCH = 1000
_MAX_BATCHES = 10


def check_returns(settings: BillingSettings, **urls: str | None) -> None:
    """Whether people may be sent there from a page: to the origin of the settings' `return_url`, or to one of their
    `return_origins`. Raises InvalidRequest, which names the fields that are not."""
    allowed = {_origin(settings.return_url), *settings.return_origins}
    wrong = [name for name, url in urls.items() if url is not None and _origin(url) not in allowed]
    if wrong:
        raise InvalidRequest(
            "People cannot be sent there.",
            details=[Detail(name, f"must be at {' or '.join(sorted(allowed))}") for name in wrong],
        )


async def open_page(
    sessions: Sessions,
    caller: Caller,
    wanted: Wanted,
    answer: Callable[[PageRow], Remembered],
    *,
    once: Once | None,
    wait_seconds: float,
) -> tuple[Remembered, bool]:
    """Have a page opened and wait for it; what `answer` says of it as it is then, and whether it was asked for before.

    Asked for again it is the same page. Raises NoSuchWorkspace, AlreadySubscribed for a checkout, NoSubscription for a
    portal, IdempotencyInProgress, IdempotencyKeyReused.
    """
    workspace_id = caller.workspace_id
    async with sessions.for_workspace(workspace_id) as session:
        said = await idempotency.replay_or_begin(session, once) if once else None
        is_replay = said is not None
        if said is None:
            said = answer(await _begin(session, caller, wanted))
            # Without the address: there is none yet.
            if once is not None:
                await idempotency.remember(session, once, said)
    look = partial(_find, sessions, workspace_id, wanted.kind, UUID(said.data["id"]))
    page = await polling.until(look, lambda found: found is None or found.status != "pending", seconds=wait_seconds)
    return (said if page is None else answer(page)), is_replay


async def get_page(sessions: Sessions, workspace_id: UUID, kind: Kind, page_id: UUID) -> PageRow:
    """Raises NotFound."""
    page = await _find(sessions, workspace_id, kind, page_id)
    if page is None:
        raise NotFound("The workspace has no such page, or has it no longer.")
    return page


async def open_at_provider(sessions: Sessions, payments: PaymentsApi, workspace_id: UUID, page_id: UUID) -> None:
    """Open the page and keep its address, unless that was done, or given up.

    Raises a ProviderError, NoSuchWorkspace, Unavailable: while it is retryable it is to be tried again.
    """
    async with sessions.for_workspace(workspace_id) as session:
        opening = await repository.to_open(session, workspace_id, page_id)
        # One that is deleted is to pay nothing any more.
        await workspaces.keep_open(session, workspace_id)
    if opening is None:
        return
    customer_id = await ensure_customer(sessions, payments, workspace_id)
    key = f"{ids.billing_page(str(page_id))}:open:{opening.generation}"
    try:
        page = await _open(payments, customer_id, opening.wanted, reference=str(page_id), key=key)
    except StoredFailure:
        # Whether there is one does not matter: nobody has seen it, and it ends by itself.
        async with sessions.for_workspace(workspace_id) as session:
            await repository.next_generation(session, workspace_id, page_id, opening.generation)
        raise
    if opening.wanted.kind == "checkout":
        # Who paid on two of them would have two subscriptions.
        await payments.close_checkouts(customer_id, before=page.id)
    async with sessions.for_workspace(workspace_id) as session:
        await repository.opened(session, workspace_id, page_id, url=page.url, expires_at=page.expires_at)


async def give_up(sessions: Sessions, workspace_id: UUID, page_id: UUID, error: str) -> bool:
    """End without a page, where there is none yet; whether there is none. `error` is the code of why."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.failed(session, workspace_id, page_id, error)


async def sweep(platform_sessions: Sessions) -> int:
    """Delete pages that nobody can ask for any more, a batch a transaction; how many. Raises Unavailable between
    batches."""
    delete = partial(repository.sweep, keep=KEPT, limit=_BATCH)
    return await in_batches(platform_sessions, delete, batch=_BATCH, max_batches=_MAX_BATCHES)


async def _begin(session: Session, caller: Caller, wanted: Wanted) -> PageRow:
    workspace_id, page_id = caller.workspace_id, new_id()
    await workspaces.keep_open(session, workspace_id)
    if wanted.kind == "checkout" and await customers.is_subscribed(session, workspace_id):
        raise AlreadySubscribed("The workspace has a plan; it is changed or cancelled in the portal.")
    if wanted.kind == "portal" and await customers.customer_id(session, workspace_id) is None:
        raise NoSubscription("The workspace has never had a plan: there is nothing to manage yet.")
    await repository.add(session, workspace_id, page_id, wanted)
    await audit_log.record(
        session,
        workspace_id,
        caller,
        f"billing_{wanted.kind}.open",
        (f"{wanted.kind}_session", str(page_id)),
        after={"plan": wanted.plan, "price_id": wanted.price_id} if wanted.kind == "checkout" else None,
    )
    await outbox.start_workflow(
        session,
        workspace_id,
        workflow="OpenBillingPage",
        workflow_id=ids.billing_page(str(page_id)),
        argument={"workspace_id": str(workspace_id), "page_id": str(page_id)},
        summary=f"open a {wanted.kind} page",
        process="billing",
    )
    page = await repository.get(session, workspace_id, page_id, wanted.kind)
    if page is None:
        raise NotFound("The page is gone.")
    return page


async def _find(sessions: Sessions, workspace_id: UUID, kind: Kind, page_id: UUID) -> PageRow | None:
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.get(session, workspace_id, page_id, kind)


async def _open(payments: PaymentsApi, customer_id: str, wanted: Wanted, *, reference: str, key: str) -> HostedPage:
    if wanted.price_id is None or wanted.success_url is None:
        return await payments.open_portal(customer_id, return_url=wanted.return_url, key=key)
    return await payments.open_checkout(
        customer_id,
        wanted.price_id,
        success_url=wanted.success_url,
        cancel_url=wanted.return_url,
        reference=reference,
        key=key,
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
