"""Looking one record up over HTTP: the result in the answer to the request, or the job where it takes longer."""

import asyncio
from typing import Any

import httpx
import pytest

from app.providers.ports import Found
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.builders import violations
from tests.fakes import FakeSource, misses
from tests.servers import Database

ONE: dict[str, Any] = {"entity": "company", "record": {"domain": "acme.com"}, "providers": ["website"]}


async def look_up(api: JobsApi, body: object, *, key: str | None = None) -> httpx.Response:
    headers = api.tenant.headers | ({"Idempotency-Key": key} if key else {})
    return await api.client.post(f"{api.tenant.path}/enrichment/lookups", headers=headers, json=body)


async def started_job(api: JobsApi) -> str:
    """The job that a lookup under way has started."""
    async with asyncio.timeout(60):
        while not (jobs := await api.rows("SELECT id FROM enrichment_jobs WHERE finished_at IS NULL")):
            await asyncio.sleep(0.01)
    return str(jobs[0]["id"])


async def looked_up(api: JobsApi, body: object, source: FakeSource, *, key: str | None = None) -> httpx.Response:
    """The answer to a lookup whose job is done by this source meanwhile."""
    asking = asyncio.create_task(look_up(api, body, key=key))
    await api.work(await started_job(api), source)
    return await asking


def knows(**values: str) -> FakeSource:
    return FakeSource("website", lambda _: Found(values), fields=("name", "city"), credit_cost=0)


async def test_the_record_comes_with_the_answer_as_soon_as_its_job_has_ended(shared_database: Database):
    async with jobs_api(shared_database) as api:
        begun = asyncio.get_running_loop().time()
        answer = await looked_up(api, ONE | {"fields": ["name"], "wait_seconds": 30}, knows(name="Acme"))
        seconds = asyncio.get_running_loop().time() - begun
        job = (await api.get(f"/{answer.json()['data']['job_id']}")).json()["data"]
        records = await api.records(job["id"])
        assert await violations(api.sessions, api.tenant.workspace_id) == []
    assert answer.status_code == 200
    found = answer.json()["data"]
    assert found["record"]["fields"]["name"]["value"] == "Acme"
    assert found["record"]["status"] == "matched"
    assert found["record"]["input"] == {"domain": "acme.com"}
    assert [found["record"]] == records
    assert found["credits"] == job["credits"]["charged"] == 1
    assert (job["status"], job["counts"]["total"]) == ("completed", 1)
    assert seconds < 10


async def test_it_is_a_job_like_any_other(shared_database: Database):
    hunter = {"hunter": {"api_key": "h", "credit_cost": 2}}
    body = ONE | {"providers": ["hunter"], "fields": ["city"], "wait_seconds": 0}
    async with jobs_api(shared_database, providers=hunter) as api:
        answer = await look_up(api, body)
        (command,) = await api.commands()
        held = await api.rows("SELECT held FROM credit_accounts")
    assert command["workflow_id"] == f"enrichment-job/{answer.json()['data']['id']}"
    assert command["body"]["workflow"] == "EnrichRecords"
    assert held == [{"held": 2}]


async def test_after_the_wait_the_answer_is_the_job_and_its_place(shared_database: Database):
    async with jobs_api(shared_database) as api:
        answer = await look_up(api, ONE | {"wait_seconds": 0.2})
        job = answer.json()["data"]
        polled = await api.client.get(answer.headers["Location"], headers=api.tenant.headers)
    assert answer.status_code == 202
    assert (job["status"], job["counts"]["pending"]) == ("queued", 1)
    assert polled.json()["data"] == job


async def test_a_record_that_nobody_knows_is_a_result(shared_database: Database):
    async with jobs_api(shared_database) as api:
        source = FakeSource("website", misses, fields=("name",), credit_cost=0)
        answer = await looked_up(api, ONE | {"fields": ["name"]}, source)
    assert answer.status_code == 200
    assert answer.json()["data"]["record"]["status"] == "not_found"
    assert answer.json()["data"]["record"]["missing"] == {"name": "unknown"}


