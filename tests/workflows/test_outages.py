"""Long waits of EnrichRecords, on a server that skips them."""

import time

from temporalio.api.enums.v1 import EventType

from app.providers.errors import CircuitOpen, RateLimited
from app.providers.ports import Found, Query
from tests.builders import make_job, violations
from tests.fakes import FAKE_FIELDS, FakeSource
from tests.servers import Database
from tests.stack import open_stack
from tests.time_skipping import skipping_time


async def test_minutes_of_outage_are_waited_out_in_parks_of_thirty_seconds(database: Database) -> None:
    refusals = 0

    def answer(query: Query) -> Found | CircuitOpen:
        nonlocal refusals
        refusals += 1
        if refusals <= 12:
            return CircuitOpen("alpha", "circuit open", retry_after=30)
        return Found(dict.fromkeys(FAKE_FIELDS, query.key))

    source = FakeSource(answer=answer)
    async with (
        skipping_time() as client,
        open_stack(database, "", [source], client=client) as stack,
        stack.worker(),
    ):
        begun = time.monotonic()
        job_id = await make_job(stack.sessions, stack.workspace_id, ["one.com"], [source])

        job = await stack.until_finished(job_id, seconds=60)

        assert (job["status"], job["matched"]) == ("completed", 1)
        assert time.monotonic() - begun < 60
        history = await stack.workflow(job_id).fetch_history()
        first, last = history.events[0].event_time, history.events[-1].event_time
        assert 12 * 30 <= last.seconds - first.seconds <= 12 * 31
        assert await violations(stack.sessions, stack.workspace_id) == []


async def test_a_throttle_is_waited_for_as_long_as_the_provider_says(database: Database) -> None:
    answers = iter([RateLimited("alpha", "429", retry_after=20)] * 3)
    source = FakeSource(answer=lambda query: next(answers, Found(dict.fromkeys(FAKE_FIELDS, query.key))))
    async with (
        skipping_time() as client,
        open_stack(database, "", [source], client=client) as stack,
        stack.worker(),
    ):
        job_id = await make_job(stack.sessions, stack.workspace_id, ["one.com"], [source], max_wait_seconds=0)

        job = await stack.until_finished(job_id, seconds=60)

        assert job["matched"] == 1
        history = await stack.workflow(job_id).fetch_history()
        scheduled = [e for e in history.events if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED]
        assert len(scheduled) == 2, "one lookup however often it was throttled, settle"
