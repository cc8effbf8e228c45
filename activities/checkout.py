"""The activities of pages of the payment provider: each calls one function of app/billing."""

from uuid import UUID

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.billing import pages
from app.billing.customers import cancel_subscriptions
from app.db import Sessions
from app.providers.payments import PaymentsApi
from workflows.contracts.checkout import (
    CheckoutActivities,
    PageGivenUp,
    PageOpened,
    PageRef,
    Subscriber,
    Unsubscribed,
)


class Checkout(CheckoutActivities):
    def __init__(self, sessions: Sessions, payments: PaymentsApi) -> None:
        self._sessions = sessions
        self._payments = payments

    @activity.defn(name="open_billing_page")
    @mapped
    async def open_page(self, page: PageRef) -> PageOpened:
        async with beating():
            await pages.open_at_provider(self._sessions, self._payments, UUID(page.workspace_id), UUID(page.page_id))
            return PageOpened("open")

    @activity.defn(name="give_up_billing_page")
    @mapped
    async def give_up(self, page: PageGivenUp) -> PageOpened:
        async with beating():
            failed = await pages.give_up(self._sessions, UUID(page.workspace_id), UUID(page.page_id), page.error)
            return PageOpened("failed" if failed else "open")

    @activity.defn(name="cancel_subscriptions")
    @mapped
    async def cancel_subscriptions(self, subscriber: Subscriber) -> Unsubscribed:
        async with beating():
            ended = await cancel_subscriptions(self._sessions, self._payments, UUID(subscriber.workspace_id))
            return Unsubscribed(ended)
