"""What the sync of a customer needs done, as types: commands in, facts out. Ids and counts only."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from temporalio import activity


@dataclass(frozen=True, slots=True)
class CustomerRef:
    """The customer of one workspace, whose UUID it is as text."""

    workspace_id: str


@dataclass(frozen=True, slots=True)
class Synced:
    """What came of a look: whether what Stripe has was applied, with so many `events` that had said to look; and
    whether there is to be another look at once, because something came meanwhile."""

    applied: bool
    events: int
    is_due: bool


@dataclass(frozen=True, slots=True)
class CustomerSynced:
    """What a run did in all."""

    syncs: int
    events: int


class BillingActivities(ABC):
    """The promises of activities/billing.py. Each may run twice, and at the same time: what was read last is applied,
    once."""

    @activity.defn(name="sync_customer")
    @abstractmethod
    async def sync(self, customer: CustomerRef) -> Synced:
        """Where it is due, read all that Stripe has of the customer, and apply it in one transaction."""
