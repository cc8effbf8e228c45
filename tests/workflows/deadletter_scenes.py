"""The redrive of dead letters, run through its paths to keep its histories."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

from sqlalchemy import text

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.db import new_id
from app.deadletters import redrives
from app.deadletters import service as deadletters
from app.deadletters.repository import LetterFilter
from app.deadletters.service import Failure
from app.idempotency.answers import Remembered
from app.providers.errors import InvalidQuery
from tests.app.billing.stripe_events import add_customer
from tests.builders import make_job
from tests.fakes import FakeSource
from tests.stack import Stack
from workflows import ids


async def letters_redriven(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> str:
    alpha.answer = lambda _: InvalidQuery("alpha", "refuses the query")
    async with stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, ["a.com", "b.com"], [alpha])
        await stack.until_finished(job_id)
        return await _redriven(stack)


async def usage_redriven(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    await refused_usage(stack)
    async with stack.worker():
        return await _redriven(stack)


async def refused_usage(stack: Stack) -> None:
    """A batch of charged credits that Stripe refused, with its letter."""
    batch_id = new_id()
    query = """
        INSERT INTO billing_usage_batches (workspace_id, id, after_seq, through_seq, credits, error)
        VALUES (:workspace_id, :id, 0, 1, 5, 'usage_refused')
    """
    async with stack.owner.unscoped() as session:
        await add_customer(session, stack.workspace_id, f"cus_{stack.workspace_id.hex}")
    async with stack.sessions.for_workspace(stack.workspace_id) as session:
        await session.execute(text(query), {"workspace_id": stack.workspace_id, "id": batch_id})
        failure = Failure(str(batch_id), "usage_refused", "The payment provider refuses the report of the usage.")
        await deadletters.open_many(session, stack.workspace_id, "billing", [failure])


async def nothing_to_redrive(stack: Stack, _alpha: FakeSource, _beta: FakeSource) -> str:
    async with stack.worker():
        return await _redriven(stack)


async def _redriven(stack: Stack) -> str:
    member = Caller(stack.workspace_id, ROLE_PERMISSIONS["member"], "member", user_id=uuid4())
    said, _ = await redrives.start(
        stack.sessions,
        member,
        LetterFilter(state="open"),
        lambda redrive: Remembered(202, {}, str(redrive.id)),
        once=None,
    )
    while True:
        async with stack.sessions.for_workspace(stack.workspace_id) as session:
            if (await session.execute(text("SELECT finished_at FROM dead_letter_redrives"))).scalar_one():
                break
        await asyncio.sleep(0.02)
    workflow_id = ids.redrive(str(said.data))
    await stack.client.get_workflow_handle(workflow_id).result()
    return workflow_id


DEADLETTER_SCENES: list[Callable[[Stack, FakeSource, FakeSource], Awaitable[str]]] = [
    letters_redriven,
    usage_redriven,
    nothing_to_redrive,
]
