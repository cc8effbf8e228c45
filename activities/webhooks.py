"""The activities of webhooks: each calls one function of app/webhooks. Only activities open what is sealed."""

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.db import Sessions
from app.mail.ports import Mailer
from app.webhooks.deliver import Courier
from app.webhooks.disabled import tell_owners
from workflows.contracts.webhooks import EndpointRef, Sent, Told, WebhookActivities


class Webhooks(WebhookActivities):
    def __init__(self, sessions: Sessions, courier: Courier, mailer: Mailer, *, public_url: str) -> None:
        self._sessions = sessions
        self._courier = courier
        self._mailer = mailer
        self._public_url = public_url

    @activity.defn(name="deliver_webhooks")
    @mapped
    async def deliver(self, endpoint: EndpointRef) -> Sent:
        async with beating():
            return await self._courier.deliver(endpoint, stopping=activity.is_worker_shutdown)

    @activity.defn(name="tell_webhook_owners")
    @mapped
    async def tell_owners(self, endpoint: EndpointRef) -> Told:
        async with beating():
            return await tell_owners(self._sessions, self._mailer, endpoint, public_url=self._public_url)
