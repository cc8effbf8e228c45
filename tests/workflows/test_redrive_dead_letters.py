"""RedriveDeadLetters on a real Temporal server and a real PostgreSQL: from a failed record to one that is resolved."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.deadletters import redrives
from app.deadletters.redrives_repository import Redrive
from app.deadletters.repository import LetterFilter
from app.idempotency.answers import Remembered
from app.providers.errors import InvalidQuery
from app.providers.ports import Answer, Found, Query
from tests.builders import make_job, violations
from tests.fakes import FAKE_FIELDS, FakeSource
from tests.servers import Database
from tests.stack import Stack, open_stack
from tests.workflows.deadletter_scenes import refused_usage
from workflows import ids

DOMAINS = [f"company-{n}.com" for n in range(1, 21)]


def refuses(_: Query) -> InvalidQuery:
    return InvalidQuery("website", "refuses the query")


def knows(_: Query) -> Answer:
    return Found(dict.fromkeys(FAKE_FIELDS, "x"))


async def redrive(stack: Stack, wanted: LetterFilter) -> UUID:
    """Request it as the API does."""
    member = Caller(stack.workspace_id, ROLE_PERMISSIONS["member"], "member", user_id=uuid4())

    def answer(redrive: Redrive) -> Remembered:
        return Remembered(202, {}, str(redrive.id))

    said, _ = await redrives.start(stack.sessions, member, wanted, answer, once=None)
    return UUID(said.data)


async def rows(stack: Stack, query: str) -> list[dict[str, Any]]:
    async with stack.sessions.for_workspace(stack.workspace_id) as session:
        return [dict(row) for row in (await session.execute(text(query))).mappings()]


async def until(stack: Stack, query: str, reached: Any, *, seconds: float = 60) -> list[dict[str, Any]]:
    async with asyncio.timeout(seconds):
        while not reached(found := await rows(stack, query)):
            await asyncio.sleep(0.02)
        return found


async def test_what_failed_is_tried_again_and_resolved(database: Database, temporal_server: str) -> None:
    source = FakeSource("website", refuses)
    async with open_stack(database, temporal_server, [source]) as stack, stack.worker():
        jobs = [await make_job(stack.sessions, stack.workspace_id, DOMAINS, [source]) for _ in range(3)]
        for job_id in jobs:
            await stack.until_finished(job_id)
        letters = await rows(stack, "SELECT state, reason, run_id FROM dead_letters")
        source.answer = knows
        redrive_id = await redrive(stack, LetterFilter(state="open"))
        handle = stack.client.get_workflow_handle(ids.redrive(str(redrive_id)))
        await until(stack, "SELECT finished_at FROM dead_letter_redrives", lambda found: found[0]["finished_at"])
        done = await handle.result()
        description = await handle.describe()
        resolved = await until(
            stack,
            "SELECT state, count(*) FROM dead_letters GROUP BY state",
            lambda found: [row["state"] for row in found] == ["resolved"],
        )
        new = await rows(stack, "SELECT retry_of, matched FROM enrichment_jobs WHERE retry_of IS NOT NULL")
        history = (await handle.fetch_history()).to_json()
        assert await violations(stack.sessions, stack.workspace_id) == []

    assert len(letters) == 3 * len(DOMAINS)
    assert {(each["state"], each["reason"]) for each in letters} == {("open", "provider_rejected")}
    assert all(each["run_id"] for each in letters)
    assert done == {"redriven": 60, "refused": 0, "skipped": 0}
    assert resolved == [{"state": "resolved", "count": 60}]
    assert {each["retry_of"] for each in new} == set(jobs)
    assert [each["matched"] for each in new] == [len(DOMAINS)] * 3
    assert await description.static_summary() == f"redrive {str(redrive_id)[-8:]} · 60 dead letters"
    assert "company-" not in history


async def test_charged_credits_that_stripe_refused_go_out_with_the_next_report(
    database: Database, temporal_server: str
) -> None:
    async with open_stack(database, temporal_server, []) as stack, stack.worker():
        await refused_usage(stack)
        await redrive(stack, LetterFilter(process="billing", state="open"))
        await until(stack, "SELECT finished_at FROM dead_letter_redrives", lambda found: found[0]["finished_at"])
        assert await rows(stack, "SELECT state FROM dead_letters") == [{"state": "redriven"}]
        assert await rows(stack, "SELECT error FROM billing_usage_batches") == [{"error": None}]


async def test_a_redrive_of_nothing_is_done_at_once(database: Database, temporal_server: str) -> None:
    async with open_stack(database, temporal_server, [FakeSource("website")]) as stack, stack.worker():
        await redrive(stack, LetterFilter(state="open"))
        [found] = await until(
            stack, "SELECT total, finished_at FROM dead_letter_redrives", lambda found: found[0]["finished_at"]
        )
    assert found["total"] == 0
