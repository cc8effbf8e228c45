"""Workers that are killed or stopped at the worst moment, as real processes against the sandbox: nothing is lost,
nothing is bought or charged twice beyond what was in flight."""

import asyncio
import signal
from pathlib import Path
from uuid import UUID

import aiohttp
from pydantic import SecretStr

from app.local.seed import seed
from app.settings import Settings
from tests.builders import make_job
from tests.fakes import FakeSource
from tests.faults.scene import opened
from tests.servers import Database

DOMAINS = [f"company-{n}.com" for n in range(1, 201)]
HUNTER = FakeSource("hunter")  # only its name and price: the worker calls the emulator
IN_FLIGHT = 25


async def test_answers_that_a_killed_worker_had_not_committed_are_charged_once(
    database: Database, temporal_server: str, tmp_path: Path
) -> None:
    never_flushed = {
        "HOLDFAST_ENRICHMENT__FLUSH_SECONDS": "60",
        "HOLDFAST_ENRICHMENT__FLUSH_ANSWERS": "150",
    }
    async with opened(database, temporal_server, tmp_path, **never_flushed) as scene:
        await scene.set("options", latency_ms=20)
        job_id = await make_job(scene.sessions, scene.workspace_id, DOMAINS, [HUNTER], fields=("name",))
        with scene.installation.worker() as worker:
            await scene.until_called(100)
            worker.kill()
        lost = await scene.calls()
        assert (await scene.job(job_id))["charged"] == 0, "the answers died with the worker"

        with scene.installation.worker():
            job = await scene.until_finished(job_id)

        assert (job["status"], job["total"]) == ("completed", len(DOMAINS))
        calls = await scene.calls()
        assert set(calls) == set(DOMAINS)
        assert sum(calls.values()) - len(DOMAINS) <= len(lost)
        assert job["matched"] * HUNTER.credit_cost == job["charged"]


async def test_a_worker_that_was_stopped_and_wakes_after_the_end_changes_nothing(
    database: Database, temporal_server: str, tmp_path: Path
) -> None:
    async with opened(database, temporal_server, tmp_path) as scene:
        await scene.set("options", latency_ms=100)
        job_id = await make_job(scene.sessions, scene.workspace_id, DOMAINS, [HUNTER], fields=("name",))
        with scene.installation.worker() as sleeper:
            await scene.until_called(IN_FLIGHT)
            sleeper.signal(signal.SIGSTOP)
            with scene.installation.worker():
                job = await scene.until_finished(job_id)
            ledger = await scene.ledger()

            sleeper.signal(signal.SIGCONT)
            await _until_it_has_flushed(tmp_path / "worker.log")

            assert await scene.ledger() == ledger
            after = await scene.job(job_id)
            assert (after["status"], after["charged"]) == (job["status"], job["charged"])


async def _until_it_has_flushed(log: Path) -> None:
    """The sleeper says in its log that answers came after the end."""
    async with asyncio.timeout(60):
        while "answers after the end" not in log.read_text():
            await asyncio.sleep(0.05)


async def test_a_request_whose_api_was_killed_after_its_answer_is_carried_out(
    database: Database, temporal_server: str, tmp_path: Path
) -> None:
    async with opened(database, temporal_server, tmp_path) as scene:
        seeded = await seed(
            Settings(database_url=SecretStr(database.app_url), owner_database_url=SecretStr(database.owner_url))
        )
        with scene.installation.api() as api:
            url = f"{api.url}/api/v1/workspaces/{seeded.workspace_id}/enrichment/jobs"
            body = {"entity": "company", "records": [{"domain": "example.com"}], "providers": ["hunter"]}
            headers = {"Authorization": f"Bearer {seeded.api_key}"}
            async with (
                aiohttp.ClientSession(headers=headers) as client,
                client.post(url, json=body) as answer,
            ):
                assert answer.status == 202, await answer.text()
                job_id = UUID((await answer.json())["data"]["id"])
            api.kill()
        scene.workspace_id = UUID(seeded.workspace_id)
        assert (await scene.job(job_id))["status"] == "queued"

        with scene.installation.worker():
            job = await scene.until_finished(job_id)

        assert job["status"] == "completed"
