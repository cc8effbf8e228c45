"""Committing the answers of a running lookup: a hundred at a time or every half second, whichever comes first.

One transaction holds the answers (misses too, or they would be bought again), the charges for those that are new, and
the final statuses that follow from them. Once the job is settled nothing is written any more.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self, TypeAlias
from uuid import UUID

import structlog

from app.credits import service as credits
from app.db import Session, Sessions
from app.enrichment import lookup_repository as repository
from app.enrichment import waiting
from app.enrichment.budget import Budget
from app.enrichment.lookup_repository import Ending, NewAnswer, OpenRecord, RunningJob
from app.enrichment.waterfall import StoredAnswer, merge, verdict
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
    """The end of a provider's turn with a record. `outcome` None: there was nothing to ask, and no answer to store;
    "retrying": the call failed and another try follows."""

    record: OpenRecord
    outcome: str | None
    at: datetime
    reason: str | None = None
    found: FoundFields | None = None
    tries: int = 1


class Flusher:
    """Collects turns and commits them in the background; used by one lookup, on one event loop.

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
    ) -> None:
        self._sessions = sessions
        self._job = job
        self._command = command
        self._settings = settings
        self._budget = budget
        self._workspace_id = UUID(command.workspace_id)
        self._job_id = UUID(command.job_id)
        self._pending: list[Turn] = []
        self._calls = 0
        self._errors = 0
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
        batch, calls, errors = list(self._pending), self._calls, self._errors
        answers = [answer for turn in batch if (answer := self._answer(turn))]
        endings = [ending for turn in batch if (ending := self._ending(turn))]
        await self._store(answers, endings, calls, errors)
        del self._pending[: len(batch)]
        self._calls -= calls
        self._errors -= errors
        self.open_records -= len(endings)
        self._stored.set()

    async def _store(self, answers: list[NewAnswer], endings: list[Ending], calls: int, errors: int) -> None:
        """The transaction of a flush, tried again while the database is away: these answers were paid for."""
        deadline = asyncio.get_running_loop().time() + _STORE_FOR_SECONDS
        delay = 0.1
        while True:
            try:
                async with self._sessions.for_workspace(self._workspace_id) as session:
                    charged = await self._write(session, answers, endings, calls, errors)
            except Unavailable:
                if asyncio.get_running_loop().time() + delay > deadline:
                    raise
            else:
                self._budget.spent(charged)
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)

    async def _write(
        self, session: Session, answers: list[NewAnswer], endings: list[Ending], calls: int, errors: int
    ) -> int:
        """Lock the job, write, charge; return the credits charged."""
        finished, desired_state = await repository.lock_job(session, self._job_id)
        if finished:
            # Too late: what these calls cost is ours, the workspace is not charged for a job that has ended.
            self.settled, self.wanted = True, False
            log.warning("answers after the end", answers=len(answers), provider=self._command.provider)
            return 0
        self.wanted = self.wanted and desired_state == "running"
        flushed = await repository.write_flush(
            session,
            workspace_id=self._workspace_id,
            job_id=self._job_id,
            provider=self._command.provider,
            answers=answers,
            endings=endings,
            calls=calls,
            errors=errors,
        )
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
            reason=f"{self._command.provider} found a result",
            reference_type="enrichment_answer",
        )
        return total

    def _answer(self, turn: Turn) -> NewAnswer | None:
        if turn.outcome is None:
            return None
        price = self._job.credit_cost if turn.outcome == "found" else 0
        return NewAnswer(turn.record.position, turn.outcome, turn.reason, turn.found, price, turn.tries, turn.at)

    def _ending(self, turn: Turn) -> Ending | None:
        """The record's final status, where this turn gives it one."""
        if turn.outcome == "retrying":
            return None
        answers = [each for each in turn.record.answers if each.provider != self._command.provider]
        if turn.outcome is not None:
            answers.append(StoredAnswer(self._command.provider, turn.outcome, turn.at, turn.found))
        filled = merge(self._job.fields, answers, self._job.min_confidence)
        if len(filled) < len(self._job.fields) and not self._command.is_last:
            return None
        status, reason = verdict(self._job.fields, filled, (each.outcome for each in answers))
        return Ending(turn.record.position, status, reason)
