"""The activities of closing a workspace: each calls one function of the domain that it is about."""

from uuid import UUID

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.billing.customers import is_customer
from app.db import Sessions
from app.enrichment.closing import cancel_unfinished
from app.workspaces.service import erase_secrets, finish_closing
from workflows.contracts.workspaces import Closed, ClosingActivities, Emptied, WorkLeft, WorkspaceRef


class Closing(ClosingActivities):
    """`sells_plans`: there is a payment provider, whose customer a workspace may be."""

    def __init__(self, sessions: Sessions, *, sells_plans: bool) -> None:
        self._sessions = sessions
        self._sells_plans = sells_plans

    @activity.defn(name="cancel_jobs")
    @mapped
    async def cancel_jobs(self, workspace: WorkspaceRef) -> WorkLeft:
        async with beating():
            return WorkLeft(await cancel_unfinished(self._sessions, UUID(workspace.workspace_id)))

    @activity.defn(name="erase_secrets")
    @mapped
    async def erase_secrets(self, workspace: WorkspaceRef) -> Emptied:
        async with beating():
            workspace_id = UUID(workspace.workspace_id)
            await erase_secrets(self._sessions, workspace_id)
            return Emptied(self._sells_plans and await is_customer(self._sessions, workspace_id))

    @activity.defn(name="finish_closing")
    @mapped
    async def finish_closing(self, workspace: WorkspaceRef) -> Closed:
        async with beating():
            return Closed(await finish_closing(self._sessions, UUID(workspace.workspace_id)))
