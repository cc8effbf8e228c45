"""EnrichRecords on a real Temporal server and a real PostgreSQL."""

import asyncio
import time
from uuid import UUID

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from app.providers.errors import CircuitOpen
from app.providers.ports import Found, Missed, Pending, Query
from app.settings import EnrichmentSettings
from tests.builders import make_job, violations
from tests.fakes import FAKE_FIELDS, FakeSource
from tests.servers import Database
from tests.stack import Stack, open_stack

DOMAINS = [f"company-{n}.com" for n in range(1, 101)]


async def start(stack: Stack, *sources: FakeSource, domains: list[str] = DOMAINS, **job: object) -> UUID:
    return await make_job(stack.sessions, stack.workspace_id, domains, sources, **job)  # type: ignore[arg-type]


async def test_a_job_goes_through_the_waterfall_and_settles(database: Database, temporal_server: str) -> None:
    alpha = FakeSource("alpha", lambda query: Found({"industry": "Tools"}) if "-1" in query.key else Missed())
    beta = FakeSource("beta")
    async with open_stack(database, temporal_server, [alpha, beta]) as stack, stack.worker():
        job_id = await start(stack, alpha, beta, chunk=20, window=2)

        job = await stack.until_finished(job_id)

        assert (job["status"], job["matched"]) == ("completed", 100)
        assert job["charged"] == 2 * (sum("-1" in domain for domain in DOMAINS) + 100)
        assert alpha.calls.total() == beta.calls.total() == 100
        assert await violations(stack.sessions, stack.workspace_id) == []
        result = await stack.workflow(job_id).result()
        assert result["status"] == "completed"


async def test_a_long_job_continues_as_new(database: Database, temporal_server: str) -> None:
    source = FakeSource()
    settings = EnrichmentSettings(calls_per_lookup=10, flush_answers=20, flush_seconds=0.05, chunks_per_run=3)
    async with open_stack(database, temporal_server, [source], enrichment=settings) as stack, stack.worker():
        job_id = await start(stack, source, chunk=10, window=2)

        job = await stack.until_finished(job_id)

        first = stack.client.get_workflow_handle(
            stack.workflow(job_id).id,
            run_id=(await stack.workflow(job_id).describe()).raw_description.workflow_execution_info.first_run_id,
        )
        assert (await first.describe()).status == WorkflowExecutionStatus.CONTINUED_AS_NEW
        assert (job["status"], job["matched"]) == ("completed", 100)
        assert source.calls.total() == 100


async def test_no_call_begins_two_seconds_after_a_pause(database: Database, temporal_server: str) -> None:
    source = FakeSource(latency=0.2)
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await start(stack, source, chunk=20, window=1)
        await stack.until(job_id, lambda job: job["matched"] > 0)

        paused_at = time.monotonic()
        await stack.wake(job_id, "paused")
        await stack.until(job_id, lambda job: job["status"] == "paused")
        calls = source.calls.total()
        assert max(source.started_at) < paused_at + 2

        assert calls < 100
        await stack.wake(job_id, "running")
        job = await stack.until_finished(job_id)
        assert job["matched"] == 100
        assert source.calls.total() == 100


async def test_a_lookup_that_notices_the_pause_before_its_cancellation_does_not_fail_the_job(
    database: Database, temporal_server: str
) -> None:
    source = FakeSource(latency=0.05)
    settings = EnrichmentSettings(calls_per_lookup=5, flush_answers=1, flush_seconds=0.05)
    async with open_stack(database, temporal_server, [source], enrichment=settings) as stack, stack.worker():
        job_id = await start(stack, source, chunk=50, window=1)
        for _ in range(3):
            matched = (await stack.job(job_id))["matched"]
            await stack.until(job_id, lambda job, seen=matched: job["matched"] > seen)
            await stack.wake(job_id, "paused")
            await stack.until(job_id, lambda job: job["status"] == "paused")
            await stack.wake(job_id, "running")

        job = await stack.until_finished(job_id)

        assert (job["status"], job["matched"]) == ("completed", 100)
        assert source.calls.total() == 100


async def test_a_cancelled_job_flushes_what_is_in_flight_and_releases_the_rest(
    database: Database, temporal_server: str
) -> None:
    source = FakeSource(latency=0.2)
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await start(stack, source, chunk=20, window=1)
        await stack.until(job_id, lambda job: job["matched"] > 0)

        await stack.wake(job_id, "cancelled")
        job = await stack.until_finished(job_id)

        assert job["status"] == "cancelled"
        assert job["matched"] + job["cancelled"] == 100
        assert job["matched"] == source.calls.total()
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_a_cancel_that_comes_before_the_start_makes_no_call(database: Database, temporal_server: str) -> None:
    source = FakeSource()
    async with open_stack(database, temporal_server, [source]) as stack:
        job_id = await start(stack, source)
        await stack.wake(job_id, "cancelled")
        async with stack.worker():
            job = await stack.until_finished(job_id)

        assert (job["status"], job["cancelled"]) == ("cancelled", 100)
        assert not source.calls
        assert await violations(stack.sessions, stack.workspace_id) == []


