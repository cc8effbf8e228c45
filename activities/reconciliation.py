"""The activities of reconciliation: each calls one function of app/billing."""

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.billing import reconciliation
from app.billing.reconciliation import Comparison
from app.db import Sessions
from workflows.contracts.reconciliation import (
    Compared,
    Corrections,
    Reconciled,
    ReconciliationActivities,
    ReconciliationRef,
)


class Reconciling(ReconciliationActivities):
    def __init__(self, platform_sessions: Sessions, comparison: Comparison) -> None:
        self._platform_sessions = platform_sessions
        self._comparison = comparison

    @activity.defn(name="begin_reconciliation")
    @mapped
    async def begin(self, ref: ReconciliationRef) -> None:
        async with beating():
            await reconciliation.begin(self._platform_sessions, ref)

    @activity.defn(name="compare_with_stripe")
    @mapped
    async def compare(self, ref: ReconciliationRef) -> Compared:
        async with beating():
            return await self._comparison.go_on(ref)

    @activity.defn(name="count_corrections")
    @mapped
    async def corrections(self, ref: ReconciliationRef) -> Corrections:
        async with beating():
            return await reconciliation.corrections(self._platform_sessions, ref)

    @activity.defn(name="finish_reconciliation")
    @mapped
    async def finish(self, ref: ReconciliationRef) -> Reconciled:
        async with beating():
            return await reconciliation.finish(self._platform_sessions, ref)
