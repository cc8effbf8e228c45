"""The activities of the report of usage: each calls one function of app/billing."""

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.billing.usage import Reporter, close_batches
from app.db import Sessions
from workflows.contracts.usage import Closed, Reported, UsageActivities, Workspaces


class Usage(UsageActivities):
    def __init__(self, sessions: Sessions, platform_sessions: Sessions, reporter: Reporter) -> None:
        self._sessions = sessions
        self._platform_sessions = platform_sessions
        self._reporter = reporter

    @activity.defn(name="close_usage_batches")
    @mapped
    async def close(self, workspaces: Workspaces) -> Closed:
        async with beating():
            return await close_batches(self._sessions, self._platform_sessions, workspaces)

    @activity.defn(name="report_usage_batches")
    @mapped
    async def report(self, workspaces: Workspaces) -> Reported:
        async with beating():
            return await self._reporter.report(workspaces)
