"""GET …/runs and …/runs/{workflow_id}, from the visibility store of a real Temporal."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest

from app.pagination import Cursor
from app.providers.errors import CircuitOpen, InvalidQuery, Transient
from app.providers.ports import Answer, Query
from app.runs.schemas import RunCursor
from tests.api import Tenant, new_tenant, running_api
from tests.builders import make_job
from tests.fakes import FakeSource
from tests.people import new_person
from tests.servers import Database
from tests.stack import Stack, open_stack
from workflows import ids

SECONDS = 10


@dataclass(frozen=True)
class Scene:
    """Two tenants of an API, and the workers that do their jobs."""

    client: httpx.AsyncClient
    stack: Stack
    ours: Tenant
    theirs: Tenant

    async def job(self, tenant: Tenant, source: FakeSource) -> UUID:
        return await make_job(self.stack.sessions, tenant.workspace_id, ["one.com"], [source])

    async def listed(self, tenant: Tenant, **params: Any) -> list[dict[str, Any]]:
        answer = await self.client.get(f"{tenant.path}/runs", params=params, headers=tenant.headers)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    async def until_listed(
        self, tenant: Tenant, reached: Callable[[list[dict[str, Any]]], bool], **params: Any
    ) -> list[dict[str, Any]]:
        """Visibility is behind by up to a second."""
        async with asyncio.timeout(SECONDS):
            while not reached(found := await self.listed(tenant, **params)):
                await asyncio.sleep(0.05)
            return found

    async def run(self, tenant: Tenant, workflow_id: str) -> httpx.Response:
        return await self.client.get(f"{tenant.path}/runs/{workflow_id}", headers=tenant.headers)

    async def until_pending(self, tenant: Tenant, job_id: UUID) -> dict[str, Any]:
        """The lookup that a job waits for once it failed."""
        async with asyncio.timeout(SECONDS):
            while True:
                answer = await self.run(tenant, ids.enrichment_job(str(job_id)))
                if answer.status_code == 200:
                    for pending in answer.json()["data"]["pending_activities"]:
                        if pending["activity"] == "lookup" and pending["last_failure"]:
                            return dict(pending)
                await asyncio.sleep(0.05)


@asynccontextmanager
async def scene(database: Database, temporal_server: str, *sources: FakeSource) -> AsyncIterator[Scene]:
    ours, theirs = await new_tenant(database), await new_tenant(database)
    async with (
        open_stack(database, temporal_server, sources) as stack,
        running_api(database, temporal={"address": temporal_server}) as client,
        stack.worker(),
    ):
        yield Scene(client, stack, ours, theirs)


def workflow_ids(runs: list[dict[str, Any]]) -> set[str]:
    return {run["workflow_id"] for run in runs}


def names(*jobs: UUID) -> set[str]:
    return {ids.enrichment_job(str(job_id)) for job_id in jobs}


async def test_a_workspace_sees_its_own_runs_and_no_other(database: Database, temporal_server: str):
    source = FakeSource()
    async with scene(database, temporal_server, source) as on:
        mine = [await on.job(on.ours, source) for _ in range(2)]
        other = await on.job(on.theirs, source)

        found = await on.until_listed(on.ours, lambda runs: len(runs) == 2, status="completed")
        assert workflow_ids(found) == names(*mine)
        assert workflow_ids(await on.until_listed(on.theirs, bool)) == names(other)
        first = found[0]
        assert (first["process"], first["workflow"], first["outcome"]) == ("enrichment", "EnrichRecords", "completed")
        assert first["started_at"] < first["closed_at"]


async def test_a_run_says_how_many_dead_letters_of_its_work_are_open(database: Database, temporal_server: str):
    refusing = FakeSource("refusing", lambda _: InvalidQuery("refusing", "refuses the query"))
    source = FakeSource()
    async with scene(database, temporal_server, refusing, source) as on:
        failed, done = await on.job(on.ours, refusing), await on.job(on.ours, source)
        found = await on.until_listed(on.ours, lambda runs: len(runs) == 2, status="completed")
        one = await on.run(on.ours, ids.enrichment_job(str(failed)))

    counts = {run["workflow_id"]: run["dead_letters"] for run in found}
    assert counts == {ids.enrichment_job(str(failed)): 1, ids.enrichment_job(str(done)): 0}
    assert one.json()["data"]["dead_letters"] == 1


async def test_another_workspaces_run_is_not_found(database: Database, temporal_server: str):
    source = FakeSource()
    async with scene(database, temporal_server, source) as on:
        workflow_id = ids.enrichment_job(str(await on.job(on.theirs, source)))
        await on.until_listed(on.theirs, bool)

        refused, absent = await on.run(on.ours, workflow_id), await on.run(on.ours, "enrichment-job/nobody's")

        assert (refused.status_code, absent.status_code) == (404, 404)
        assert refused.json()["error"] == absent.json()["error"]
        for written in (workflow_id, quote(workflow_id, safe="")):
            answer = await on.run(on.theirs, written)
            assert answer.json()["data"]["workflow_id"] == workflow_id


async def test_runs_are_filtered_and_come_in_pages(database: Database, temporal_server: str):
    away = FakeSource("away", lambda _: CircuitOpen("away", "circuit open", retry_after=20))
    source = FakeSource()
    async with scene(database, temporal_server, source, away) as on:
        done = [await on.job(on.ours, source) for _ in range(3)]
        waiting = await on.job(on.ours, away)
        await on.until_listed(on.ours, lambda runs: len(runs) == 3, status="completed")

        assert workflow_ids(await on.until_listed(on.ours, bool, status="running")) == names(waiting)
        assert await on.listed(on.ours, process="credentials") == []
        assert len(await on.listed(on.ours, process="enrichment")) == 4
        seen: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await on.client.get(f"{on.ours.path}/runs", params=params, headers=on.ours.headers)).json()
            assert len(page["data"]) <= 2
            seen += page["data"]
            cursor = page["meta"]["next_cursor"]
        assert seen[0]["workflow_id"] in names(waiting), "what runs comes first"
        assert (workflow_ids(seen), len(seen)) == (names(*done, waiting), 4)


async def test_a_cursor_of_another_workspace_finds_only_ones_own_runs(database: Database, temporal_server: str):
    source = FakeSource()
    async with scene(database, temporal_server, source) as on:
        for _ in range(3):
            await on.job(on.theirs, source)
        mine = await on.job(on.ours, source)
        await on.until_listed(on.theirs, lambda runs: len(runs) == 3, status="completed")
        await on.until_listed(on.ours, bool, status="completed")
        answer = await on.client.get(f"{on.theirs.path}/runs", params={"limit": 1}, headers=on.theirs.headers)

        found = await on.listed(on.ours, cursor=answer.json()["meta"]["next_cursor"])

        assert workflow_ids(found) <= names(mine)


class Forged(Cursor):
    token: str
    digest: str = "AAAAAAAAAAA="


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("nonsense", id="no cursor at all"),
        pytest.param(Forged(token="not base64!").encode(), id="no token"),
        pytest.param(Forged(token="e30=").encode(), id="a token that was changed"),
        pytest.param(RunCursor.at(b"{}").encode().replace("e", "f", 1), id="a cursor that was changed"),
        pytest.param(Forged(token="QUFB" * 170).encode(), id="too long a token"),
    ],
)
async def test_a_forged_cursor_is_refused(cursor: str, database: Database, temporal_server: str):
    tenant = await new_tenant(database)
    async with running_api(database, temporal={"address": temporal_server}) as client:
        answer = await client.get(f"{tenant.path}/runs", params={"cursor": cursor}, headers=tenant.headers)
        assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "cursor"), answer.text


@pytest.mark.parametrize("wrong", [{"process": "' OR 1=1"}, {"status": "open"}, {"limit": "0"}, {"limit": "501"}])
async def test_filters_are_words_of_the_contract(wrong: dict[str, str], database: Database, temporal_server: str):
    tenant = await new_tenant(database)
    async with running_api(database, temporal={"address": temporal_server}) as client:
        answer = await client.get(f"{tenant.path}/runs", params=wrong, headers=tenant.headers)
        assert answer.status_code == 422


async def test_a_run_in_an_outage_says_whom_it_waits_for_why_and_until_when(database: Database, temporal_server: str):
    away = FakeSource("away", lambda _: CircuitOpen("away", "circuit open", retry_after=20))
    async with scene(database, temporal_server, away) as on:
        job_id = await on.job(on.ours, away)

        pending = await on.until_pending(on.ours, job_id)

        assert pending["provider"] == "away"
        assert pending["attempt"] == 2
        said = re.fullmatch(r"away: circuit open, next attempt (\d\d:\d\d:\d\d) UTC", pending["last_failure"])
        assert said
        until = datetime.fromisoformat(pending["next_attempt_at"])
        assert timedelta(seconds=10) < until - datetime.now(UTC) < timedelta(seconds=31)
        named = datetime.combine(until.date(), datetime.strptime(said[1], "%H:%M:%S").time(), UTC)  # noqa: DTZ007
        assert abs(until - named) <= timedelta(seconds=2)


async def test_what_nobody_foresaw_is_not_told_to_callers(database: Database, temporal_server: str):
    def answer(_: Query) -> Answer:
        raise RuntimeError("Ann's address is ann@example.com")

    broken = FakeSource("broken", answer)
    async with scene(database, temporal_server, broken) as on:
        pending = await on.until_pending(on.ours, await on.job(on.ours, broken))
        assert pending["last_failure"] == "an error that was not foreseen"


async def test_without_temporal_runs_are_unavailable(database: Database):
    tenant = await new_tenant(database)
    async with running_api(database) as client:
        for path in ("/runs", "/runs/enrichment-job/019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"):
            answer = await client.get(tenant.path + path, headers=tenant.headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
            assert answer.headers["Retry-After"]


async def test_a_superadmin_sees_the_runs_of_all(database: Database, temporal_server: str):
    source = FakeSource()
    staff, person = await new_person(database, superadmin=True), await new_person(database)
    async with scene(database, temporal_server, source) as on:
        jobs = {tenant.workspace_id: await on.job(tenant, source) for tenant in (on.ours, on.theirs)}
        for tenant in (on.ours, on.theirs):
            await on.until_listed(tenant, bool, status="completed")

        answer = await on.client.get("/api/v1/admin/runs", params={"limit": 500}, headers=staff.headers)

        found = {run["workflow_id"]: run["workspace_id"] for run in answer.json()["data"]}
        for workspace_id, job_id in jobs.items():
            assert found[ids.enrichment_job(str(job_id))] == str(workspace_id)
        refused = await on.client.get("/api/v1/admin/runs", headers=person.headers)
        assert refused.status_code == 403


async def test_a_job_names_its_run(database: Database, temporal_server: str):
    source = FakeSource()
    async with scene(database, temporal_server, source) as on:
        job_id = await on.job(on.ours, source)
        [run] = await on.until_listed(on.ours, bool, status="completed")

        job = await on.client.get(f"{on.ours.path}/enrichment/jobs/{job_id}", headers=on.ours.headers)

        assert job.json()["data"]["workflow"]["run_id"] == run["run_id"]


async def test_a_transient_failure_says_when_the_next_attempt_is(database: Database, temporal_server: str):
    failing = FakeSource("failing", lambda _: Transient("failing", "answered 500"))
    async with scene(database, temporal_server, failing) as on:
        pending = await on.until_pending(on.ours, await on.job(on.ours, failing))
        assert re.fullmatch(r"failing: answered 500, next attempt .* UTC", pending["last_failure"])
