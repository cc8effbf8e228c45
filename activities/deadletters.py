"""The activities of redriving dead letters: each calls one function of the domain that they are of."""

from collections.abc import Mapping

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.billing import usage
from app.db import Sessions
from app.deadletters import deliveries, redrives
from app.enrichment.redrive import redrive_page
from app.providers.ports import Offer
from app.settings import EnrichmentSettings
from workflows.contracts.deadletters import PageRedriven, RedriveActivities, RedriveDone, RedriveRef


class Redriving(RedriveActivities):
    def __init__(
        self, sessions: Sessions, offers: Mapping[str, Offer], settings: EnrichmentSettings, *, low_threshold: int
    ) -> None:
        self._sessions = sessions
        self._offers = offers
        self._settings = settings
        self._low_threshold = low_threshold

    @activity.defn(name="redrive_records")
    @mapped
    async def redrive_records(self, redrive: RedriveRef) -> PageRedriven:
        async with beating():
            return await redrive_page(
                self._sessions, redrive, self._offers, self._settings, low_threshold=self._low_threshold
            )

    @activity.defn(name="redrive_deliveries")
    @mapped
    async def redrive_deliveries(self, redrive: RedriveRef) -> PageRedriven:
        async with beating():
            return await deliveries.redrive_page(self._sessions, redrive)

    @activity.defn(name="redrive_usage")
    @mapped
    async def redrive_usage(self, redrive: RedriveRef) -> PageRedriven:
        async with beating():
            return await usage.redrive_page(self._sessions, redrive)

    @activity.defn(name="finish_redrive")
    @mapped
    async def finish_redrive(self, redrive: RedriveRef) -> RedriveDone:
        async with beating():
            return await redrives.finish(self._sessions, redrive)
