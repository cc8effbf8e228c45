"""The activities of closing a workspace: each calls one function of the domain that it is about."""

from uuid import UUID

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.db import Sessions
from app.enrichment.closing import cancel_unfinished
from app.workspaces.service import finish_closing
from workflows.contracts.workspaces import Closed, ClosingActivities, WorkLeft, WorkspaceRef


class Closing(ClosingActivities):
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn(name="cancel_jobs")
    @mapped
    async def cancel_jobs(self, workspace: WorkspaceRef) -> WorkLeft:
        async with beating():
            return WorkLeft(await cancel_unfinished(self._sessions, UUID(workspace.workspace_id)))

    @activity.defn(name="finish_closing")
    @mapped
    async def finish_closing(self, workspace: WorkspaceRef) -> Closed:
        async with beating():
            return Closed(await finish_closing(self._sessions, UUID(workspace.workspace_id)))
