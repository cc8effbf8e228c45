"""The redrive of dead letters: each process makes its new work of its own."""

from temporalio import workflow

from workflows import options
from workflows.contracts.deadletters import PageRedriven, RedriveActivities, RedriveDone, RedriveRef

_PROCESSES = [RedriveActivities.redrive_records, RedriveActivities.redrive_deliveries]


@workflow.defn(name="RedriveDeadLetters")
class RedriveDeadLetters:
    """Process by process and page by page, until every letter has its result."""

    @workflow.run
    async def run(self, redrive: RedriveRef) -> RedriveDone:
        with_usage = [RedriveActivities.redrive_usage] if workflow.patched("redrive-usage") else []
        for process in _PROCESSES + with_usage:
            is_last = False
            while not is_last:
                page: PageRedriven = await workflow.execute_activity_method(
                    process, redrive, summary=process.__name__.replace("_", " "), **options.database()
                )
                is_last = page.is_last
        done: RedriveDone = await workflow.execute_activity_method(
            RedriveActivities.finish_redrive, redrive, summary="finish redrive", **options.database()
        )
        return done
