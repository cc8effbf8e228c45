"""What the audit of the ledger needs done, as types. Ids, ranges and counts only."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from temporalio import activity

FIRST = "00000000-0000-0000-0000-000000000000"
LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"


@dataclass(frozen=True, slots=True)
class AuditRange:
    """The workspaces whose ids (UUIDs as text) come after `after`, up to and including `through`."""

    after: str = FIRST
    through: str = LAST


@dataclass(frozen=True, slots=True)
class Audited:
    """So many workspaces of a range were audited, and so many rules did not hold in one of them; `last` is the last
    one. None were left when there are none."""

    workspaces: int
    differences: int
    last: str


@dataclass(frozen=True, slots=True)
class LedgerAudit:
    """How far an audit of all ledgers got, and in the end what it found."""

    workspaces: int = 0
    differences: int = 0
    last: str = FIRST


class LedgerActivities(ABC):
    """The promises of activities/ledger.py. They change nothing; a difference is logged and counted by a metric."""

    @activity.defn(name="audit_accounts")
    @abstractmethod
    async def audit_accounts(self, wanted: AuditRange) -> Audited:
        """Hold the balances of the first workspaces of the range against their entries and lots."""

    @activity.defn(name="audit_charges")
    @abstractmethod
    async def audit_charges(self, wanted: AuditRange) -> Audited:
        """Hold the charges and holds of the first workspaces of the range against their jobs and answers."""
