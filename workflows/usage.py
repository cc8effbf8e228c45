"""The report of what workspaces used to the payment provider, started by a schedule every hour."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows import options
from workflows.attributes import OUTCOME
from workflows.contracts.usage import Closed, Reported, UsageActivities, UsageReport, UsageReported, Workspaces


@workflow.defn(name="ReportUsage")
class ReportUsage:
    """Sum up what each workspace was charged since the last time, then report all that is not reported yet.

    Where Stripe is away for long it ends without: the next one sums up another hour, and reports both.
    """

    @workflow.run
    async def run(self, _: UsageReport) -> UsageReported:
        closed = await self._close()
        reported = refused = 0
        is_complete = True
        workspaces = Workspaces()
        try:
            while (some := await self._report(workspaces)).last is not None:
                reported, refused = reported + some.reported, refused + some.refused
                workspaces = Workspaces(some.last)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("usage is not reported in time: %s", error.cause)
            is_complete = False
        outcome = "unfinished" if not is_complete else "refused" if refused else "reported"
        workflow.upsert_search_attributes([OUTCOME.value_set(outcome)])
        return UsageReported(closed, reported, refused, is_complete)

    async def _close(self) -> int:
        batches, workspaces = 0, Workspaces()
        while True:
            closed: Closed = await workflow.execute_activity_method(
                UsageActivities.close, workspaces, summary="sum up", **options.database()
            )
            batches += closed.batches
            if closed.last is None:
                return batches
            workspaces = Workspaces(closed.last)

    async def _report(self, workspaces: Workspaces) -> Reported:
        reported: Reported = await workflow.execute_activity_method(
            UsageActivities.report, workspaces, summary="report", **options.usage("stripe")
        )
        return reported
