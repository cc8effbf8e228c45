"""How many calls of one job are under way in this process, over all its lookups."""

import asyncio
from uuid import UUID
from weakref import WeakValueDictionary


class Places:
    """A job's lookups have phases without calls: a bound over all of them lets more lookups run than a bound on each,
    and so keeps the places filled."""

    def __init__(self, calls_per_job: int) -> None:
        self._calls_per_job = calls_per_job
        self._of_job: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, job_id: UUID) -> asyncio.Semaphore:
        """The places of this job, for as long as one of its lookups holds on to them."""
        return self._of_job.setdefault(job_id, asyncio.Semaphore(self._calls_per_job))
