"""The calls of one run of a lookup: whom they are about, and in what order they are made.

What stops them is not decided here but noted, for app/enrichment/lookup.py to conclude.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TypeAlias, TypeVar
from uuid import UUID

from pydantic import SecretStr

from app.enrichment.budget import Budget
from app.enrichment.flush import Flusher, Turn
from app.enrichment.lookup_repository import OpenRecord, RunningJob
from app.enrichment.places import Calls
from app.enrichment.reuse import Reuse
from app.enrichment.turns import Turns
from app.enrichment.verification import UNVERIFIED, status_of
from app.enrichment.waterfall import OPEN_OUTCOMES, merge
from app.providers.errors import (
    CircuitOpen,
    InvalidQuery,
    KeyRefusal,
    Malformed,
    NotReady,
    ProviderError,
    RateLimited,
    SwitchedOff,
    Throttled,
)
from app.providers.ports import Answer, EnrichmentSource, Found, Pending, Query
from app.settings import EnrichmentSettings
from workflows.contracts.enrichment import Lookup

# Handing a place on takes a turn of the event loop, in which nobody uses it.
_CALLS_A_PLACE = 5
# A call for many subjects that failed so may fail for one of them: they are tried again one by one.
_FAULTS_OF_ONE = frozenset({InvalidQuery.code, Malformed.code})

Batch: TypeAlias = Sequence[OpenRecord]
Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a run asks: the provider, with the workspace's own key or None, and in the same way the verifier."""

    source: EnrichmentSource
    api_key: SecretStr | None = None
    verifier: EnrichmentSource | None = None
    verifier_key: SecretStr | None = None


