"""What a redrive of dead letters needs done, as types: commands in, facts out. Ids and counts only."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from temporalio import activity


@dataclass(frozen=True, slots=True)
class RedriveRef:
    """One redrive of one workspace; UUIDs as text."""

    workspace_id: str
    redrive_id: str


@dataclass(frozen=True, slots=True)
class PageRedriven:
    """Whether nothing of the process is left to be tried again."""

    is_last: bool


@dataclass(frozen=True, slots=True)
class RedriveDone:
    """The end of a redrive: what became of how many letters."""

    redriven: int
    refused: int
    skipped: int


class RedriveActivities(ABC):
    """The promises of activities/deadletters.py. Each may run twice and has its effect once; one page takes seconds."""

    @activity.defn(name="redrive_records")
    @abstractmethod
    async def redrive_records(self, redrive: RedriveRef) -> PageRedriven:
        """Make new jobs of the redrive's records of enrichment jobs: one of each job that they are from."""

    @activity.defn(name="redrive_deliveries")
    @abstractmethod
    async def redrive_deliveries(self, redrive: RedriveRef) -> PageRedriven:
        """Have the redrive's deliveries to webhook endpoints be tried again."""

    @activity.defn(name="redrive_usage")
    @abstractmethod
    async def redrive_usage(self, redrive: RedriveRef) -> PageRedriven:
        """Have the redrive's batches of charged credits be reported again, with the next ones."""

    @activity.defn(name="finish_redrive")
    @abstractmethod
    async def finish_redrive(self, redrive: RedriveRef) -> RedriveDone:
        """Say that every letter of the redrive has its result."""
