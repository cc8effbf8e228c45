"""One lookup: ask a provider for what a range of records still lacks, and commit the answers as they come.

Temporal knows the range, PostgreSQL knows each answer. A second run of the same command, after a crash or a wait,
asks only for what has no answer yet.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from random import uniform
from uuid import UUID

from pydantic import SecretStr

from app.credentials import use as credentials
from app.credentials.opening import Opener
from app.credentials.use import OwnCredential
from app.db import Session, Sessions
from app.enrichment import lookup_repository as repository
from app.enrichment import telling, waiting
from app.enrichment.asking import Asked, Asking
from app.enrichment.budget import Budget
from app.enrichment.errors import LookupPostponed
from app.enrichment.flush import Flusher, Turn
from app.enrichment.lookup_repository import OpenRecord, RunningJob
from app.enrichment.places import Places
from app.enrichment.reuse import Reuse
from app.enrichment.waterfall import Outcome, StoredAnswer
from app.errors import AppError
from app.providers.errors import (
    CircuitOpen,
    CredentialRejected,
    KeyRefusal,
    Malformed,
    ProviderError,
    RateLimited,
    SwitchedOff,
)
from app.providers.ports import EnrichmentSource
from app.settings import EnrichmentSettings
from workflows.contracts.enrichment import Lookup, LookupDone

# A parked activity cannot be woken, so none parks for longer.
LONGEST_PARK_SECONDS = 30.0
_FIRST_RETRY_SECONDS = 0.5
# How soon to look whether another job, which asks about the same subject, was told.
_BUSY_SECONDS = 1.0


async def look_up(
    sessions: Sessions,
    sources: Mapping[str, EnrichmentSource],
    command: Lookup,
    settings: EnrichmentSettings,
    *,
    opener: Opener,
    places: Places,
    stopping: Callable[[], bool],
    run_id: UUID | None = None,
    keeps_raw: bool = True,
) -> LookupDone:
    """Run one lookup to its end, as a part of the workflow run `run_id`.

    Its calls share the workspace's `places` with the other lookups of this process. What vendors say is kept in their
    own words too where it `keeps_raw`. `stopping` turns true when the process is going down. Cancelled, it starts no
    further call, commits what is in flight and ends. Raises CircuitOpen or RateLimited with the seconds to wait,
    LookupPostponed where another try follows, Unavailable without a database, CredentialsNotConfigured where the job's
    credential was sealed with a key that `opener` lacks.
    """
    workspace_id, job_id = UUID(command.workspace_id), UUID(command.job_id)
    source = sources[command.provider]
    async with sessions.for_workspace(workspace_id) as session:
        job = await repository.running_job(session, job_id, command.provider, run_id=run_id)
        if job is None or job.finished:
            return LookupDone(calls=0, found=0, open_records=0)
        records = await repository.open_records(session, job_id, command.first, command.last)
        tells = await telling.is_wanted(session, workspace_id)
        credential, refusal = None, None
        if job.own_credential:
            try:
                credential = await credentials.open_for_calls(session, opener, workspace_id, command.provider)
            except CredentialRejected as error:
                refusal = error
        asked = Asked(
            source,
            credential.api_key if credential else None,
            *(await _verifier(session, opener, workspace_id, job, sources)),
        )
    if job.desired_state != "running":
        # The wake that follows a change of desired_state cancels this lookup; it must not end before.
        raise LookupPostponed(f"the job is to be {job.desired_state}", retry_after=1)

    block = settings.calls_per_lookup
    budget = Budget(sessions, command, price=job.price(source), limited=job.limited, block=block)
    flusher = Flusher(
        sessions,
        job,
        command,
        settings,
        budget,
        open_records=len(records),
        run_id=run_id,
        keeps_raw=keeps_raw,
        tells=tells,
    )
    reuse = Reuse(sessions, command, job, job.fillable(source))
    async with reuse, budget, flusher:
        calls = places.calls(workspace_id, command.provider)
        asking = Asking(asked, command, settings, job, budget, flusher, reuse, calls, stopping)
        asking.refusal = refusal
        await asking.ask(records)
        conclusion = _Conclusion(sessions, source, command, settings, job, flusher, asking, stopping, credential)
        postponed = await conclusion.conclude()
    if postponed is not None:
        raise postponed
    if flusher.settled:
        return LookupDone(asking.calls, asking.turns.found, 0)
    return LookupDone(asking.calls, asking.turns.found, flusher.open_records, conclusion.pending_seconds)


async def _verifier(
    session: Session, opener: Opener, workspace_id: UUID, job: RunningJob, sources: Mapping[str, EnrichmentSource]
) -> tuple[EnrichmentSource | None, SecretStr | None]:
    """Who verifies the addresses that are found, and by which key. One whose key was rejected says so when it is
    asked."""
    if job.verifier is None:
        return None, None
    key = None
    if job.verifier_own_credential:
        with suppress(CredentialRejected):
            key = (await credentials.open_for_calls(session, opener, workspace_id, job.verifier)).api_key
    return sources[job.verifier], key


class _Conclusion:
    """What follows from how far a run of a lookup came. `pending_seconds`: the provider works out all that is left, and
    is to be asked for it after so long."""

    def __init__(
        self,
        sessions: Sessions,
        source: EnrichmentSource,
        command: Lookup,
        settings: EnrichmentSettings,
        job: RunningJob,
        flusher: Flusher,
        asking: Asking,
        stopping: Callable[[], bool],
        credential: OwnCredential | None,
    ) -> None:
        self._sessions = sessions
        self._source = source
        self._command = command
        self._settings = settings
        self._job = job
        self._flusher = flusher
        self._asking = asking
        self._process_stops = stopping
        self._credential = credential
        self._workspace_id = UUID(command.workspace_id)
        self.pending_seconds: float | None = None

    async def conclude(self) -> AppError | None:
        """Decide about the records whose turn has not ended: what to raise so that Temporal asks again, or None."""
        asking, turns = self._asking, self._asking.turns
        if not turns.rest or self._flusher.settled:
            return None
        if not self._flusher.wanted:
            return LookupPostponed("the job is not to run now", retry_after=1)
        match asking.refusal:
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
        if asking.out_of_budget == "later":
            return LookupPostponed("the rest of the budget is bound by calls under way", retry_after=0.2)
        if asking.out_of_budget:
            for position, record in list(turns.rest.items()):
                if not (position in turns.failures or position in turns.later or position in asking.busy):
                    turns.end(record, "budget", "max_credits")
        return await self._try_again() or self._come_back()

    def _end_rest(self, outcome: Outcome, reason: str) -> None:
        for record in list(self._asking.turns.rest.values()):
            self._asking.turns.end(record, outcome, reason)

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
        turns = self._asking.turns
        failures = {position: error for position, error in turns.failures.items() if position in turns.rest}
        tries, error = 1, None
        for position, failure in failures.items():
            record = turns.rest[position]
            earlier = turns.own_answer(record)
            tries = earlier.tries + 1 if earlier else 1
            if isinstance(failure, Malformed) and earlier and earlier.reason == Malformed.code:
                turns.end(record, "malformed", failure.code)
            elif tries >= self._settings.max_tries and earlier and self._is_alive_since(earlier):
                turns.end(record, "gave_up", failure.code)
            else:
                self._flusher.add(self._next_try(record, earlier, failure, min(tries, 30_000)))
                error = error or failure
        if error is None:
            return None
        error.retry_after = min(_FIRST_RETRY_SECONDS * 2 ** min(tries - 1, 10), LONGEST_PARK_SECONDS)
        if not self._asking.answered:
            # Too few calls to open a circuit, and none went through: for this job it is an outage all the same.
            return await self._wait_for_recovery(error)
        left = len(turns.rest)
        return LookupPostponed(f"{left} records to try again: {error.message}", retry_after=error.retry_after)

    def _next_try(self, record: OpenRecord, earlier: StoredAnswer | None, error: ProviderError, tries: int) -> Turn:
        """What is stored of a call that failed: what was bought before stays bought."""
        now = datetime.now(UTC)
        if unverified := self._asking.turns.unverified.get(record.position):
            found, at, reused = unverified.found, unverified.at, unverified.reused
            return Turn(record, "unverified", at, error.code, found, tries=tries, reused=reused)
        if earlier is not None and earlier.outcome == "pending":
            return Turn(record, "pending", now, error.code, handle=earlier.handle, poll_at=now, tries=tries)
        return Turn(record, "retrying", now, error.code, tries=tries)

    def _come_back(self) -> AppError | None:
        """Others are at work on all that is left: another job, or the provider."""
        turns = self._asking.turns
        if self._asking.busy & turns.rest.keys():
            return LookupPostponed("another job asks about the same subjects", retry_after=_BUSY_SECONDS)
        if turns.later:
            soonest = min(turns.later.values())
            self.pending_seconds = max((soonest - datetime.now(UTC)).total_seconds(), _FIRST_RETRY_SECONDS)
        return None

    def _is_alive_since(self, earlier: StoredAnswer) -> bool:
        """Whether the provider answered others meanwhile: then it is this record that it fails on."""
        last = self._source.last_answer_at
        return last is not None and last > earlier.answered_at.timestamp()
