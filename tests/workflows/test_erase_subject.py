"""EraseSubject on a real Temporal server and a real PostgreSQL: it ends, whatever dies meanwhile, and says nobody's
name on the way."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import text
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.enrichment import erasures
from app.enrichment.erasure_repository import Erasure
from app.enrichment.traces import Trace
from app.idempotency.answers import Remembered
from tests.builders import make_job, violations
from tests.contents import mentions
from tests.fakes import FakeSource
from tests.processes import Installation
from tests.servers import Database
from tests.stack import Stack, open_stack
from tests.time_skipping import skipping_time
from workflows import ids, options
from workflows.contracts.erasures import Erased, ErasePage, ErasureActivities, ErasureRef, PageErased
from workflows.erasures import EraseSubject

DOMAINS = [f"company-{n}.com" for n in range(1, 21)]
WHOM = "company-7.com"


async def begin(stack: Stack, domain: str = WHOM) -> UUID:
    """Ask for an erasure as the API does."""
    begun: list[Erasure] = []

    def answer(erasure: Erasure) -> Remembered:
        begun.append(erasure)
        return Remembered(202, {}, None)

    admin = Caller(stack.workspace_id, ROLE_PERMISSIONS["admin"], "admin", user_id=uuid4())
    await erasures.start(stack.sessions, admin, Trace("domain", domain), answer, once=None)
    return begun[0].id


async def done(stack: Stack, erasure_id: UUID, *, seconds: float = 60) -> Erasure:
    async with asyncio.timeout(seconds):
        while True:
            erasure = await erasures.get_erasure(stack.sessions, stack.workspace_id, erasure_id)
            if erasure.finished_at:
                return erasure
            await asyncio.sleep(0.02)


def handle_of(client: Client, erasure_id: UUID) -> WorkflowHandle[Any, Any]:
    return client.get_workflow_handle(ids.erasure(str(erasure_id)))


async def test_an_erasure_ends_and_its_history_names_nobody(database: Database, temporal_server: str):
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source])
        await stack.until_finished(job_id)

        erasure_id = await begin(stack)
        erasure = await done(stack, erasure_id)

        handle = handle_of(stack.client, erasure_id)
        await handle.result()
        history = (await handle.fetch_history()).to_json()
        assert (erasure.inputs, erasure.results, erasure.subject) == (1, 1, None)
        assert await mentions(database, WHOM) == {}
        assert WHOM not in history
        assert "TIMER_STARTED" not in history, "nothing could come back"
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_a_job_that_runs_goes_on_without_whom_is_erased(database: Database):
    source = FakeSource()
    source.gate.clear()
    async with skipping_time() as client, open_stack(database, "", [source], client=client) as stack, stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source])
        await stack.until(job_id, lambda _: len(source.calls) >= 10)
        assert source.calls[f"domain:{WHOM}"], "it is being asked for"

        erasure = await done(stack, await begin(stack))
        source.gate.set()
        job = await stack.until_finished(job_id)

        assert erasure.running_jobs == [job_id]
        assert await mentions(database, WHOM) == {}
        assert (job["status"], job["matched"], job["failed"], job["charged"]) == ("completed", 19, 1, 38)
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_an_erasure_whose_workflow_was_terminated_is_started_again(database: Database, temporal_server: str):
    async with open_stack(database, temporal_server, [FakeSource()]) as stack:
        erasure_id = await begin(stack)
        assert await stack.relayed() > 0
        await handle_of(stack.client, erasure_id).terminate("an operator")

        async with stack.worker():
            assert (await done(stack, erasure_id)).subject is None


async def test_an_erasure_goes_on_after_its_worker_was_killed_in_the_middle(
    database: Database, temporal_server: str, tmp_path: Path
):
    installation = Installation(database, temporal_server, "http://127.0.0.1:1", tmp_path)
    async with open_stack(database, temporal_server, [FakeSource()]) as stack:
        first, second = [
            await make_job(stack.sessions, stack.workspace_id, DOMAINS, [FakeSource()], start=False) for _ in range(2)
        ]
        async with stack.owner.unscoped() as session:
            ended = "UPDATE enrichment_jobs SET finished_at = now() - interval '1 hour', status = 'completed'"
            await session.execute(text(ended))
        erasure_id = await begin(stack)

        with psycopg.connect(database.owner_url.replace("+psycopg", "")) as other:
            other.execute("SELECT FROM enrichment_jobs WHERE id = %s FOR UPDATE", (second,))
            with installation.worker() as worker:
                async with asyncio.timeout(60):
                    while await _erased(stack, first) == 0:
                        await asyncio.sleep(0.02)
                worker.kill()
            assert await _erased(stack, second) == 0
            assert (await erasures.get_erasure(stack.sessions, stack.workspace_id, erasure_id)).inputs == 1
        with installation.worker():
            erasure = await done(stack, erasure_id)

        assert (await _erased(stack, first), await _erased(stack, second)) == (1, 1)
        assert erasure.inputs == 2
        assert await mentions(database, WHOM) == {}


async def _erased(stack: Stack, job_id: UUID) -> int:
    query = text("SELECT count(*) FROM enrichment_records WHERE job_id = :id AND reason = 'erased'")
    async with stack.sessions.for_workspace(stack.workspace_id) as session:
        return int((await session.execute(query, {"id": job_id})).scalar_one())


class Pages(ErasureActivities):
    """Says that there are two pages of records, and that something may come back."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool]] = []

    def _page(self, name: str, page: ErasePage, following: str | None, *, again: bool = False) -> PageErased:
        self.asked.append((name, page.after, page.is_second))
        return PageErased(following, again)

    @activity.defn(name="erase_records")
    async def erase_records(self, page: ErasePage) -> PageErased:
        following = None if page.after else "here"
        return self._page("records", page, following, again=following is None)

    @activity.defn(name="erase_raw_answers")
    async def erase_raw_answers(self, page: ErasePage) -> PageErased:
        return self._page("raw answers", page, None)

    @activity.defn(name="erase_events")
    async def erase_events(self, page: ErasePage) -> PageErased:
        return self._page("events", page, None)

    @activity.defn(name="erase_remembered_answers")
    async def erase_remembered_answers(self, page: ErasePage) -> PageErased:
        return self._page("remembered answers", page, None)

    @activity.defn(name="finish_erasure")
    async def finish_erasure(self, erasure: ErasureRef) -> Erased:  # noqa: ARG002  # of the contract
        return Erased(5)


async def test_everything_is_looked_through_again_when_the_last_call_under_way_has_ended():
    pages = Pages()
    activities = [
        pages.erase_records,
        pages.erase_raw_answers,
        pages.erase_events,
        pages.erase_remembered_answers,
        pages.finish_erasure,
    ]
    async with (
        skipping_time() as client,
        Worker(client, task_queue=options.WORKFLOWS, workflows=[EraseSubject]),
        Worker(client, task_queue=options.DATABASE, activities=activities),
    ):
        handle = await client.start_workflow(
            EraseSubject.run, ErasureRef("workspace", "erasure"), id="erasure", task_queue=options.WORKFLOWS
        )
        assert await handle.result() == Erased(5)
        timers = [
            event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
            for event in (await handle.fetch_history()).events
            if event.HasField("timer_started_event_attributes")
        ]

    once = [("records", ""), ("records", "here"), ("raw answers", ""), ("events", ""), ("remembered answers", "")]
    assert pages.asked == [(*each, is_second) for is_second in (False, True) for each in once]
    assert timers == [options.PROVIDER_OPTIONS["start_to_close_timeout"]]
