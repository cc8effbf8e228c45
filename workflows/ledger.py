"""The audit of every workspace's ledger, started by a schedule."""

from temporalio import workflow

from workflows import options
from workflows.attributes import OUTCOME
from workflows.contracts.ledger import Audited, AuditRange, LedgerActivities, LedgerAudit


@workflow.defn(name="AuditLedger")
class AuditLedger:
    """Batch by batch: does each ledger add up, and does it say the same as the jobs that were paid with it?"""

    @workflow.run
    async def run(self, audit: LedgerAudit) -> LedgerAudit:
        while (accounts := await self._accounts(AuditRange(audit.last))).workspaces:
            charges = await self._charges(AuditRange(audit.last, accounts.last))
            audit = LedgerAudit(
                audit.workspaces + accounts.workspaces,
                audit.differences + accounts.differences + charges,
                accounts.last,
            )
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(audit)
        workflow.upsert_search_attributes([OUTCOME.value_set("different" if audit.differences else "sound")])
        return audit

    async def _accounts(self, wanted: AuditRange) -> Audited:
        audited: Audited = await workflow.execute_activity_method(
            LedgerActivities.audit_accounts, wanted, summary="accounts", **options.audit()
        )
        return audited

    async def _charges(self, wanted: AuditRange) -> int:
        """The differences in all of the range, however many calls that takes."""
        differences = 0
        while True:
            audited: Audited = await workflow.execute_activity_method(
                LedgerActivities.audit_charges, wanted, summary="charges", **options.audit()
            )
            differences += audited.differences
            if audited.last == wanted.through or not audited.workspaces:
                return differences
            wanted = AuditRange(audited.last, wanted.through)
