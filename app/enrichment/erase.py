"""Erasing somebody from jobs: a record of them loses everything but what it cost, any other loses the place where it
mentions them.

Page by page, in order of job and position, without a lock on what has nothing to do with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Self
from uuid import UUID

from app.db import Session, Sessions
from app.enrichment import erase_repository as repository
from app.enrichment import erasure_repository as erasures
from app.enrichment import letters
from app.enrichment.erase_repository import Job, Span
from app.enrichment.traces import ERASED, Trace, TracedRecord
from app.providers.ports import Entity
from workflows.contracts.erasures import ErasePage, PageErased

PAGE_SECONDS = 20.0
"""After which an activity hands back what it has: what a crash repeats, and how often a sign of life is written."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is done at a time: one statement looks at so many `rows` of so many `jobs`, one transaction changes so
    many records that are not (`batch`) or are (`followers`) of the same subject as another."""

    seconds: float = PAGE_SECONDS
    rows: int = 5000
    jobs: int = 200
    batch: int = 200
    followers: int = 2000


_BOUNDS = Bounds()
# Longer than a transaction takes: it may carry the time of its beginning.
_MARGIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Scene:
    """An erasure that goes on. `since`: from when on something is looked at, None for everything."""

    sessions: Sessions
    workspace_id: UUID
    erasure_id: UUID
    trace: Trace
    began_at: datetime
    since: datetime | None

    @classmethod
    async def of(cls, sessions: Sessions, page: ErasePage) -> Self | None:
        """None where it is done already."""
        workspace_id, erasure_id = UUID(page.workspace_id), UUID(page.erasure_id)
        async with sessions.for_workspace(workspace_id) as session:
            erasure = await erasures.get(session, workspace_id, erasure_id)
            if erasure is None or erasure.subject is None:
                return None
            # A sign of life: a page may be all of it.
            await erasures.add_counts(session, workspace_id, erasure_id)
        since = erasure.created_at - _MARGIN if page.is_second else None
        trace = Trace(erasure.kind, erasure.subject)
        return cls(sessions, workspace_id, erasure_id, trace, erasure.created_at, since)

    async def count(self, session: Session, *, running_job: UUID | None = None, **counts: int) -> None:
        await erasures.add_counts(session, self.workspace_id, self.erasure_id, running_job=running_job, **counts)


@dataclass(frozen=True, slots=True)
class _Place:
    """What was looked at last: nothing of a job where `position` is 0."""

    job_id: UUID
    position: int

    def __str__(self) -> str:
        return f"{self.job_id}:{self.position}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` made; "" is before the first job."""
        if not text:
            return cls(UUID(int=0), 0)
        job_id, _, position = text.partition(":")
        return cls(UUID(job_id), int(position))


async def erase_records(sessions: Sessions, page: ErasePage, bounds: Bounds = _BOUNDS) -> PageErased:
    """Go through the jobs of the workspace for a while, or to the end. Raises Unavailable."""
    scene = await Scene.of(sessions, page)
    if scene is None:
        return PageErased(None)
    if not page.after:
        await _drop_claims(scene)
    place = _Place.parse(page.after)
    deadline = monotonic() + bounds.seconds
    while True:
        async with sessions.for_workspace(scene.workspace_id) as session:
            jobs = await repository.jobs(session, first=place.job_id, since=scene.since, limit=bounds.jobs)
            spans = list(_spans(jobs, place, bounds.rows))
            suspects = await repository.suspects(session, spans, scene.trace.like) if spans else {}
        entities = {job.id: job.entity for job in jobs}
        for job_id, positions in sorted(suspects.items()):
            await _erase_from_job(scene, job_id, entities[job_id], positions, bounds)
        if spans:
            place = _Place(spans[-1].job_id, spans[-1].last)
        if len(jobs) < bounds.jobs and (not jobs or place == _Place(jobs[-1].id, jobs[-1].total)):
            async with sessions.for_workspace(scene.workspace_id) as session:
                return PageErased(None, await repository.has_run_since(session, scene.began_at))
        if monotonic() >= deadline:
            return PageErased(str(place))


def _spans(jobs: Sequence[Job], place: _Place, rows: int) -> Iterator[Span]:
    """Up to `rows` records of these jobs, behind the place."""
    left = rows
    for job in jobs:
        first = place.position + 1 if job.id == place.job_id else 1
        last = min(job.total, first + left - 1)
        if first <= last:
            yield Span(job.id, first, last)
        left -= last - first + 1
        if left == 0:
            return


