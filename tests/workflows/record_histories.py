"""``python -m tests.workflows.record_histories``: run EnrichRecords through each path and keep its history.

A history that exists is never written again: it is what a released workflow did, and must replay for ever. A new path,
or a new shape of an old one, gets a new name.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from app.providers.errors import CircuitOpen
from app.providers.ports import Missed
from app.settings import EnrichmentSettings
from tests.builders import make_job
from tests.fakes import FakeSource
from tests.servers import running_postgres, running_temporal
from tests.stack import Stack, open_stack

FOLDER = Path(__file__).parent / "histories" / "EnrichRecords"
DOMAINS = [f"company-{n}.com" for n in range(1, 61)]
Scene = Callable[[Stack, FakeSource, FakeSource], Awaitable[UUID]]


async def waterfall(stack: Stack, alpha: FakeSource, beta: FakeSource) -> UUID:
    alpha.answer = lambda _: Missed()
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha, beta], chunk=10, window=2)
    async with stack.worker():
        await stack.until_finished(job_id)
    return job_id


async def continued_as_new(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha], chunk=5, window=2)
    async with stack.worker():
        await stack.until_finished(job_id)
    return job_id


async def paused_and_resumed(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    alpha.latency = 0.2
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha], chunk=20, window=1)
    async with stack.worker():
        await stack.until(job_id, lambda job: job["matched"] > 0)
        await stack.wake(job_id, "paused")
        await stack.until(job_id, lambda job: job["status"] == "paused")
        await stack.wake(job_id, "running")
        await stack.until_finished(job_id)
    return job_id


async def cancelled_before_the_start(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha])
    await stack.wake(job_id, "cancelled")
    async with stack.worker():
        await stack.until_finished(job_id)
    return job_id


async def cancelled_in_an_outage(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    alpha.answer = lambda _: CircuitOpen("alpha", "the circuit is open", retry_after=20)
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha])
    async with stack.worker():
        await stack.until_waiting(job_id)
        await stack.wake(job_id, "cancelled")
        await stack.until_finished(job_id)
    return job_id


async def cancelled_in_the_temporal_ui(stack: Stack, alpha: FakeSource, _beta: FakeSource) -> UUID:
    alpha.latency = 0.2
    job_id = await make_job(stack.sessions, stack.workspace_id, DOMAINS, [alpha], chunk=20, window=1)
    async with stack.worker():
        await stack.until(job_id, lambda job: job["matched"] > 0)
        await stack.workflow(job_id).cancel()
        await stack.until_finished(job_id)
    return job_id


SCENES: list[Scene] = [
    waterfall,
    continued_as_new,
    paused_and_resumed,
    cancelled_before_the_start,
    cancelled_in_an_outage,
    cancelled_in_the_temporal_ui,
]


def _without_host(history: str) -> str:
    """Who ran it, and from which folder, says nothing about what it did."""
    history = re.sub(r'"identity": "[^"]*"', '"identity": "worker"', history)
    return re.sub(r'"stackTrace": "(?:[^"\\]|\\.)*"', '"stackTrace": ""', history) + "\n"


async def record() -> None:
    settings = EnrichmentSettings(calls_per_lookup=5, flush_answers=5, flush_seconds=0.05, chunks_per_run=8)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with running_postgres() as postgres, running_temporal() as temporal:
        for scene in SCENES:
            with postgres.migrated_database() as database:
                sources = FakeSource("alpha"), FakeSource("beta")
                async with open_stack(database, temporal, sources, enrichment=settings) as stack:
                    job_id = await scene(stack, *sources)
                    workflow_id = stack.workflow(job_id).id
                    runs = [run async for run in stack.client.list_workflows(f"WorkflowId = '{workflow_id}'")]
                    for number, run in enumerate(sorted(runs, key=lambda run: run.start_time), 1):
                        history = await stack.client.get_workflow_handle(workflow_id, run_id=run.run_id).fetch_history()
                        path = FOLDER / f"{scene.__name__}_{number}.json"
                        if not path.exists():
                            path.write_text(_without_host(history.to_json()))


if __name__ == "__main__":
    asyncio.run(record())