class Asking:
    """`turns` knows what the calls came to. About the subjects at the positions in `busy` another job asks. `refusal`
    and `out_of_budget` say what stopped the calls, `calls` counts them, and one at least was `answered`."""

    def __init__(
        self,
        asked: Asked,
        command: Lookup,
        settings: EnrichmentSettings,
        job: RunningJob,
        budget: Budget,
        flusher: Flusher,
        reuse: Reuse,
        places: Calls,
        stopping: Callable[[], bool],
    ) -> None:
        self._asked = asked
        self._source = asked.source
        self._command = command
        self._settings = settings
        self._job = job
        self._budget = budget
        self._flusher = flusher
        self._reuse = reuse
        self._places = places
        self._process_stops = stopping
        self._fillable = job.fillable(asked.source)
        self._price = job.price(asked.source)
        self._workspace_id = UUID(command.workspace_id)
        self._cancelled = False
        verify = asked.verifier is not None
        self.turns = Turns(asked.source.name, settings, job, budget, flusher, verify=verify)
        self.busy: set[int] = set()
        self.refusal: ProviderError | None = None
        self.out_of_budget = ""
        self.answered = False
        self.calls = 0

    async def ask(self, records: Iterable[OpenRecord]) -> None:
        """Call the provider for each record that it could help, until something stops it; none while there is a
        `refusal`."""
        fresh: list[OpenRecord] = []
        again: list[OpenRecord] = []
        now = datetime.now(UTC)
        for record in records:
            if not self._is_worth_asking(record):
                if self._command.is_last:
                    self._flusher.add(Turn(record, None, now))
                continue
            self.turns.rest[record.position] = record
            own = self.turns.own_answer(record)
            if own is None or (own.outcome == "retrying" and own.reason not in _FAULTS_OF_ONE):
                fresh.append(record)
            elif own.outcome == "unverified":
                self.turns.remember_unverified(record, own)
            elif own.outcome == "pending" and own.poll_at is not None and own.poll_at > now:
                self.turns.later[record.position] = own.poll_at
            else:
                again.append(record)
        new = self._affordable(await self._new(fresh))
        await self._call_all([*_batches(new, self._bulk), *([record] for record in again)], self._look_up)
        if self._asked.verifier is not None:
            await self._call_all([[self.turns.rest[position]] for position in self.turns.unverified], self._verify)

    @property
    def _bulk(self) -> int:
        return self._source.capabilities.bulk.get(self._job.entity, 1)

    def _is_worth_asking(self, record: OpenRecord) -> bool:
        if not record.answers:
            return bool(self._fillable) and self._source.capabilities.can_look_up(self._query(record))
        own = self.turns.own_answer(record)
        if own is not None and own.outcome not in OPEN_OUTCOMES:
            return False
        values = self.turns.values[record.position] = merge(self._job.fields, record.answers, self._job.min_confidence)
        missing = self._fillable - values.keys()
        return bool(missing) and self._source.capabilities.can_look_up(self._query(record))

    def _query(self, record: OpenRecord, handle: str | None = None) -> Query:
        return Query(
            self._job.entity,
            record.subject_key,
            record.subject,
            self._fillable,
            self._asked.api_key,
            self._workspace_id,
            self._may_call,
            handle,
        )

    async def _new(self, records: Sequence[OpenRecord]) -> list[OpenRecord]:
        """Those of the records that are to be bought; what the workspace has is taken."""
        if self.refusal is not None:
            return []
        known, self.busy = await self._reuse.look(records)
        for record in records:
            if answer := known.get(record.position):
                self.turns.take_known(record, answer)
        return [record for record in records if record.position not in known and record.position not in self.busy]

    def _affordable(self, records: list[OpenRecord]) -> list[OpenRecord]:
        """Those that may cost another answer; of the others the turn ends."""
        most = self._job.max_credits_per_record
        if most is None or self._price == 0:
            return records
        able = []
        for record in records:
            if sum(answer.credits for answer in record.answers) + self._price > most:
                self.turns.end(record, "budget", "max_credits_per_record")
            else:
                able.append(record)
        return able

    async def _call_all(self, batches: Sequence[Batch], call: Callable[[Batch], Awaitable[None]]) -> None:
        if not batches or self.refusal is not None:
            return
        queue = iter(batches)
        callers = [
            asyncio.create_task(self._call_in_turn(queue, call))
            for _ in range(min(self._settings.calls_per_lookup, len(batches)))
        ]
        try:
            await asyncio.wait(callers)
        except asyncio.CancelledError:
            self._cancelled = True
            await asyncio.wait(callers)
            raise
        for caller in callers:
            caller.result()

    async def _call_in_turn(self, queue: Iterator[Batch], call: Callable[[Batch], Awaitable[None]]) -> None:
        while self._may_call():
            async with self._places:
                for _ in range(_CALLS_A_PLACE):
                    if not self._may_call() or (batch := next(queue, None)) is None:
                        return
                    affordable = await self._reserve(batch)
                    if not affordable:
                        return
                    await call(affordable)
                    if self._flusher.is_behind:
                        break
            await self._flusher.room()

    def _may_call(self) -> bool:
        return (
            self.refusal is None
            and self._flusher.wanted
            and not self._cancelled
            and not self.out_of_budget
            and not self._process_stops()
        )

    async def _reserve(self, batch: Batch) -> Batch:
        """Reserve the price of the answers to come; the records for which it suffices."""
        if self._budget.is_unlimited:
            return batch
        affordable = []
        for record in batch:
            if record.position not in self.turns.bound:
                taken = await self._budget.take()
                if taken != "taken":
                    self.out_of_budget = taken
                    break
                self.turns.bound.add(record.position)
            affordable.append(record)
        return affordable

    async def _make(self, batch: Batch, call: Awaitable[Got], count_failure: Callable[[], None]) -> Got | None:
        """The answer of a call about these records, or None: then what follows is noted."""
        try:
            answer = await call
        except (CircuitOpen, SwitchedOff) as error:
            self.refusal = error
        except Throttled as error:
            # What stopped this run while the call waited for its turn is a better reason than the wait.
            if self._may_call():
                self.refusal = error
        except (RateLimited, KeyRefusal) as error:
            self.refusal = error
            count_failure()
        except ProviderError as error:
            count_failure()
            if len(batch) == 1:
                self.turns.fail(batch[0], error)
            else:
                self.turns.failures |= {record.position: error for record in batch}
        else:
            return answer
        return None

    async def _look_up(self, batch: Batch) -> None:
        answers: Sequence[Answer | ProviderError] | None
        if len(batch) == 1:
            own = self.turns.own_answer(batch[0])
            query = self._query(batch[0], own.handle if own else None)
            answer = await self._make(batch, self._source.look_up(query), self._count_failure)
            answers = None if answer is None else (answer,)
        else:
            queries = [self._query(record) for record in batch]
            answers = await self._make(batch, self._source.look_up_many(queries), self._count_failure)
        if answers is not None:
            self._count()
            self.answered = True
            for record, each in zip(batch, answers, strict=True):
                self.turns.take(record, each)
        for record in batch:
            if record.position not in self.turns.unverified:
                self.turns.give_back(record)

    async def _verify(self, batch: Batch) -> None:
        """Ask the verifier of one record's address."""
        [record], verifier = batch, self._asked.verifier
        if verifier is None:
            return
        address = str(self.turns.unverified[record.position].found["email"][0])
        fields, key = ("email_status",), self._asked.verifier_key
        query = Query("person", address, {"email": address}, fields, key, self._workspace_id, self._may_call)
        answer = await self._make(batch, verifier.look_up(query), self._count_verifier_failure)
        if answer is None and isinstance(self.refusal, KeyRefusal):
            # Nobody verifies for this workspace now, which is no reason to ask the provider nothing.
            self.refusal = None
            self.turns.verified_as(record, UNVERIFIED)
        elif isinstance(answer, Pending):
            self.turns.failures[record.position] = NotReady(
                verifier.name, "is still at work", retry_after=answer.retry_after
            )
        elif answer is not None:
            status = status_of(answer)
            self._flusher.count_verification("passed" if status == "valid" else "refused")
            self.turns.verified_as(record, status, self._job.verifier_cost if isinstance(answer, Found) else 0)

    def _count(self, *, failed: bool = False) -> None:
        self.calls += 1
        self._flusher.count_call(failed=failed)

    def _count_failure(self) -> None:
        self._count(failed=True)

    def _count_verifier_failure(self) -> None:
        self._flusher.count_verification("errors")


def _batches(records: Sequence[OpenRecord], size: int) -> Iterator[Batch]:
    rest = iter(records)
    while batch := list(islice(rest, size)):
        yield batch
