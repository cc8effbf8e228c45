"""The activities of the ledger's audit: what spans domains is composed here."""

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.credits import audit
from app.credits.audit import Differences
from app.db import Sessions
from app.enrichment.audit import check_charges
from workflows.contracts.ledger import Audited, AuditRange, LedgerActivities


class Ledger(LedgerActivities):
    def __init__(self, sessions: Sessions, platform_sessions: Sessions, differences: Differences) -> None:
        self._sessions = sessions
        self._platform_sessions = platform_sessions
        self._differences = differences

    @activity.defn(name="audit_accounts")
    @mapped
    async def audit_accounts(self, wanted: AuditRange) -> Audited:
        async with beating():
            return await audit.audit_range(
                self._sessions, self._platform_sessions, wanted, self._differences, audit.check
            )

    @activity.defn(name="audit_charges")
    @mapped
    async def audit_charges(self, wanted: AuditRange) -> Audited:
        async with beating():
            return await audit.audit_range(
                self._sessions, self._platform_sessions, wanted, self._differences, check_charges
            )