async def _drop_claims(scene: Scene) -> None:
    """Who is about to ask for the subject asks without a claim: the answer is not taken anyway."""
    async with scene.sessions.for_workspace(scene.workspace_id) as session:
        for provider, subject_key in await repository.claimed(session, scene.workspace_id, scene.trace.like):
            if scene.trace.mentioned_in(subject_key):
                await repository.drop_claim(session, scene.workspace_id, provider, subject_key)


async def _erase_from_job(scene: Scene, job_id: UUID, entity: Entity, positions: Sequence[int], bounds: Bounds) -> None:
    await _clear_job(scene, job_id)
    for at in range(0, len(positions), bounds.batch):
        leaders = await _erase_mentions(scene, job_id, entity, positions[at : at + bounds.batch])
        if leaders:
            await _erase_subjects(scene, job_id, leaders, bounds.followers)


async def _clear_job(scene: Scene, job_id: UUID) -> None:
    async with scene.sessions.for_workspace(scene.workspace_id) as session:
        _, columns = await repository.lock_job(session, job_id)
        left = [ERASED if scene.trace.mentioned_in(column) else column for column in columns]
        await repository.clear_job(session, job_id, left if left != columns else None, scene.trace.like)


async def _erase_mentions(scene: Scene, job_id: UUID, entity: Entity, positions: Sequence[int]) -> list[int]:
    """Remove the subject from records that mention it only; return the leaders of those that are about it."""
    trace = scene.trace
    async with scene.sessions.for_workspace(scene.workspace_id) as session:
        is_running, _ = await repository.lock_job(session, job_id)
        records = await repository.records(session, job_id, positions)
        leaders = {record.leader for record in records if trace.is_about(entity, record)}
        others = [record for record in records if record.leader not in leaders]
        answers = list(_changed_answers(trace, others))
        changes = [change for record in others if (change := _changed_record(trace, record))]
        if answers:
            await repository.change_answers(session, job_id, answers)
        if changes:
            await repository.change_records(session, job_id, changes, erased=ERASED)
        if answers or changes:
            running_job = job_id if is_running else None
            await scene.count(session, inputs=len(changes), results=len(answers), running_job=running_job)
    return sorted(leaders)


async def _erase_subjects(scene: Scene, job_id: UUID, leaders: Sequence[int], limit: int) -> None:
    while True:
        async with scene.sessions.for_workspace(scene.workspace_id) as session:
            await repository.lock_job(session, job_id)
            followers = await repository.erase_followers(session, job_id, leaders, erased=ERASED, limit=limit)
            if followers:
                await scene.count(session, inputs=followers)
        if followers < limit:
            break
    async with scene.sessions.for_workspace(scene.workspace_id) as session:
        is_running, _ = await repository.lock_job(session, job_id)
        gone = await repository.erase_leaders(session, job_id, leaders, erased=ERASED, forestall=is_running)
        discarded = await letters.erased(session, scene.workspace_id, job_id, leaders)
        await scene.count(
            session,
            inputs=gone.records,
            results=gone.results,
            reuse=gone.reuse,
            dead_letters=discarded,
            running_job=job_id if is_running else None,
        )


def _changed_record(trace: Trace, record: TracedRecord) -> dict[str, Any] | None:
    """What is to be written of a record that mentions the subject in its own columns; None where it does not."""
    rekey = trace.mentioned_in(record.key)
    left = trace.removed_from(dict(record.input))
    error = trace.removed_from(dict(record.error)) if record.error else None
    if not rekey and left == record.input and error == record.error:
        return None
    return {"position": record.position, "input": left, "error": error, "rekey": rekey}


def _changed_answers(trace: Trace, records: Sequence[TracedRecord]) -> Iterator[dict[str, Any]]:
    """What is to be written of answers that mention the subject: each once, whose record shares it with others."""
    seen = set()
    for record in records:
        for answer in record.answers:
            left = trace.removed_from_found(answer.found)
            if left != answer.found and (record.leader, answer.provider) not in seen:
                seen.add((record.leader, answer.provider))
                yield {"position": record.leader, "provider": answer.provider, "found": left}
