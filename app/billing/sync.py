"""One look at a customer: read all that Stripe has, and apply it in one transaction.

An event says no more than that there is something to look at, so it matters neither in which order events come nor how
often, nor which of them are lost. What was read is applied only while nobody has begun to read later: of two that look
at the same time, say because one was taken for dead, the later one is right.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from random import uniform
from typing import TypeVar
from uuid import UUID

from app.billing import event_repository as events
from app.billing import syncs
from app.billing import wake_repository as repository
from app.billing.apply import apply
from app.billing.customers import LONGEST_PARK_SECONDS, known_customer
from app.billing.errors import SyncPostponed
from app.billing.plans import Plans
from app.billing.state import CustomerState
from app.billing.wake_repository import Look
from app.db import Sessions
from app.providers.errors import CircuitOpen, Missing, ProviderError, RateLimited
from app.providers.payments import Page, PayingCustomer, PaymentsApi, every
from app.settings import BillingSettings
from app.workspaces import service as workspaces
from workflows.contracts.billing import Synced

# A parked activity cannot be woken, so none parks for longer.
# What is to change by itself at a time that has passed, and has not: Stripe takes its time, and tells us of it.
_PAUSE = timedelta(minutes=5)

Item = TypeVar("Item")


async def sync(
    sessions: Sessions,
    payments: PaymentsApi,
    plans: Plans,
    settings: BillingSettings,
    workspace_id: UUID,
    *,
    low_threshold: int,
) -> Synced:
    """Have what Stripe has of the workspace's customer, where somebody is to look at that now.

    Raises a ProviderError with the seconds to wait where Stripe cannot be asked now, SyncPostponed where it refuses
    what was asked, Unavailable without a database; then it is still to be done.
    """
    async with sessions.for_workspace(workspace_id) as session:
        look = await repository.take(session, workspace_id)
        if look is None:
            return Synced(applied=False, events=0, is_due=False)
        if look.customer_id is not None:
            # What came while it was being stored whose customer this is.
            await events.adopt(session, workspace_id, look.customer_id)
        heard = await events.pending(session, workspace_id)
    state = await _read(payments, look)
    async with sessions.for_workspace(workspace_id) as session:
        if not await repository.lock(session, workspace_id, look.fence):
            return Synced(applied=False, events=0, is_due=False)
        await events.mark_applied(session, workspace_id, heard)
        next_look_at = None
        if state is not None:
            applied = await apply(session, workspace_id, state, plans, settings, low_threshold=low_threshold)
            next_look_at = applied.next_look_at
            if any(each.ended_at is None for each in state.subscriptions):
                # Bought on a page that was open when the workspace was deleted: it must not go on paying.
                await workspaces.close_once_more(session, workspace_id)
        await syncs.finish(session, workspace_id)
        is_due = await repository.conclude(session, workspace_id, next_look_at=next_look_at, pause=_PAUSE)
    return Synced(applied=True, events=len(heard), is_due=is_due)


async def _read(payments: PaymentsApi, look: Look) -> CustomerState | None:
    """None where there is no customer yet."""
    if look.customer_id is None:
        return None
    try:
        return await _state(payments, look.customer_id)
    except (CircuitOpen, RateLimited) as error:
        # So that customers that wait for the same thing do not all come back in the same moment.
        error.retry_after = min((error.retry_after or 1.0) * uniform(1, 1.3), LONGEST_PARK_SECONDS)  # noqa: S311  # jitter
        raise
    except ProviderError as error:
        if error.retryable:
            raise
        # Nothing that a workspace could do anything about: what it has stays as it is until somebody mends it.
        raise SyncPostponed(error.message, retry_after=LONGEST_PARK_SECONDS) from error


async def _state(payments: PaymentsApi, customer_id: str) -> CustomerState:
    customer = await known_customer(payments, customer_id)
    return CustomerState(
        customer,
        await _all(payments.subscriptions, customer),
        await _all(payments.invoices, customer),
        await _all(payments.payments, customer),
    )


async def _all(pages: Callable[..., Awaitable[Page[Item]]], customer: PayingCustomer) -> Sequence[Item]:
    """All that is listed; of a customer who was deleted, what still is."""
    items: list[Item] = []
    try:
        async for item in every(partial(pages, customer.id)):
            items.append(item)  # noqa: PERF401  # a comprehension that fails keeps nothing
    except Missing as error:
        if not customer.is_deleted:
            # Half a list would end what stands in the other half.
            raise SyncPostponed(f"{error.message}: the list became another while it was read", retry_after=1) from error
    return items
