"""What the report of usage needs done, as types: commands in, facts out. Ids and counts only."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from temporalio import activity

FIRST = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class UsageReport:
    """A report of what all workspaces used."""


@dataclass(frozen=True, slots=True)
class UsageReported:
    """What came of a report: so many batches were `closed`, which is summed up, and so many `reported`; so many were
    `refused` for good. Unless it `is_complete`, some wait for the next report."""

    closed: int
    reported: int
    refused: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Workspaces:
    """Those whose ids (UUIDs as text) come after this one."""

    after: str = FIRST


@dataclass(frozen=True, slots=True)
class Closed:
    """So many batches were summed up, the last of them in the workspace `last`; None where none is left."""

    batches: int
    last: str | None


@dataclass(frozen=True, slots=True)
class Reported:
    """What became of the batches of some workspaces, the last of which is `last`; None where none is left."""

    reported: int
    refused: int
    last: str | None


class UsageActivities(ABC):
    """The promises of activities/usage.py. Each may run twice: what is in one batch is in no other, and a batch counts
    once."""

    @activity.defn(name="close_usage_batches")
    @abstractmethod
    async def close(self, workspaces: Workspaces) -> Closed:
        """Sum up what the first of these workspaces were charged since their last batches."""

    @activity.defn(name="report_usage_batches")
    @abstractmethod
    async def report(self, workspaces: Workspaces) -> Reported:
        """Report the batches of the first of these workspaces to Stripe. What can never be reported gets a dead
        letter."""
