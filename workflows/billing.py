"""The sync of one customer with Stripe, for as long as something is due."""

import asyncio

from temporalio import workflow

from workflows import options
from workflows.attributes import PROVIDER
from workflows.contracts.billing import BillingActivities, CustomerRef, CustomerSynced, Synced

# Temporal takes 10,000 signals of a run and then no more; and what they are replayed in, it must be done with in 2 s.
_MOST_WAKES = 200
# A look takes a second or two. One that takes longer waits for Stripe, or for a worker that calls it.
_REMARKABLE_SECONDS = 5


@workflow.defn(name="SyncCustomer")
class SyncCustomer:
    """Read what Stripe has and apply it, until nothing is due.

    A wake carries nothing: what is due stands in PostgreSQL, and one that came while there was a look is another look.
    There is one run of a customer, so that its events are applied one look after the other. What becomes due between
    the last look and the end, or at its time, finds nobody who has seen it, and so the waker starts a run.
    """

    def __init__(self) -> None:
        self._wakes = 0

    @workflow.run
    async def run(self, customer: CustomerRef) -> CustomerSynced:
        syncs = events = 0
        while True:
            seen = self._wakes
            synced = await self._sync(customer)
            syncs += synced.applied
            events += synced.events
            if self._wakes >= _MOST_WAKES or workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(customer)
            if self._wakes == seen and not synced.is_due:
                return CustomerSynced(syncs, events)

    @workflow.signal
    def wake(self) -> None:
        self._wakes += 1

    async def _sync(self, customer: CustomerRef) -> Synced:
        """One look; whom it waits for is shown to operators, and changes nothing."""
        look: asyncio.Task[Synced] = workflow.start_activity_method(
            BillingActivities.sync, customer, summary="stripe", **options.provider("stripe")
        )
        await workflow.wait([look], timeout=_REMARKABLE_SECONDS)
        if look.done():
            return look.result()
        workflow.upsert_search_attributes([PROVIDER.value_set(["stripe"])])
        workflow.set_current_details(
            "It waits for stripe, or for a worker that calls it; the pending activity says why, and when it tries next."
        )
        try:
            return await look
        finally:
            workflow.upsert_search_attributes([PROVIDER.value_unset()])
            workflow.set_current_details("")
