"""Committing the answers of a running lookup: a hundred at a time or every half second, whichever comes first.

One transaction holds the answers (misses too, or they would be bought again), the charges for those that are new, the
final statuses that follow from them, and what is told of those: dead letters, events. Once the job is settled nothing
is written any more.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from types import TracebackType
from typing import Literal, Self, TypeAlias
from uuid import UUID

import structlog

from app.credits import service as credits
from app.db import Session, Sessions
from app.enrichment import letters, raw_answers, telling, waiting
from app.enrichment import lookup_repository as repository
from app.enrichment import repository as jobs
from app.enrichment.budget import Budget
from app.enrichment.lookup_repository import Ended, Ending, NewAnswer, OpenRecord, RunningJob
from app.enrichment.waterfall import OPEN_OUTCOMES, StoredAnswer, merge, verdict
from app.errors import Unavailable
from app.providers.ports import JsonValue
from app.settings import EnrichmentSettings
from workflows.contracts.enrichment import Lookup

log = structlog.get_logger(__name__)

# How long a batch that was paid for is tried to be stored while the database is away, before the lookup fails.
_STORE_FOR_SECONDS = 20.0


# Field → value and confidence.
FoundFields: TypeAlias = dict[str, tuple[JsonValue, float]]


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of a provider's turn with a record; its end, unless `outcome` is one of OPEN_OUTCOMES. None: there was
    nothing to ask, and is no answer to store. `at` is when it was answered: before this job where it is `reused`. It
    costs the workspace so many `credits`."""

    record: OpenRecord
    outcome: str | None
    at: datetime
    reason: str | None = None
    found: FoundFields | None = None
    credits: int = 0
    tries: int = 1
    handle: str | None = None
    poll_at: datetime | None = None
    reused: bool = False
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one flush commits; `raw` is what the vendor said, by position."""

    answers: Sequence[NewAnswer]
    endings: Sequence[Ending]
    raw: Sequence[tuple[int, bytes]]
    calls: int
    errors: int
    verifications: Counter[str]


class Flusher:
    """Collects turns and commits them in the background; used by one lookup, on one event loop.

    Records that end are told one by one where it `tells`: somebody subscribed to that.
    `open_records` counts the records without a final status; `wanted` turns false when the job is settled, paused or
    cancelled, or when the database stays away.
    """

    def __init__(
        self,
        sessions: Sessions,
        job: RunningJob,
        command: Lookup,
        settings: EnrichmentSettings,
        budget: Budget,
        *,
        open_records: int,
        run_id: UUID | None,
        keeps_raw: bool,
        tells: bool,
    ) -> None:
        self._sessions = sessions
        self._job = job
        self._command = command
        self._settings = settings
        self._budget = budget
        self._workspace_id = UUID(command.workspace_id)
        self._job_id = UUID(command.job_id)
        self._pending: list[Turn] = []
        self._run_id = run_id
        self._keeps_raw = keeps_raw
        self._tells = tells
        self._calls = 0
        self._errors = 0
        self._verifications = Counter[str]()
        self._full = asyncio.Event()
        self._stored = asyncio.Event()
        self._closing = False
        self.open_records = open_records
        self.wanted = True
        self.settled = False
        self._task = asyncio.create_task(self._flush_in_background())

    def add(self, turn: Turn) -> None:
        """Take a turn to be committed."""
        self._pending.append(turn)
        if len(self._pending) >= self._settings.flush_answers:
            self._full.set()

    def count_call(self, *, failed: bool = False) -> None:
        self._calls += 1
        self._errors += failed

    def count_verification(self, result: Literal["passed", "refused", "errors"]) -> None:
        """The job's verifier was called."""
        self._verifications["calls"] += 1
        self._verifications[result] += 1

    @property
    def is_behind(self) -> bool:
        """Whether commits have fallen behind the answers."""
        return len(self._pending) >= 2 * self._settings.flush_answers and not self._task.done()

    async def room(self) -> None:
        """Wait while commits are behind, so that a crash never loses more than the batch being collected."""
        while self.is_behind:
            self._stored.clear()
            await self._stored.wait()

    async def drain(self) -> None:
        """Wait until all that was added is committed."""
        while self._pending and not self._task.done():
            self._stored.clear()
            self._full.set()
            await self._stored.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what is left. Raises Unavailable when that could not be done."""
        self._closing = True
        self._full.set()
        await self._task

    async def _flush_in_background(self) -> None:
        try:
            while not self._closing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.flush_seconds):
                        await self._full.wait()
                self._full.clear()
                await self._flush()
            await self._flush()
        except BaseException:
            self.wanted = False
            raise
        finally:
            self._stored.set()

    async def _flush(self) -> None:
        if not self._pending:
            return
        size = len(self._pending)
        # Of a record whose turn went on meanwhile the last word counts.
        turns = {turn.record.position: turn for turn in self._pending}.values()
        batch = _Batch(
            answers=[answer for turn in turns if (answer := self._answer(turn))],
            endings=[ending for turn in turns if (ending := self._ending(turn))],
            raw=[(turn.record.position, turn.raw) for turn in self._pending if turn.raw is not None],
            calls=self._calls,
            errors=self._errors,
            verifications=self._verifications,
        )
        self._calls = self._errors = 0
        self._verifications = Counter()
        await self._store(batch)
        del self._pending[:size]
        self.open_records -= len(batch.endings)
        self._stored.set()

    async def _store(self, batch: _Batch) -> None:
        """The transaction of a flush, tried again while the database is away: these answers were paid for."""
        deadline = asyncio.get_running_loop().time() + _STORE_FOR_SECONDS
        delay = 0.1
        while True:
            try:
                async with self._sessions.for_workspace(self._workspace_id) as session:
                    charged = await self._write(session, batch)
            except Unavailable:
                if asyncio.get_running_loop().time() + delay > deadline:
                    raise
            else:
                self._budget.spent(charged)
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)

    async def _write(self, session: Session, batch: _Batch) -> int:
        """Lock the job, write, charge; return the credits charged."""
        finished, desired_state = await repository.lock_job(session, self._job_id)
        if finished:
            # Too late: what these calls cost is ours, the workspace is not charged for a job that has ended.
            self.settled, self.wanted = True, False
            log.warning("answers after the end", answers=len(batch.answers), provider=self._command.provider)
            return 0
        self.wanted = self.wanted and desired_state == "running"
        flushed = await repository.write_flush(
            session,
            workspace_id=self._workspace_id,
            job_id=self._job_id,
            provider=self._command.provider,
            answers=batch.answers,
            endings=batch.endings,
            calls=batch.calls,
            errors=batch.errors,
            run_id=self._run_id,
            tell_all=self._tells,
        )
        await self._tell(session, flushed.ended)
        if batch.endings and self._job.total == 1:
            # Somebody may be waiting for this one record. Of more records nothing is announced here: commits that
            # announce something wait for each other.
            await jobs.announce_end(session, self._job_id)
        if batch.verifications and self._job.verifier:
            counts = {name: batch.verifications[name] for name in ("calls", "errors", "passed")}
            await repository.count_verifications(session, self._job_id, self._job.verifier, **counts)
        if batch.raw and self._keeps_raw:
            await raw_answers.keep(session, self._workspace_id, self._job_id, self._command.provider, batch.raw)
        if flushed.parked_since is not None:
            provider, since = self._command.provider, flushed.parked_since
            await waiting.resume(session, self._workspace_id, self._job_id, provider, since, "answered")
        total = sum(price for _, price in flushed.charged)
        await self._budget.spend(session, total)
        await credits.charge(
            session,
            self._workspace_id,
            [
                credits.Charge(
                    key=f"charge:{self._command.job_id}:{position}:{self._command.provider}",
                    credits=price,
                    reference_id=f"{self._command.job_id}:{position}:{self._command.provider}",
                )
                for position, price in flushed.charged
            ],
            reason=f"{self._command.provider} gave an answer",
            reference_type="enrichment_answer",
        )
        return total

    async def _tell(self, session: Session, ended: Sequence[Ended]) -> None:
        """What failed gets a dead letter; whoever subscribed hears of all."""
        failures = [(each.position, each.reason or "") for each in ended if each.status == "failed"]
        if failures:
            await letters.failed(session, self._workspace_id, self._job_id, failures, run_id=self._run_id)
        if self._tells and ended:
            await telling.records_completed(session, self._workspace_id, self._job_id, ended)

    def _answer(self, turn: Turn) -> NewAnswer | None:
        if turn.outcome is None:
            return None
        return NewAnswer(
            turn.record.position,
            turn.outcome,
            turn.reason,
            turn.found,
            turn.credits,
            turn.tries,
            turn.at,
            turn.handle,
            turn.poll_at,
            datetime.now(UTC) if turn.reused else None,
        )

    def _ending(self, turn: Turn) -> Ending | None:
        """The record's final status, where this turn gives it one."""
        if turn.outcome in OPEN_OUTCOMES:
            return None
        answers = [each for each in turn.record.answers if each.provider != self._command.provider]
        if turn.outcome is not None:
            own = StoredAnswer(self._command.provider, turn.outcome, turn.at, turn.found, order=self._job.order)
            answers = sorted((*answers, own), key=attrgetter("order"))
        filled = merge(self._job.fields, answers, self._job.min_confidence)
        if len(filled) < len(self._job.fields) and not self._command.is_last:
            return None
        status, reason = verdict(self._job.fields, filled, (each.outcome for each in answers))
        return Ending(turn.record.position, status, reason)
