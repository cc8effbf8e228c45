"""What operators see of jobs that wait: the search attribute Provider, the current details, and fairness keys."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from app.outbox import service as outbox
from app.providers.errors import CircuitOpen
from app.providers.ports import Answer, Found, Missed, Query
from app.settings import EnrichmentSettings
from tests.builders import job_row, make_job, make_workspace
from tests.fakes import FAKE_FIELDS, FakeSource
from tests.servers import Database
from tests.stack import Stack, open_stack
from workflows import ids

SECONDS = 15


class Flapping(FakeSource):
    """A provider that is away until it is told otherwise."""

    def __init__(self, name: str) -> None:
        super().__init__(name, self._answer)
        self.away = True

    def _answer(self, query: Query) -> Answer | CircuitOpen:
        if self.away:
            return CircuitOpen(self.name, "circuit open", retry_after=1)
        return Found(dict.fromkeys(FAKE_FIELDS, query.key))


async def until_found(client: Client, query: str, reached: Callable[[set[str]], bool]) -> set[str]:
    """The workflows of a query of the Temporal UI, whose store is behind by up to a second."""
    async with asyncio.timeout(SECONDS):
        while not reached(found := {run.id async for run in client.list_workflows(query)}):
            await asyncio.sleep(0.05)
        return found


async def details(handle: WorkflowHandle[Any, Any]) -> str:
    """What the UI shows as current details."""
    described = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(described.current_details)


async def until_details(handle: WorkflowHandle[Any, Any], reached: Callable[[str], bool]) -> str:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                if reached(shown := await details(handle)):
                    return shown
            except RPCError as error:  # not started yet
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.05)


def waiting(stack: Stack, provider: str) -> str:
    """The query of docs/operations.md, for one workspace."""
    return (
        f"WorkspaceId = '{stack.workspace_id}' AND Process = 'enrichment' AND ExecutionStatus = 'Running'"
        f" AND Provider = '{provider}'"
    )


def names(*jobs: UUID) -> set[str]:
    return {ids.enrichment_job(str(job_id)) for job_id in jobs}


async def test_the_jobs_that_wait_for_a_provider_are_found_by_its_name(database: Database, temporal_server: str):
    alpha, beta, well = Flapping("alpha"), Flapping("beta"), FakeSource("well")
    async with open_stack(database, temporal_server, [alpha, beta, well]) as stack, stack.worker():

        async def job(*sources: FakeSource) -> UUID:
            return await make_job(stack.sessions, stack.workspace_id, ["one.com", "two.com"], sources)

        of_alpha = [await job(alpha) for _ in range(2)]
        of_beta = await job(beta)
        unharmed = await job(well)
        await stack.until_finished(unharmed)

        assert await until_found(stack.client, waiting(stack, "alpha"), lambda found: len(found) == 2) == names(
            *of_alpha
        )
        assert await until_found(stack.client, waiting(stack, "beta"), bool) == names(of_beta)
        assert await until_found(stack.client, waiting(stack, "well"), lambda _: True) == set()

        alpha.away = False
        for each in of_alpha:
            await stack.until_finished(each)
        await until_found(stack.client, waiting(stack, "alpha"), lambda found: not found)
        ended = f"WorkspaceId = '{stack.workspace_id}' AND Provider = 'alpha'"
        await until_found(stack.client, ended, lambda found: not found)
        assert await until_found(stack.client, waiting(stack, "beta"), bool) == names(of_beta)


async def test_a_job_that_waits_for_two_providers_is_found_by_either(database: Database, temporal_server: str):
    alpha, beta = FakeSource("alpha"), Flapping("beta")

    def half(query: Query) -> Answer | CircuitOpen:
        # The first chunk goes on to beta while the second waits for alpha.
        if "late" in query.key:
            return CircuitOpen("alpha", "circuit open", retry_after=1)
        return Found({FAKE_FIELDS[0]: query.key})

    alpha.answer = half
    domains = [f"early-{n}.com" for n in range(5)] + [f"late-{n}.com" for n in range(15)]
    settings = EnrichmentSettings(chunk=5, smallest_chunk=1, flush_seconds=0.05)
    async with (
        open_stack(database, temporal_server, [alpha, beta], enrichment=settings) as stack,
        stack.worker(),
    ):
        job_id = await make_job(stack.sessions, stack.workspace_id, domains, [alpha, beta], chunk=10, window=2)

        for provider in ("alpha", "beta"):
            assert await until_found(stack.client, waiting(stack, provider), bool) == names(job_id)


async def test_current_details_show_each_provider_and_until_when_it_is_waited_for(
    database: Database, temporal_server: str
):
    alpha, beta = FakeSource("alpha", lambda query: Found({FAKE_FIELDS[0]: query.key})), Flapping("beta")
    async with open_stack(database, temporal_server, [alpha, beta]) as stack, stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, ["one.com", "two.com"], [alpha, beta])

        shown = await until_details(stack.workflow(job_id), lambda text: "asked again" in text)

        assert "| provider | calls | found | waiting until |" in shown
        assert "| alpha | 2 | 2 |  |" in shown
        assert "| beta | 0 | 0 | 20" in shown

        beta.away = False
        await stack.until_finished(job_id)
        shown = await until_details(stack.workflow(job_id), lambda text: "| beta | 2 | 2 |  |" in text)
        assert "asked again" not in shown


async def test_any_number_of_changes_is_looked_at_once_in_two_seconds(database: Database, temporal_server: str):
    alpha = Flapping("alpha")
    async with open_stack(database, temporal_server, [alpha]) as stack, stack.worker():
        job_id = await make_job(stack.sessions, stack.workspace_id, ["one.com"], [alpha])
        await until_found(stack.client, waiting(stack, "alpha"), bool)
        for _ in range(20):
            async with stack.sessions.for_workspace(stack.workspace_id) as session:
                await outbox.review(session, stack.workspace_id, ids.enrichment_job(str(job_id)))

        async with asyncio.timeout(SECONDS):
            while await count(stack, job_id, "workflow_execution_signaled_event_attributes") < 21:
                await asyncio.sleep(0.1)
        alpha.away = False
        await stack.until_finished(job_id)

        history = await stack.workflow(job_id).fetch_history()
        seconds = history.events[-1].event_time.seconds - history.events[0].event_time.seconds
        looks = [
            event
            for event in history.events
            if event.activity_task_scheduled_event_attributes.activity_type.name == "enrichment_waits"
        ]
        assert 1 <= len(looks) <= 2 + seconds / 2


async def test_each_lookup_of_each_run_carries_its_workspace_as_fairness_key_and_its_weight(
    database: Database, temporal_server: str
):
    seen: set[tuple[str, str | None, float | None]] = set()
    runs: set[str | None] = set()

    def answer(query: Query) -> Answer:
        info = activity.info()
        seen.add((str(query.workspace_id), info.priority.fairness_key, info.priority.fairness_weight))
        runs.add(info.workflow_run_id)
        return Missed()

    alpha = FakeSource("alpha", answer)
    settings = EnrichmentSettings(chunks_per_run=1, smallest_chunk=1, flush_seconds=0.05)
    async with open_stack(database, temporal_server, [alpha], enrichment=settings) as stack:
        light, heavy = stack.workspace_id, await make_workspace(stack.owner)
        weighted = stack.resources.settings.temporal.model_copy(update={"fairness_weights": {heavy: 3.0}})
        resources = replace(
            stack.resources, settings=stack.resources.settings.model_copy(update={"temporal": weighted})
        )
        async with replace(stack, resources=resources).worker():
            for workspace_id in (light, heavy):
                job_id = await make_job(
                    stack.sessions, workspace_id, ["one.com", "two.com"], [alpha], chunk=1, window=1
                )
                await until_over(stack, workspace_id, job_id)

    assert len(runs) == 4, "each job continued as new"
    assert seen == {(str(light), str(light), None), (str(heavy), str(heavy), 3.0)}


async def until_over(stack: Stack, workspace_id: UUID, job_id: UUID) -> None:
    async with asyncio.timeout(SECONDS):
        while (await job_row(stack.sessions, workspace_id, job_id))["finished_at"] is None:
            await asyncio.sleep(0.05)


async def count(stack: Stack, job_id: UUID, attributes: str) -> int:
    history = await stack.workflow(job_id).fetch_history()
    return sum(event.HasField(attributes) for event in history.events)
