"""The comparison of everything that we have with everything that the payment provider has, started by a schedule."""

from datetime import timedelta

from temporalio import workflow

from workflows import options
from workflows.attributes import OUTCOME
from workflows.contracts.reconciliation import (
    Compared,
    Corrections,
    Reconciled,
    Reconciliation,
    ReconciliationActivities,
    ReconciliationRef,
)

# Between two looks whether all is corrected: a quarter of the time that has passed, so that it is seen soon after, and
# by few looks.
_FIRST_PAUSE = timedelta(seconds=1)
_LONGER = 1.25
_LONGEST_PAUSE = timedelta(minutes=5)
# What is not corrected by then is not forgotten: each workspace has its own workflow, which goes on.
_LONGEST_WAIT = timedelta(hours=1)


@workflow.defn(name="ReconcileBilling")
class ReconcileBilling:
    """Compare Stripe's lists with our rows, page by page; have each workspace in which something differs compared by
    its own workflow, and wait until those have ended."""

    @workflow.run
    async def run(self, wanted: Reconciliation) -> Reconciled:
        ref = ReconciliationRef(str(workflow.uuid4()), wanted.everything)
        await workflow.execute_activity_method(
            ReconciliationActivities.begin, ref, summary="begin", **options.database()
        )
        while (await self._compare(ref)).list is not None:
            pass
        await self._until_corrected(ref)
        reconciled: Reconciled = await workflow.execute_activity_method(
            ReconciliationActivities.finish, ref, summary="finish", **options.database()
        )
        outcome = "unfinished" if reconciled.unfinished else "different" if reconciled.differences else "same"
        workflow.upsert_search_attributes([OUTCOME.value_set(outcome)])
        return reconciled

    async def _compare(self, ref: ReconciliationRef) -> Compared:
        compared: Compared = await workflow.execute_activity_method(
            ReconciliationActivities.compare, ref, summary="compare", **options.provider("stripe")
        )
        return compared

    async def _until_corrected(self, ref: ReconciliationRef) -> None:
        until, pause = workflow.now() + _LONGEST_WAIT, _FIRST_PAUSE
        while await self._running(ref) and workflow.now() < until:
            await workflow.sleep(pause, summary="until all is corrected")
            pause = min(_LONGER * pause, _LONGEST_PAUSE)

    async def _running(self, ref: ReconciliationRef) -> int:
        corrections: Corrections = await workflow.execute_activity_method(
            ReconciliationActivities.corrections, ref, summary="corrections", **options.database()
        )
        return corrections.running