@pytest.mark.parametrize("state", ["cancelled", "paused"])
async def test_a_job_parked_in_an_outage_obeys_at_once(database: Database, temporal_server: str, state: str) -> None:
    source = FakeSource(answer=lambda _: CircuitOpen("alpha", "circuit open", retry_after=25))
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await start(stack, source)
        await stack.until_waiting(job_id)

        asked = time.monotonic()
        await stack.wake(job_id, state)
        await stack.until(job_id, lambda job: job["status"] == state)

        assert time.monotonic() - asked < 2
        if state == "paused":
            source.answer = lambda query: Found(dict.fromkeys(FAKE_FIELDS, query.key))
            await stack.wake(job_id, "running")
            assert (await stack.until_finished(job_id))["matched"] == 100
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_an_outage_is_waited_out_and_nothing_is_lost(database: Database, temporal_server: str) -> None:
    up = asyncio.Event()

    def answer(query: Query) -> Found | CircuitOpen:
        if up.is_set() or query.key < "domain:company-2":
            return Found(dict.fromkeys(FAKE_FIELDS, query.key))
        return CircuitOpen("alpha", "circuit open", retry_after=0.3)

    source = FakeSource(answer=answer)
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await start(stack, source, chunk=25)
        await stack.until(job_id, lambda job: job["matched"] > 0)
        up.set()

        job = await stack.until_finished(job_id)

        assert (job["status"], job["matched"]) == ("completed", 100)
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_an_outage_longer_than_the_job_waits_ends_with_a_reason(database: Database, temporal_server: str) -> None:
    source = FakeSource(answer=lambda _: CircuitOpen("alpha", "circuit open", retry_after=0.2))
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await start(stack, source, max_wait_seconds=1)

        job = await stack.until_finished(job_id)

        assert (job["status"], job["failed"]) == ("completed", 100)
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_a_workflow_cancelled_in_the_temporal_ui_settles_as_cancelled(
    database: Database, temporal_server: str
) -> None:
    source = FakeSource(latency=0.2)
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await start(stack, source, chunk=20, window=1)
        await stack.until(job_id, lambda job: job["matched"] > 0)

        await stack.workflow(job_id).cancel()
        job = await stack.until_finished(job_id)

        assert job["status"] == "cancelled"
        with pytest.raises(WorkflowFailureError):
            await stack.workflow(job_id).result()
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_a_worker_that_goes_down_hands_its_work_over(database: Database, temporal_server: str) -> None:
    source = FakeSource(latency=0.1)
    async with open_stack(database, temporal_server, [source]) as stack:
        job_id = await start(stack, source, chunk=50)
        async with stack.worker():
            await stack.until(job_id, lambda job: job["matched"] > 0)
        assert (await stack.job(job_id))["finished_at"] is None
        async with stack.worker():
            job = await stack.until_finished(job_id)

        assert job["matched"] == 100
        assert source.calls.total() == 100


async def test_answers_that_are_worked_out_are_slept_for_and_bought_once(
    database: Database, temporal_server: str
) -> None:
    bought: list[str] = []

    def answer(query: Query) -> Found | Pending:
        if query.handle is None:
            bought.append(query.key)
            return Pending(query.key, 0.3)
        return Found(dict.fromkeys(FAKE_FIELDS, query.handle))

    source = FakeSource(answer=answer)
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await start(stack, source, chunk=25)

        job = await stack.until_finished(job_id)

        assert (job["status"], job["matched"]) == ("completed", 100)
        assert (len(bought), sorted(source.polled)) == (100, sorted(bought))
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_a_job_that_sleeps_for_answers_obeys_a_pause(database: Database, temporal_server: str) -> None:
    source = FakeSource(answer=lambda query: Pending(query.key, 600))
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        job_id = await start(stack, source, chunk=50)
        await stack.until(job_id, lambda _: source.calls.total() == 100)

        await stack.wake(job_id, "paused")
        await stack.until(job_id, lambda job: job["status"] == "paused")
        await stack.wake(job_id, "cancelled")
        job = await stack.until_finished(job_id)

        assert (job["cancelled"], job["charged"], source.calls.total()) == (100, 0, 100)


async def test_of_many_large_jobs_some_are_under_way_and_the_others_get_their_turn(
    database: Database, temporal_server: str
) -> None:
    source = FakeSource()
    source.gate.clear()
    settings = EnrichmentSettings(flush_seconds=0.05, jobs_per_workspace=2, small_job=99)
    async with open_stack(database, temporal_server, [source], enrichment=settings) as stack, stack.worker():
        large = [await start(stack, source) for _ in range(5)]
        small = await start(stack, source, domains=DOMAINS[:10])
        await stack.until(small, lambda job: job["status"] == "running")
        for job_id in large[:2]:
            await stack.until(job_id, lambda job: job["status"] == "running")
        for job_id in large[2:]:
            await stack.until(job_id, lambda job: job["run_id"] is not None)
            assert (await stack.job(job_id))["status"] == "queued"

        await stack.wake(large[2], "cancelled")
        assert (await stack.until_finished(large[2]))["cancelled"] == 100
        source.gate.set()
        ended = [await stack.until_finished(job_id) for job_id in (*large, small)]

        assert [job["matched"] for job in ended] == [100, 100, 0, 100, 100, 10]
        assert max(job["started_at"] for job in ended[:2]) < min(job["started_at"] for job in ended[3:5])
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_a_job_that_waits_for_a_provider_leaves_its_place_to_another(
    database: Database, temporal_server: str
) -> None:
    away = FakeSource("away", lambda _: CircuitOpen("away", "the circuit is open", retry_after=20))
    source = FakeSource()
    settings = EnrichmentSettings(flush_seconds=0.05, jobs_per_workspace=1, small_job=1)
    async with open_stack(database, temporal_server, [away, source], enrichment=settings) as stack, stack.worker():
        waiting = await start(stack, away)
        await stack.until_waiting(waiting)

        job = await stack.until_finished(await start(stack, source))

        assert (job["status"], job["matched"]) == ("completed", 100)
