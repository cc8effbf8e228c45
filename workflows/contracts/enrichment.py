"""What the enrichment process needs done, as types: commands in, facts out. Ids, ranges and counts only."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from temporalio import activity


@dataclass(frozen=True, slots=True)
class JobRef:
    """One enrichment job of one workspace; both are UUIDs as text. `plans_at_hand`: its workflow has its worker plan
    where it can; it is false of those that were started before there was that. `plan`: the first one, where it was
    known when the job was stored."""

    workspace_id: str
    job_id: str
    plans_at_hand: bool = False
    plan: "JobPlan | None" = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands with one of its providers: `calls` were made, `found` of them gave something. `waiting_until` is
    when it is asked again (RFC 3339, UTC) after it was away; None where the job does not wait for its recovery."""

    provider: str
    calls: int
    found: int
    waiting_until: str | None


@dataclass(frozen=True, slots=True)
class Waits:
    """How a job stands with each of its providers, in the order in which they are asked."""

    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class JobPlan:
    """Where a job stands and how to go on.

    Records `first` to `last` (positions from 1, inclusive) may still have something to do; `first` > `last` means
    that all have an end. `desired` is what people want of the job now; ``queued``: its turn has not come. `chunk`
    records go into one lookup, `window` chunks are worked on at a time, and the run continues as new after
    `chunks_per_run` of them. With a `smallest_chunk` the last chunks shrink to no less than that, so that the lanes end
    together. `standings` are for people; empty in plans that were made before there were any.
    """

    desired: Literal["running", "paused", "cancelled", "finished", "queued"]
    first: int
    last: int
    providers: tuple[str, ...]
    chunk: int
    window: int
    chunks_per_run: int
    smallest_chunk: int | None = None
    standings: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True)
class Lookup:
    """Ask `provider` for what records `first` to `last` still lack. `is_last`: no provider comes after this one,
    so every record of the range gets its final status."""

    workspace_id: str
    job_id: str
    provider: str
    first: int
    last: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class LookupDone:
    """`calls` were made in this run of the lookup, `found` of them gave something; `open_records` of the range have
    no final status yet. With `pending_seconds` the provider still works out what is left: the same lookup is to be made
    again after so long."""

    calls: int
    found: int
    open_records: int
    pending_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """End the job. `interrupted` says what stopped the run from outside; empty where it came to its own end."""

    workspace_id: str
    job_id: str
    interrupted: Literal["", "cancelled", "failed"] = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """How the job ended: the final status, what was charged, in credits, and how it stood with its providers."""

    status: str
    charged: int
    standings: tuple[Standing, ...] = ()


class EnrichmentActivities(ABC):
    """The promises of activities/enrichment.py. Each may run twice and has its effect once."""

    @activity.defn(name="plan_enrichment")
    @abstractmethod
    async def plan(self, job: JobRef) -> JobPlan:
        """Read where the job stands and what is wanted of it; mark it running, paused or queued accordingly."""

    @activity.defn(name="lookup")
    @abstractmethod
    async def lookup(self, command: Lookup) -> LookupDone:
        """Call the provider for each record of the range that needs it and has no answer yet.

        A job that is still queued, because it needed no plan, runs from then on.

        Answers and charges are committed together as they come. Raises retryable errors while the provider is away
        or throttles; cancellation flushes what is in flight, then ends.
        """

    @activity.defn(name="enrichment_waits")
    @abstractmethod
    async def waits(self, job: JobRef) -> Waits:
        """Read whom the job waits for now."""

    @activity.defn(name="settle_enrichment")
    @abstractmethod
    async def settle(self, command: Settle) -> Settled:
        """End the job: final status, rest of the hold released. Records without an end are cancelled, or failed."""
