"""The delivery of events to one endpoint, for as long as something waits for it."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows import options
from workflows.contracts.webhooks import Delivered, EndpointRef, Sent, Told, WebhookActivities

# Temporal takes 10,000 signals of a run and then no more.
_MOST_WAKES = 1_000


@workflow.defn(name="DeliverWebhooks")
class DeliverWebhooks:
    """Send what is due, sleep until the next attempt is, end when none is left.

    A wake carries nothing: what is due stands in PostgreSQL, and one that came while there was a look is another look.
    What becomes due between the last look and the end finds nobody who waits for it, and so the relay starts a run.
    """

    def __init__(self) -> None:
        self._wakes = 0

    @workflow.run
    async def run(self, endpoint: EndpointRef) -> Delivered:
        attempts = delivered = 0
        while True:
            seen = self._wakes
            sent: Sent = await workflow.execute_activity_method(
                WebhookActivities.deliver, endpoint, summary="deliver", **options.delivery()
            )
            attempts += sent.attempts
            delivered += sent.delivered
            if sent.owners_to_tell:
                await self._tell_owners(endpoint)
            if self._wakes >= _MOST_WAKES or workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(endpoint)
            if self._wakes > seen:
                continue
            if sent.next_seconds is None:
                return Delivered(attempts, delivered)
            if sent.next_seconds > 0:
                await self._until_woken(seen, sent.next_seconds)

    @workflow.signal
    def wake(self) -> None:
        self._wakes += 1

    async def _until_woken(self, seen: int, seconds: float) -> None:
        try:
            await workflow.wait_condition(
                lambda: self._wakes > seen, timeout=timedelta(seconds=seconds), timeout_summary="until the next attempt"
            )
        except TimeoutError:
            return

    async def _tell_owners(self, endpoint: EndpointRef) -> None:
        try:
            _: Told = await workflow.execute_activity_method(
                WebhookActivities.tell_owners, endpoint, summary="tell owners", **options.mail()
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            # A mail that cannot be sent stops nothing; that the endpoint is disabled, and why, stands with it.
            workflow.logger.warning("owners were not told that a webhook endpoint is disabled")
