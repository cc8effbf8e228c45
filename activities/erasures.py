"""The activities of erasing a person or a company: each calls one function of the domain that it is about."""

from temporalio import activity

from activities.errors import mapped
from activities.heartbeat import beating
from app.db import Sessions
from app.enrichment import erase, erase_elsewhere
from app.enrichment.erasures import finish
from workflows.contracts.erasures import Erased, ErasePage, ErasureActivities, ErasureRef, PageErased


class Erasures(ErasureActivities):
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn(name="erase_records")
    @mapped
    async def erase_records(self, page: ErasePage) -> PageErased:
        async with beating():
            return await erase.erase_records(self._sessions, page)

    @activity.defn(name="erase_raw_answers")
    @mapped
    async def erase_raw_answers(self, page: ErasePage) -> PageErased:
        async with beating():
            return await erase_elsewhere.erase_raw_answers(self._sessions, page)

    @activity.defn(name="erase_events")
    @mapped
    async def erase_events(self, page: ErasePage) -> PageErased:
        async with beating():
            return await erase_elsewhere.erase_events(self._sessions, page)

    @activity.defn(name="erase_remembered_answers")
    @mapped
    async def erase_remembered_answers(self, page: ErasePage) -> PageErased:
        async with beating():
            return await erase_elsewhere.erase_remembered_answers(self._sessions, page)

    @activity.defn(name="finish_erasure")
    @mapped
    async def finish_erasure(self, erasure: ErasureRef) -> Erased:
        async with beating():
            return await finish(self._sessions, erasure)
