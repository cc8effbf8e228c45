"""What the delivery of webhooks needs done, as types: commands in, facts out. Ids and counts only."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from temporalio import activity


@dataclass(frozen=True, slots=True)
class EndpointRef:
    """One endpoint of one workspace; both are UUIDs as text."""

    workspace_id: str
    endpoint_id: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a look at what is due: `attempts` were made, `delivered` of them were taken. `next_seconds`: when
    there is something to do again, 0 for at once; None: nothing is left that waits. `owners_to_tell`: the endpoint was
    disabled, and its owners do not know."""

    attempts: int
    delivered: int
    next_seconds: float | None
    owners_to_tell: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """So many owners were told."""

    owners: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a run did in all."""

    attempts: int
    delivered: int


class WebhookActivities(ABC):
    """The promises of activities/webhooks.py. Each may run twice; a delivery that does is one event to who receives
    it."""

    @activity.defn(name="deliver_webhooks")
    @abstractmethod
    async def deliver(self, endpoint: EndpointRef) -> Sent:
        """Send what is due to the endpoint, and what becomes due meanwhile, for as long as there is some.

        Each attempt is committed before the next of its delivery is scheduled. Cancellation commits the attempts that
        have ended, and aborts the others.
        """

    @activity.defn(name="tell_webhook_owners")
    @abstractmethod
    async def tell_owners(self, endpoint: EndpointRef) -> Told:
        """Write to the owners of the workspace that the endpoint was disabled, and why."""
