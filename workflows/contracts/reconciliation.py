"""What reconciliation needs done, as types: commands in, facts out. Ids and counts only."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from temporalio import activity


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a run is to compare: what changed since the last one that ended, or `everything`."""

    everything: bool = False


@dataclass(frozen=True, slots=True)
class ReconciliationRef:
    """A reconciliation, whose UUID it is as text."""

    reconciliation_id: str
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """How far a comparison of all lists got: which `list` it is at, None when none is left."""

    list: str | None


@dataclass(frozen=True, slots=True)
class Corrections:
    """How many workspaces in which something differs are still to be compared and set right one by one."""

    running: int


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a reconciliation compared, in objects of each kind and `calls` of lists, and what came of it: in `syncs`
    workspaces something may have differed, and `differences` were found and corrected; of those workspaces `unfinished`
    were not compared in time, and will be."""

    customers: int
    subscriptions: int
    invoices: int
    payments: int
    events: int
    calls: int
    syncs: int
    differences: int
    unfinished: int


class ReconciliationActivities(ABC):
    """The promises of activities/reconciliation.py. Each may run twice."""

    @activity.defn(name="begin_reconciliation")
    @abstractmethod
    async def begin(self, ref: ReconciliationRef) -> None:
        """Say since when what changed is compared, and give events of customers that were unknown to their
        workspaces."""

    @activity.defn(name="compare_with_stripe")
    @abstractmethod
    async def compare(self, ref: ReconciliationRef) -> Compared:
        """Page through Stripe's lists for a minute, from where the last call got to, and have each workspace in which
        something differs compared by itself."""

    @activity.defn(name="count_corrections")
    @abstractmethod
    async def corrections(self, ref: ReconciliationRef) -> Corrections:
        """How many of those comparisons are running."""

    @activity.defn(name="finish_reconciliation")
    @abstractmethod
    async def finish(self, ref: ReconciliationRef) -> Reconciled:
        """Say that it has ended: the next one begins where this one began."""
