"""One lookup: ask a provider for what a range of records still lacks, and commit the answers as they come.

Temporal knows the range, PostgreSQL knows each answer. A second run of the same command, after a crash or a wait,
asks only for what has no answer yet.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import uniform
from uuid import UUID

from app.credentials import use as credentials
from app.credentials.opening import Opener
from app.credentials.use import OwnCredential
from app.db import Sessions
from app.enrichment import lookup_repository as repository
from app.enrichment import waiting
from app.enrichment.budget import Budget
from app.enrichment.errors import LookupPostponed
from app.enrichment.flush import Flusher, FoundFields, Turn
from app.enrichment.lookup_repository import OpenRecord, RunningJob
from app.enrichment.places import Places
from app.enrichment.waterfall import Outcome, StoredAnswer, merge
from app.errors import AppError
from app.providers.errors import (
    CircuitOpen,
    CredentialRejected,
    InvalidQuery,
    KeyRefusal,
    Malformed,
    NotReady,
    ProviderError,
    RateLimited,
    SwitchedOff,
    Throttled,
)
from app.providers.ports import Answer, EnrichmentSource, Found, Missed, Query, Unreachable
from app.settings import EnrichmentSettings
from workflows.contracts.enrichment import Lookup, LookupDone

# A parked activity cannot be woken, so none parks for longer.
LONGEST_PARK_SECONDS = 30.0
_FIRST_RETRY_SECONDS = 0.5
# Handing a place on takes a turn of the event loop, in which nobody uses it.
_CALLS_A_PLACE = 5


async def look_up(
    sessions: Sessions,
    source: EnrichmentSource,
    command: Lookup,
    settings: EnrichmentSettings,
    *,
    opener: Opener,
    places: Places,
    stopping: Callable[[], bool],
) -> LookupDone:
    """Run one lookup to its end.

    Its calls share the workspace's `places` with the other lookups of this process. `stopping` turns true when the
    process is going down. Cancelled, it starts no further call, commits what is in flight and ends. Raises
    CircuitOpen or RateLimited with the seconds to wait, LookupPostponed where another try follows, Unavailable
    without a database, CredentialsNotConfigured where the job's credential was sealed with a key that `opener`
    lacks.
    """
    workspace_id, job_id = UUID(command.workspace_id), UUID(command.job_id)
    async with sessions.for_workspace(workspace_id) as session:
        job = await repository.running_job(session, job_id, command.provider)
        if job is None or job.finished:
            return LookupDone(calls=0, found=0, open_records=0)
        records = await repository.open_records(session, job_id, command.first, command.last)
        credential, refusal = None, None
        if job.own_credential:
            try:
                credential = await credentials.open_for_calls(session, opener, workspace_id, command.provider)
            except CredentialRejected as error:
                refusal = error
    if job.desired_state != "running":
        # The wake that follows a change of desired_state cancels this lookup; it must not end before.
        raise LookupPostponed(f"the job is to be {job.desired_state}", retry_after=1)

    block = settings.calls_per_lookup
    budget = Budget(sessions, command, price=job.credit_cost, limited=job.limited, block=block)
    flusher = Flusher(
        sessions,
        job,
        command,
        settings,
        budget,
        open_records=len(records),
    )
    async with budget, flusher:
        run = _Run(
            sessions,
            source,
            command,
            settings,
            job,
            budget,
            flusher,
            places.calls(workspace_id, command.provider),
            stopping,
            credential,
        )
        await run.ask(records, refusal)
        postponed = await run.conclude()
    if postponed is not None:
        raise postponed
    return LookupDone(run.calls, run.found, 0 if flusher.settled else flusher.open_records)


class _Run:
    """The calls of one run of a lookup. `_rest` are the records that still wait for their turn to end."""

    def __init__(
        self,
        sessions: Sessions,
        source: EnrichmentSource,
        command: Lookup,
        settings: EnrichmentSettings,
        job: RunningJob,
        budget: Budget,
        flusher: Flusher,
        places: asyncio.Semaphore,
        stopping: Callable[[], bool],
        credential: OwnCredential | None,
    ) -> None:
        self._sessions = sessions
        self._source = source
        self._command = command
        self._settings = settings
        self._job = job
        self._budget = budget
        self._flusher = flusher
        self._places = places
        self._process_stops = stopping
        self._credential = credential
        self._api_key = credential.api_key if credential else None
        self._fillable = frozenset(source.capabilities.fields.get(job.entity, ())) & frozenset(job.fields)
        self._workspace_id = UUID(command.workspace_id)
        self._cancelled = False
        self._out_of_budget = ""
        self._refusal: ProviderError | None = None
        self._failures: dict[int, ProviderError] = {}
        self._rest: dict[int, OpenRecord] = {}
        self._answered = False
        self.calls = 0
        self.found = 0

    async def ask(self, records: list[OpenRecord], refusal: CredentialRejected | None) -> None:
        """Call the provider for each record that it could help, until something stops it; with a `refusal` for none."""
        self._refusal = refusal
        for record in records:
            if self._is_worth_asking(record):
                self._rest[record.position] = record
            elif self._command.is_last:
                self._flusher.add(Turn(record, None, datetime.now(UTC)))
        if not self._rest:
            return
        queue = iter(list(self._rest.values()))
        callers = [
            asyncio.create_task(self._call_in_turn(queue))
            for _ in range(min(self._settings.calls_per_lookup, len(self._rest)))
        ]
        try:
            await asyncio.wait(callers)
        except asyncio.CancelledError:
            self._cancelled = True
            await asyncio.wait(callers)
            raise
        for caller in callers:
            caller.result()

    def _is_worth_asking(self, record: OpenRecord) -> bool:
        missing = self._fillable
        if record.answers:
            if any(a.provider == self._source.name and a.outcome != "retrying" for a in record.answers):
                return False
            missing = missing - merge(self._job.fields, record.answers, self._job.min_confidence).keys()
        return bool(missing) and self._source.capabilities.can_look_up(self._query(record))

    def _query(self, record: OpenRecord) -> Query:
        return Query(
            self._job.entity,
            record.subject_key,
            record.subject,
            self._fillable,
            self._api_key,
            self._workspace_id,
            self._may_call,
        )

    async def _call_in_turn(self, queue: Iterator[OpenRecord]) -> None:
        while self._may_call():
            async with self._places:
                for _ in range(_CALLS_A_PLACE):
                    if not self._may_call() or not await self._has_budget() or (record := next(queue, None)) is None:
                        return
                    await self._call(record)
                    if self._flusher.is_behind:
                        break
            await self._flusher.room()

    def _may_call(self) -> bool:
        return (
            self._refusal is None
            and self._flusher.wanted
            and not self._cancelled
            and not self._out_of_budget
            and not self._process_stops()
        )

    async def _has_budget(self) -> bool:
        taken = await self._budget.take()
        if taken != "taken":
            self._out_of_budget = taken
        return taken == "taken"

    async def _call(self, record: OpenRecord) -> None:
        try:
            answer = await self._source.look_up(self._query(record))
        except (CircuitOpen, SwitchedOff) as error:
            self._refusal = error
        except Throttled as error:
            # What stopped this run while the call waited for its turn is a better reason than the wait.
            if self._may_call():
                self._refusal = error
        except (RateLimited, KeyRefusal) as error:
            self._refusal = error
            self._count_call(failed=True)
        except InvalidQuery as error:
            self._count_call(failed=True)
            self._end(record, "rejected", error.code)
        except ProviderError as error:
            self._count_call(failed=True)
            self._failures[record.position] = error
        else:
            self._count_call()
            if self._take_answer(record, answer):
                return
        self._budget.give_back()

    def _take_answer(self, record: OpenRecord, answer: Answer) -> bool:
        """End the record's turn with this answer; True when it found something that the workspace pays for."""
        self._answered = True
        if isinstance(answer, Found):
            found = {
                field: (answer.values[field], answer.confidences.get(field, answer.confidence))
                for field in self._job.fields
                if field in answer.values
            }
            if any(confidence >= self._job.min_confidence for _, confidence in found.values()):
                self.found += 1
                self._end(record, "found", None, found)
                return True
            self._end(record, "missed", "nothing_wanted")
        elif isinstance(answer, Missed):
            self._end(record, "missed", answer.reason)
        elif isinstance(answer, Unreachable):
            self._end(record, "unreachable", answer.reason)
        else:
            self._failures[record.position] = NotReady(self._source.name, "still works out the answer")
        return False

    def _count_call(self, *, failed: bool = False) -> None:
        self.calls += 1
        self._flusher.count_call(failed=failed)

    def _end(self, record: OpenRecord, outcome: Outcome, reason: str | None, found: FoundFields | None = None) -> None:
        del self._rest[record.position]
        self._flusher.add(Turn(record, outcome, datetime.now(UTC), reason, found))

    def _end_rest(self, outcome: Outcome, reason: str) -> None:
        for record in list(self._rest.values()):
            self._end(record, outcome, reason)

    async def conclude(self) -> AppError | None:
        """Decide about the records whose turn has not ended: what to raise so that Temporal asks again, or None."""
        if not self._rest or self._flusher.settled:
            return None
        if not self._flusher.wanted:
            return LookupPostponed("the job is not to run now", retry_after=1)
        match self._refusal:
            case KeyRefusal() as error:
                await self._reject_credential(error)
                self._end_rest("rejected", error.code)
                return None
            case RateLimited() as error:
                delay = min(error.retry_after or 1.0, LONGEST_PARK_SECONDS) * uniform(1, 1.1)  # noqa: S311  # jitter
                await self._flusher.drain()
                await self._throttle(delay, error.message)
                return RateLimited(error.provider, "throttled", retry_after=delay)
            case CircuitOpen() as error:
                return await self._wait_for_recovery(error)
        if self._process_stops():
            return LookupPostponed("the worker is going down", retry_after=0.1)
        if self._out_of_budget == "later":
            return LookupPostponed("the rest of the budget is bound by calls under way", retry_after=0.2)
        if self._out_of_budget:
            for position, record in list(self._rest.items()):
                if position not in self._failures:
                    self._end(record, "budget", "max_credits")
        return await self._try_again()

    async def _reject_credential(self, refusal: KeyRefusal) -> None:
        """Have later lookups of the workspace ask nothing with a credential of its own that was refused."""
        if self._credential is None or isinstance(refusal, SwitchedOff):
            return
        workspace_id = UUID(self._command.workspace_id)
        async with self._sessions.for_workspace(workspace_id) as session:
            await credentials.reject(session, workspace_id, self._command.provider, self._credential, refusal)

    async def _wait_for_recovery(self, error: ProviderError) -> AppError | None:
        """The provider is away: skip it, or wait for as long as the job allows."""
        # First what is in flight: an answer ends a wait, and must not end the one that begins here.
        await self._flusher.drain()
        if self._job.on_outage == "skip":
            self._end_rest("skipped_outage", error.code)
            return None
        # So that what waits for the same circuit does not come back in the same moment.
        delay = min((error.retry_after or 1.0) * uniform(1, 1.3), LONGEST_PARK_SECONDS)  # noqa: S311  # jitter
        left = await self._park(delay, error.message)
        if left <= 0:
            self._end_rest("gave_up", error.code)
            return None
        error.retry_after = min(delay, left)
        return error

    async def _park(self, delay: float, message: str) -> float:
        async with self._sessions.for_workspace(self._workspace_id) as session:
            return await waiting.park(
                session,
                self._workspace_id,
                UUID(self._command.job_id),
                self._command.provider,
                delay_seconds=delay,
                error=message,
                max_wait_seconds=self._job.max_wait_seconds,
            )

    async def _throttle(self, delay: float, message: str) -> None:
        async with self._sessions.for_workspace(self._workspace_id) as session:
            job_id, provider = UUID(self._command.job_id), self._command.provider
            await waiting.throttle(session, job_id, provider, delay_seconds=delay, error=message)

    async def _try_again(self) -> AppError | None:
        """Calls failed while the circuit stayed closed: try those records again, within bounds."""
        tries = 1
        for position, error in self._failures.items():
            record = self._rest[position]
            earlier = next((a for a in record.answers if a.provider == self._source.name), None)
            tries = earlier.tries + 1 if earlier else 1
            if isinstance(error, Malformed) and earlier and earlier.reason == Malformed.code:
                self._end(record, "malformed", error.code)
            elif tries >= self._settings.max_tries and earlier and self._is_alive_since(earlier):
                self._end(record, "gave_up", error.code)
            else:
                now = datetime.now(UTC)
                self._flusher.add(Turn(record, "retrying", now, error.code, tries=min(tries, 30_000)))
        if not self._rest:
            return None
        error = self._failures[next(iter(self._rest))]
        error.retry_after = min(_FIRST_RETRY_SECONDS * 2 ** min(tries - 1, 10), LONGEST_PARK_SECONDS)
        if not self._answered:
            # Too few calls to open a circuit, and none went through: for this job it is an outage all the same.
            return await self._wait_for_recovery(error)
        return LookupPostponed(
            f"{len(self._rest)} records to try again: {error.message}", retry_after=error.retry_after
        )

    def _is_alive_since(self, earlier: StoredAnswer) -> bool:
        """Whether the provider answered others meanwhile: then it is this record that it fails on."""
        last = self._source.last_answer_at
        return last is not None and last > earlier.answered_at.timestamp()
