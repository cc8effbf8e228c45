"""One outage from end to end: the sandbox's provider, a worker as it is composed in life, a real Temporal."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from sqlalchemy import text

from app.background import loops
from app.db import Sessions
from app.outages.service import circuit_changed
from app.resources import WorkerResources, open_worker
from app.sandbox.server import Sandbox, SandboxOptions, serve
from app.temporal import bootstrap
from tests.api import Tenant, new_tenant, running_api, settings_for
from tests.app.outages.incidents import events
from tests.app.sandbox.client import Client
from tests.builders import make_job, violations
from tests.fakes import FakeSource
from tests.servers import Database
from worker import build_workers

DOMAINS = [f"company-{n}.com" for n in range(1, 9)]
# What a job must know of the provider: its name and its price.
HUNTER = FakeSource("hunter")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    running = await serve(SandboxOptions())
    yield running
    await running.close()


@pytest.fixture
async def provider(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(sandbox.url, timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield Client(session)


@asynccontextmanager
async def working(database: Database, temporal_server: str, sandbox: Sandbox) -> AsyncIterator[WorkerResources]:
    """A worker whose hunter is the sandbox's; its circuit opens for half a second."""
    settings = settings_for(
        database,
        temporal={"address": temporal_server, "task_queue_prefix": f"{uuid4().hex[:8]}-"},
        outbox={"poll_seconds": 0.2},
        outages={"sweep_every_seconds": 0.1},
        providers={
            "hunter": {
                "base_url": f"{sandbox.url}/hunter/v2",
                "api_key": "sandbox-key",
                "breaker": {"reset_seconds": 0.5},
            }
        },
    )
    async with open_worker(settings, circuit_changed) as resources:
        await bootstrap(resources.temporal)
        workers = build_workers(resources)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run()) for each in workers]
            background = [tasks.create_task(loop) for loop in loops(resources)]
            try:
                yield resources
            finally:
                await asyncio.gather(*(each.shutdown() for each in workers))
                for task in (*running, *background):
                    task.cancel()


async def until(look: Callable[[], Awaitable[Any]], *, seconds: float = 60) -> Any:
    """What `look` finds, as soon as it finds something."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(0.05)
        return found


async def status(sessions: Sessions, workspace_id: UUID, job_id: UUID) -> str:
    async with sessions.for_workspace(workspace_id) as session:
        query = text("SELECT status FROM enrichment_jobs WHERE id = :id")
        return str((await session.execute(query, {"id": job_id})).scalar_one())


async def test_an_outage_shows_what_waits_and_ends_when_all_of_it_has_come_back(
    database: Database, temporal_server: str, sandbox: Sandbox, provider: Client
):
    tenant: Tenant = await new_tenant(database)
    workspace_id = tenant.workspace_id
    await provider.fault("hunter", "outage")
    async with (
        running_api(database) as client,
        working(database, temporal_server, sandbox) as resources,
    ):

        async def outages() -> list[dict[str, Any]]:
            answer = await client.get(f"{tenant.path}/outages", headers=tenant.headers)
            return list(answer.json()["data"])

        job_id = await make_job(resources.sessions, workspace_id, DOMAINS, [HUNTER])

        (outage,) = await until(outages)
        assert outage["provider"] == "hunter"
        assert sum(outage["cause"]["errors"].values()) >= 5
        assert outage["waiting"] == {"workspaces": None, "jobs": 1, "records": 8, "credits_held": 16}
        assert (outage["closed_at"], outage["drained_at"]) == (None, None)
        await until(lambda: _probed(outages))

        await provider.control("DELETE", "/_faults/hunter")

        async def drained() -> bool:
            return (await outages())[0]["drained_at"] is not None

        await until(drained)
        (ended,) = await outages()
        assert outage["opened_at"] < ended["closed_at"] <= ended["drained_at"]
        assert ended["waiting"] == {"workspaces": None, "jobs": 0, "records": 0, "credits_held": 0}
        assert ended["waited"]["records"] == 8
        assert ended["probes"] >= 1

        async def completed() -> bool:
            return await status(resources.sessions, workspace_id, job_id) == "completed"

        await until(completed)
        told = [event["type"] for event in await events(resources.sessions, workspace_id)]
        assert sorted(told) == [
            "enrichment.job.completed",
            "enrichment.job.resumed",
            "enrichment.job.waiting",
            "provider.outage.closed",
            "provider.outage.opened",
        ]
        assert await violations(resources.sessions, workspace_id) == []


async def _probed(outages: Callable[[], Awaitable[list[dict[str, Any]]]]) -> bool:
    return bool((await outages())[0]["probes"])
