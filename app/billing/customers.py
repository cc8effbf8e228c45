"""The customer that a workspace is at the payment provider: one, made when somebody first needs it."""

from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from app.billing import customer_repository as repository
from app.billing import wake_repository
from app.billing.errors import SyncPostponed
from app.db import Sessions
from app.providers.errors import Missing, StoredFailure
from app.providers.payments import PayingCustomer, PaymentsApi, every
from workflows import ids

# How far the provider's clock may be from ours.
_SKEW = timedelta(minutes=5)
# Nothing waits longer at a time for what somebody else has to set right.
LONGEST_PARK_SECONDS = 30.0


async def ensure_customer(sessions: Sessions, payments: PaymentsApi, workspace_id: UUID) -> str:
    """The id of the workspace's customer, which is made where there is none: one, whoever asks at the same time, and
    also where an earlier attempt has ended without an answer.

    Raises a ProviderError, Unavailable: then it is to be tried again.
    """
    async with sessions.for_workspace(workspace_id) as session:
        making = await repository.begin(session, workspace_id)
    if making.id is not None:
        return making.id
    # The provider forgets a key after a day, and would make another one with it.
    made = await _find(payments, workspace_id, making.since) if making.is_old else None
    if made is None:
        key = f"{ids.billing_customer(str(workspace_id))}:create:{making.generation}"
        try:
            made = (await payments.create_customer(workspace_id, making.name, key=key)).id
        except StoredFailure:
            made = await _find(payments, workspace_id, making.since)
            if made is None:
                async with sessions.for_workspace(workspace_id) as session:
                    await repository.next_generation(session, workspace_id, making.generation)
                raise
    async with sessions.for_workspace(workspace_id) as session:
        await repository.store(session, workspace_id, made)
        # What came of it before it was known here.
        await wake_repository.make_due(session, workspace_id)
    return made


async def cancel_subscriptions(sessions: Sessions, payments: PaymentsApi, workspace_id: UUID) -> int:
    """End every subscription that the workspace has at the payment provider, at once; how many. Again ends what is
    left. Raises a ProviderError, SyncPostponed, Unavailable."""
    async with sessions.for_workspace(workspace_id) as session:
        customer_id = await repository.customer_id(session, workspace_id)
    if customer_id is None:
        return 0
    ended = 0
    # Who deletes a customer at the provider ends what it paid for.
    if not (await known_customer(payments, customer_id)).is_deleted:
        async for subscription in every(partial(payments.subscriptions, customer_id)):
            if subscription.ended_at is None:
                await payments.cancel_subscription(subscription.id)
                ended += 1
    async with sessions.for_workspace(workspace_id) as session:
        await wake_repository.make_due(session, workspace_id)
    return ended


async def known_customer(payments: PaymentsApi, customer_id: str) -> PayingCustomer:
    """A customer that was made here before. Raises a ProviderError, and SyncPostponed where the provider knows nothing
    of it."""
    try:
        return await payments.find_customer(customer_id)
    except Missing as error:
        # Stripe forgets nobody, also who was deleted: this is another account, or its other mode, and says nothing of
        # what our customers have.
        problem = "knows none of our customers: is the key that of the account which they are in?"
        raise SyncPostponed(f"stripe: {problem}", retry_after=LONGEST_PARK_SECONDS) from error


async def is_customer(sessions: Sessions, workspace_id: UUID) -> bool:
    """Whether the payment provider knows the workspace."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.customer_id(session, workspace_id) is not None


async def _find(payments: PaymentsApi, workspace_id: UUID, since: datetime) -> str | None:
    async for customer in every(partial(payments.customers, since=since - _SKEW)):
        if customer.workspace_id == workspace_id:
            return customer.id
    return None
