"""What a page of the payment provider needs done, as types. Its address never crosses: it opens the page."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from temporalio import activity


@dataclass(frozen=True, slots=True)
class PageRef:
    """A page that somebody asked for; the ids are UUIDs as text."""

    workspace_id: str
    page_id: str


@dataclass(frozen=True, slots=True)
class PageGivenUp:
    """A page that is not to be opened any more, and the code of why."""

    workspace_id: str
    page_id: str
    error: str


@dataclass(frozen=True, slots=True)
class PageOpened:
    """What came of it."""

    status: Literal["open", "failed"]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """The customer of one workspace, whose UUID it is as text."""

    workspace_id: str


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """How many subscriptions were ended."""

    subscriptions: int


class CheckoutActivities(ABC):
    """The promises of activities/checkout.py. Each may run twice and has its effect once."""

    @activity.defn(name="open_billing_page")
    @abstractmethod
    async def open_page(self, page: PageRef) -> PageOpened:
        """Open the page for the workspace's customer, who is made where there is none, and keep its address.

        Raises retryable errors while the payment provider is away or throttles.
        """

    @activity.defn(name="give_up_billing_page")
    @abstractmethod
    async def give_up(self, page: PageGivenUp) -> PageOpened:
        """End without a page, unless there is one after all."""

    @activity.defn(name="cancel_subscriptions")
    @abstractmethod
    async def cancel_subscriptions(self, subscriber: Subscriber) -> Unsubscribed:
        """End what the workspace pays for, at once.

        Raises retryable errors while the payment provider is away or throttles.
        """
