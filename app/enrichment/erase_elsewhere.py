"""Erasing somebody from what is kept beside jobs: what vendors said, events, remembered answers."""

import asyncio
from collections.abc import Collection
from time import monotonic
from uuid import UUID

from app.db import Sessions
from app.deadletters import service as deadletters
from app.enrichment import erase_repository as repository
from app.enrichment import raw_answers
from app.enrichment.erase import PAGE_SECONDS, Scene
from app.enrichment.erase_repository import RawBatch, Span
from app.enrichment.traces import ERASED, Trace
from app.idempotency import service as idempotency
from app.webhooks import service as webhooks
from workflows.contracts.erasures import ErasePage, PageErased

# Of some hundred answers each.
_RAW_BATCHES = 20
_EVENTS = 2000


async def erase_raw_answers(sessions: Sessions, page: ErasePage) -> PageErased:
    """Go through the raw answers of the workspace for PAGE_SECONDS, or to the end. Those about records that were erased
    go, and those that mention the subject. Raises Unavailable."""
    scene = await Scene.of(sessions, page)
    if scene is None:
        return PageErased(None)
    after = UUID(page.after or UUID(int=0).hex)
    deadline = monotonic() + PAGE_SECONDS
    while True:
        async with sessions.for_workspace(scene.workspace_id) as session:
            batches = await repository.raw_page(
                session, scene.workspace_id, after=after, since=scene.since, limit=_RAW_BATCHES
            )
            spans = [Span(batch.job_id, batch.first, batch.last) for batch in batches]
            erased = await repository.erased_positions(session, spans, erased=ERASED) if spans else set()
        for batch in batches:
            if doomed := await asyncio.to_thread(_doomed, scene.trace, batch, erased):
                await _rewrite(scene, batch.id, doomed)
            after = batch.id
        if len(batches) < _RAW_BATCHES:
            return PageErased(None)
        if monotonic() >= deadline:
            return PageErased(str(after))


async def erase_events(sessions: Sessions, page: ErasePage) -> PageErased:
    """Go through the events of the workspace for PAGE_SECONDS, or to the end; first through what people and receivers
    wrote about them and about dead letters, which is little. Raises Unavailable."""
    scene = await Scene.of(sessions, page)
    if scene is None:
        return PageErased(None)
    if not page.after:
        await _erase_words(scene)
    after: UUID | None = UUID(page.after or UUID(int=0).hex)
    deadline = monotonic() + PAGE_SECONDS
    while after is not None and monotonic() < deadline:
        async with sessions.for_workspace(scene.workspace_id) as session:
            rewritten, after = await webhooks.rewrite(
                session,
                scene.workspace_id,
                scene.trace.like,
                scene.trace.removed_from,
                after=after,
                since=scene.since,
                limit=_EVENTS,
            )
            if rewritten:
                await scene.count(session, events=rewritten)
    return PageErased(None if after is None else str(after))


async def _erase_words(scene: Scene) -> None:
    async with scene.sessions.for_workspace(scene.workspace_id) as session:
        answers = await webhooks.erase_words(session, scene.workspace_id, scene.trace.like)
        reasons = await deadletters.erase_reasons(session, scene.workspace_id, scene.trace.like)
        if answers or reasons:
            await scene.count(session, receivers_answers=answers, dead_letters=reasons)


async def erase_remembered_answers(sessions: Sessions, page: ErasePage) -> PageErased:
    """Forget what mentions the subject, also within another name: it is kept for a week, and for repetitions only.

    No page could be named but by the keys that callers chose, which may be names: it is all of it at once. Raises
    Unavailable.
    """
    scene = await Scene.of(sessions, page)
    if scene is None:
        return PageErased(None)
    async with sessions.for_workspace(scene.workspace_id) as session:
        forgotten = await idempotency.forget(session, scene.workspace_id, scene.trace.like)
        if forgotten:
            await scene.count(session, remembered_answers=forgotten)
    return PageErased(None)


def _doomed(trace: Trace, batch: RawBatch, erased: Collection[tuple[UUID, int]]) -> set[int]:
    """Positions of what is to be removed."""
    answers = raw_answers.unpack(batch.body)
    return {at for at, raw in answers.items() if (batch.job_id, at) in erased or trace.mentioned_in_raw(raw)}


async def _rewrite(scene: Scene, batch_id: UUID, doomed: Collection[int]) -> None:
    async with scene.sessions.for_workspace(scene.workspace_id) as session:
        body = await repository.lock_raw(session, scene.workspace_id, batch_id)
        if body is None:
            return
        answers = raw_answers.unpack(body)
        left = {position: raw for position, raw in answers.items() if position not in doomed}
        packed = raw_answers.pack(left) if left else None
        await repository.change_raw(session, scene.workspace_id, batch_id, packed)
        await scene.count(session, raw_answers=len(answers) - len(left))
