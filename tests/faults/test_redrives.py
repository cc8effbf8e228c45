"""A worker that is killed in the middle of a redrive: each letter is redriven, and none of them twice."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from app.auth.permissions import ROLE_PERMISSIONS, Caller
from app.deadletters import redrives
from app.deadletters.repository import LetterFilter
from app.enrichment.settle import settle
from app.idempotency.answers import Remembered
from tests.builders import make_job
from tests.fakes import FakeSource
from tests.faults.scene import Scene, opened
from tests.servers import Database

JOBS, RECORDS, KILLS = 60, 3, 1


async def failed_jobs(scene: Scene, jobs: int, records: int) -> None:
    """Jobs all of whose records have failed, without a call: somebody terminated their workflows."""
    source = FakeSource("website", fields=("city",), credit_cost=1)
    for n in range(jobs):
        domains = [f"company-{n}-{m}.com" for m in range(records)]
        job_id = await make_job(scene.sessions, scene.workspace_id, domains, [source], fields=("city",), start=False)
        await settle(scene.sessions, scene.workspace_id, job_id, interrupted="failed")


async def results(scene: Scene) -> dict[str, int]:
    """How many items have which result."""
    query = text("SELECT result, count(*) AS items FROM dead_letter_redrive_items GROUP BY result")
    async with scene.sessions.for_workspace(scene.workspace_id) as session:
        return {row.result: row.items for row in await session.execute(query)}


async def one(scene: Scene, query: str) -> Any:
    async with scene.sessions.for_workspace(scene.workspace_id) as session:
        return (await session.execute(text(query))).one()


async def until_redriven(scene: Scene, count: int, *, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while (await results(scene)).get("redriven", 0) < count:
            await asyncio.sleep(0.005)


async def test_each_item_of_a_redrive_whose_worker_is_killed_is_redriven_once(
    database: Database, temporal_server: str, tmp_path: Path
) -> None:
    await redrive_under_kills(database, temporal_server, tmp_path, jobs=JOBS, records=RECORDS, kills=KILLS)


async def redrive_under_kills(
    database: Database, temporal_server: str, logs: Path, *, jobs: int, records: int, kills: int
) -> None:
    items = jobs * records
    async with opened(database, temporal_server, logs) as scene:
        await failed_jobs(scene, jobs, records)
        member = Caller(scene.workspace_id, ROLE_PERMISSIONS["member"], "member", user_id=uuid4())
        await redrives.start(
            scene.sessions,
            member,
            LetterFilter(state="open"),
            lambda redrive: Remembered(202, {}, str(redrive.id)),
            once=None,
        )
        for kill in range(1, kills + 1):
            with scene.installation.worker() as worker:
                await until_redriven(scene, items * kill // (kills + 1), seconds=60)
                worker.kill()
            assert 0 < (await results(scene)).get("pending", 0) < items, "it was not in the middle"
        with scene.installation.worker():
            await until_redriven(scene, items, seconds=120)
            async with asyncio.timeout(60):
                while not (await one(scene, "SELECT finished_at FROM dead_letter_redrives")).finished_at:
                    await asyncio.sleep(0.02)

        assert await results(scene) == {"redriven": items}
        again = await one(
            scene,
            """
            SELECT count(*) AS jobs, count(DISTINCT retry_of) AS sources, sum(total) AS records,
                   (SELECT count(*) FROM credit_entries AS e JOIN enrichment_jobs AS n
                        ON e.kind = 'hold' AND e.reference_id = n.id::text AND e.held_amount = n.held
                    WHERE n.retry_of IS NOT NULL) AS holds
            FROM enrichment_jobs WHERE retry_of IS NOT NULL
            """,
        )
        assert tuple(again) == (jobs, jobs, items, jobs)
        twice = await one(
            scene,
            """
            SELECT count(*) FROM (
                SELECT j.retry_of, r.key FROM enrichment_records AS r JOIN enrichment_jobs AS j ON j.id = r.job_id
                WHERE j.retry_of IS NOT NULL GROUP BY j.retry_of, r.key HAVING count(*) > 1) AS doubled
            """,
        )
        assert twice.count == 0
        stood_for = await one(
            scene,
            """
            SELECT count(*) FROM dead_letters AS d JOIN enrichment_records AS r
                ON d.payload_id = r.job_id || ':' || r.position AND d.reference_id <> d.payload_id
            """,
        )
        assert stood_for.count == items
