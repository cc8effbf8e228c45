"""What the erasure of a person or a company needs done, as types: commands in, facts out. Ids only: who it is stands in
PostgreSQL, and there no longer than it takes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from temporalio import activity


@dataclass(frozen=True, slots=True)
class ErasureRef:
    """One erasure; UUIDs as text."""

    workspace_id: str
    erasure_id: str


@dataclass(frozen=True, slots=True)
class ErasePage:
    """Go on behind `after`, which a page before said; "" is the beginning. `is_second`: what may have been written
    since the erasure began, and nothing else, is looked at."""

    workspace_id: str
    erasure_id: str
    after: str = ""
    is_second: bool = False


@dataclass(frozen=True, slots=True)
class PageErased:
    """Where the next page begins; None at the end. `again`: answers may be on their way that bring something back."""

    after: str | None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Erased:
    """The end of an erasure: in how many places something was removed."""

    places: int


class ErasureActivities(ABC):
    """The promises of activities/erasures.py. Each may run twice and has its effect once; one page takes seconds."""

    @activity.defn(name="erase_records")
    @abstractmethod
    async def erase_records(self, page: ErasePage) -> PageErased:
        """Remove the subject from records, answers and claims of jobs, and so from reuse."""

    @activity.defn(name="erase_raw_answers")
    @abstractmethod
    async def erase_raw_answers(self, page: ErasePage) -> PageErased:
        """Remove what vendors said about records that were erased, and where they mention the subject."""

    @activity.defn(name="erase_events")
    @abstractmethod
    async def erase_events(self, page: ErasePage) -> PageErased:
        """Remove the subject from events."""

    @activity.defn(name="erase_remembered_answers")
    @abstractmethod
    async def erase_remembered_answers(self, page: ErasePage) -> PageErased:
        """Forget the answers to requests with an Idempotency-Key that mention the subject."""

    @activity.defn(name="finish_erasure")
    @abstractmethod
    async def finish_erasure(self, erasure: ErasureRef) -> Erased:
        """Forget who it was, and say that it is done."""