async def test_a_record_that_cannot_be_looked_up_is_one_too_and_refused_where_strict(shared_database: Database):
    wrong = ONE | {"record": {"domain": "10.0.0.1"}}
    async with jobs_api(shared_database) as api:
        answer = await looked_up(api, wrong, knows())
        refused = await look_up(api, wrong | {"strict": True})
    assert answer.json()["data"]["record"]["reason"] == "invalid_input"
    assert refused.status_code == 422
    assert [detail["field"] for detail in refused.json()["error"]["details"]] == ["record.domain"]


async def test_the_same_request_with_the_same_key_waits_for_the_same_job(shared_database: Database):
    body = ONE | {"fields": ["name"]}
    async with jobs_api(shared_database) as api:
        first = await look_up(api, body | {"wait_seconds": 0}, key="k")
        waiting = asyncio.create_task(look_up(api, body | {"wait_seconds": 20}, key="k"))
        await api.work(first.json()["data"]["id"], knows(name="Acme"))
        again = await waiting
        later = await look_up(api, body, key="k")
        other = await look_up(api, body | {"min_confidence": 0.9}, key="k")
        jobs = await api.rows("SELECT id FROM enrichment_jobs")
    assert (first.status_code, again.status_code, later.status_code) == (202, 200, 200)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == later.headers["Idempotent-Replayed"] == "true"
    assert again.json()["data"] == later.json()["data"]
    assert again.json()["data"]["job_id"] == first.json()["data"]["id"]
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert len(jobs) == 1


async def test_whoever_waits_holds_no_connection(shared_database: Database):
    """Thirty wait, and the API has three connections: two for its transactions, one that listens for all."""
    async with jobs_api(shared_database, database={"pool_size": 3}) as api:
        waiting = [asyncio.create_task(look_up(api, ONE | {"wait_seconds": 20})) for _ in range(30)]
        async with asyncio.timeout(60):
            while len(await api.rows("SELECT id FROM enrichment_jobs")) < 30:
                await asyncio.sleep(0.02)
        answered = await api.get()
        for job in await api.rows("SELECT id FROM enrichment_jobs"):
            await api.work(str(job["id"]), knows(name="Acme"))
        answers = await asyncio.gather(*waiting)
    assert answered.status_code == 200
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["data"]["job_id"] for answer in answers}) == 30


async def test_a_lost_connection_loses_no_answer(shared_database: Database):
    async with jobs_api(shared_database) as api:
        asking = asyncio.create_task(look_up(api, ONE | {"fields": ["name"], "wait_seconds": 20}))
        job_id = await started_job(api)
        query = """
            SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN holdfast_enrichment%' AND state = 'idle'
        """
        async with asyncio.timeout(60):
            while not await api.rows(query):
                await asyncio.sleep(0.01)
        await api.work(job_id, knows(name="Acme"))
        answer = await asking
    assert answer.status_code == 200
    assert answer.json()["data"]["record"]["status"] == "matched"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"wait_seconds": 31}, "wait_seconds"),
        ({"wait_seconds": -1}, "wait_seconds"),
        ({"record": None}, "record"),
        ({"records": [{"domain": "a.com"}]}, "records"),
        ({"record": {"domain": 1}}, "record.domain"),
        ({"providers": ["nobody"]}, "providers[0]"),
        ({"record": {"domain": "a\0.com"}}, "record.domain"),
    ],
)
async def test_what_is_wrong_is_named(shared_database: Database, change: dict[str, Any], field: str):
    async with jobs_api(shared_database) as api:
        answer = await look_up(api, ONE | change)
        stored = await api.rows("SELECT id FROM enrichment_jobs")
    assert answer.status_code == 422
    assert field in [detail["field"] for detail in answer.json()["error"]["details"]]
    assert stored == []


async def test_too_few_credits_are_402_and_start_nothing(shared_database: Database):
    hunter = {"hunter": {"api_key": "h", "credit_cost": 2}}
    async with jobs_api(shared_database, credit=1, providers=hunter) as api:
        answer = await look_up(api, ONE | {"providers": ["hunter"], "fields": ["city"]})
        stored = await api.rows("SELECT id FROM enrichment_jobs")
    assert answer.status_code == 402
    assert stored == []
