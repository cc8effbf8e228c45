"""The closing of a workspace that was deleted: what runs is cancelled, and what is held for it is released."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows import options
from workflows.contracts.checkout import CheckoutActivities, Subscriber
from workflows.contracts.workspaces import Closed, ClosingActivities, Emptied, WorkLeft, WorkspaceRef

# Between two looks, growing: most jobs settle within a second, one in the middle of a call within minutes.
_FIRST_WAIT_SECONDS = 1
_LONGEST_WAIT_SECONDS = 60
# About four hours. Whatever has not ended by then needs a person, who finds a failed run.
_MOST_LOOKS = 250


@workflow.defn(name="CloseWorkspace")
class CloseWorkspace:
    """Cancel the jobs, look until the last has settled, cancel what is paid for, and say that the workspace is closed.

    Nobody can start another: deleting and starting hold the same row, and the deletion was committed first.
    """

    @workflow.run
    async def run(self, workspace: WorkspaceRef) -> Closed:
        await self._end_jobs(workspace)
        if workflow.patched("cancel-subscriptions"):
            await self._end_subscriptions(workspace)
        closed: Closed = await workflow.execute_activity_method(
            ClosingActivities.finish_closing, workspace, summary="finish closing", **options.database()
        )
        if closed.held:
            raise ApplicationError(
                f"{closed.held} credits are held and no job runs", type="HoldsNotReleased", non_retryable=True
            )
        return closed

    async def _end_subscriptions(self, workspace: WorkspaceRef) -> None:
        """Last of what takes time: the payment provider may be away, and only this has to wait for it."""
        emptied: Emptied = await workflow.execute_activity_method(
            ClosingActivities.erase_secrets, workspace, summary="erase secrets", **options.database()
        )
        if emptied.is_customer:
            await workflow.execute_activity_method(
                CheckoutActivities.cancel_subscriptions,
                Subscriber(workspace.workspace_id),
                summary="cancel subscriptions",
                **options.provider("stripe"),
            )

    async def _end_jobs(self, workspace: WorkspaceRef) -> None:
        wait = _FIRST_WAIT_SECONDS
        for _ in range(_MOST_LOOKS):
            left: WorkLeft = await workflow.execute_activity_method(
                ClosingActivities.cancel_jobs, workspace, summary="cancel jobs", **options.database()
            )
            if left.jobs == 0:
                return
            await workflow.sleep(timedelta(seconds=wait))
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
        raise ApplicationError(f"{left.jobs} jobs do not end", type="JobsDoNotEnd", non_retryable=True)
