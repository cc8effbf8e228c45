"""The activities of a customer's sync: each calls one function of app/billing."""

from uuid import UUID

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.billing.plans import Plans
from app.billing.sync import sync
from app.db import Sessions
from app.providers.payments import PaymentsApi
from app.settings import BillingSettings
from workflows.contracts.billing import BillingActivities, CustomerRef, Synced


class Billing(BillingActivities):
    def __init__(
        self, sessions: Sessions, payments: PaymentsApi, plans: Plans, settings: BillingSettings, *, low_threshold: int
    ) -> None:
        self._sessions = sessions
        self._payments = payments
        self._plans = plans
        self._settings = settings
        self._low_threshold = low_threshold

    @activity.defn(name="sync_customer")
    @mapped
    async def sync(self, customer: CustomerRef) -> Synced:
        async with beating():
            return await sync(
                self._sessions,
                self._payments,
                self._plans,
                self._settings,
                UUID(customer.workspace_id),
                low_threshold=self._low_threshold,
            )
