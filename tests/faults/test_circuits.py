"""Circuits whose processes die, as real processes against the sandbox: what is open stays open, and no longer than it
should."""

import asyncio
import time
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from tests.builders import make_job
from tests.fakes import FakeSource
from tests.faults.scene import Scene, opened
from tests.servers import Database

HUNTER = FakeSource("hunter")  # only its name and price: the worker calls the emulator
RESET_SECONDS = 10.0
SETTINGS = {
    "HOLDFAST_PROVIDERS__HUNTER__BREAKER__RESET_SECONDS": f"{RESET_SECONDS:g}",
    # The lease of a probe is 5 s longer.
    "HOLDFAST_PROVIDERS__HUNTER__TIMEOUT_SECONDS": "1.5",
}


async def start(scene: Scene, salt: str) -> UUID:
    domains = [f"{salt}-{number}.com" for number in range(40)]
    return await make_job(scene.sessions, scene.workspace_id, domains, [HUNTER], fields=("name",))


async def until_open(scene: Scene) -> None:
    """Wait until it is stored that the circuit is open."""
    query = text("SELECT count(*) FROM provider_health WHERE provider = 'hunter' AND circuit = 'open'")
    async with asyncio.timeout(60):
        while True:
            async with scene.sessions.unscoped() as session:
                if (await session.execute(query)).scalar_one():
                    return
            await asyncio.sleep(0.02)


async def until_waiting(scene: Scene, job_id: UUID) -> None:
    """Wait until the job waits for the provider."""
    query = text("SELECT count(*) FROM enrichment_job_providers WHERE job_id = :id AND waiting_until IS NOT NULL")
    async with asyncio.timeout(60):
        while True:
            async with scene.sessions.for_workspace(scene.workspace_id) as session:
                if (await session.execute(query, {"id": job_id})).scalar_one():
                    return
            await asyncio.sleep(0.02)


async def next_call(scene: Scene, known: int) -> float:
    """When the first call came that is not among the `known` first."""
    async with asyncio.timeout(4 * RESET_SECONDS):
        while len(log := await scene.log()) <= known:
            await asyncio.sleep(0.02)
    return log[known][0]


async def test_a_worker_that_dies_with_the_probe_delays_the_next_one_by_no_more_than_a_reset_window(
    database: Database, temporal_server: str, tmp_path: Path
) -> None:
    async with opened(database, temporal_server, tmp_path, **SETTINGS) as scene:
        await scene.set("faults", mode="outage")
        job_id = await start(scene, "probe")
        with scene.installation.worker() as worker:
            await until_open(scene)
            await scene.set("faults", mode="hang")
            before = len(await scene.log())
            await next_call(scene, before)
            worker.kill()
        killed_at = time.monotonic()
        await scene.mend()

        with scene.installation.worker():
            probed_at = await next_call(scene, before + 1)
            job = await scene.until_finished(job_id)

        assert probed_at - killed_at < RESET_SECONDS
        assert (job["status"], job["total"]) == ("completed", 40)


async def test_a_worker_that_is_started_again_does_not_call_while_the_circuit_is_open(
    database: Database, temporal_server: str, tmp_path: Path
) -> None:
    # Long enough for a worker to start in it on any machine.
    settings = {**SETTINGS, "HOLDFAST_PROVIDERS__HUNTER__BREAKER__RESET_SECONDS": "120"}
    async with opened(database, temporal_server, tmp_path, **settings) as scene:
        await scene.set("faults", mode="outage")
        await start(scene, "first")
        with scene.installation.worker() as worker:
            await until_open(scene)
            worker.kill()
        await scene.mend()
        known = len(await scene.log())
        # The first job waits for its own next try: this one would call at once if the circuit were forgotten.
        second = await start(scene, "second")

        with scene.installation.worker():
            await until_waiting(scene, second)
            assert len(await scene.log()) == known
