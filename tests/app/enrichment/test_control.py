"""Pause, resume, cancel and retry."""

from typing import Any
from uuid import uuid4

import pytest

from app.providers.errors import CredentialRejected
from app.providers.ports import Answer, Found, Missed, Query
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.builders import violations
from tests.fakes import FakeSource
from tests.servers import Database

FIELDS = ("industry", "city")
BODY = {"entity": "company", "fields": list(FIELDS), "providers": ["website", "hunter"]}
PROVIDERS = {"hunter": {"api_key": "h", "credit_cost": 2}}


async def started(api: JobsApi, *domains: str, **options: Any) -> str:
    records = [{"key": f"key of {domain}", "domain": domain} for domain in domains or ["acme.com"]]
    return str((await api.started(BODY | {"records": records} | options))["id"])


async def desired(api: JobsApi, job_id: str) -> str:
    (row,) = await api.rows("SELECT desired_state FROM enrichment_jobs WHERE id = :id", id=job_id)
    return str(row["desired_state"])


async def wakes(api: JobsApi) -> int:
    return sum(command["kind"] == "signal" for command in await api.commands())


@pytest.mark.parametrize(("verb", "state"), [("pause", "paused"), ("cancel", "cancelled")])
async def test_what_is_wanted_is_written_with_one_wake_however_often_it_is_asked(
    shared_database: Database, verb: str, state: str
):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job_id = await started(api)
        answers = [await api.post(f"/{job_id}/{verb}") for _ in range(3)]
        assert await desired(api, job_id) == state
        assert await wakes(api) == 1
        (start, wake) = await api.commands()
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert answers[0].json()["data"]["id"] == job_id
    assert (start["kind"], wake["workflow_id"]) == ("start", start["workflow_id"])


async def test_a_paused_job_is_resumed_and_one_that_runs_needs_no_wake(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job_id = await started(api)
        assert (await api.post(f"/{job_id}/resume")).status_code == 202
        assert await wakes(api) == 0
        await api.post(f"/{job_id}/pause")
        assert (await api.post(f"/{job_id}/resume")).status_code == 202
        assert await desired(api, job_id) == "running"
        assert await wakes(api) == 2


async def test_a_pause_before_the_start_is_shown_once_the_workflow_has_read_it(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job_id = await started(api)
        await api.post(f"/{job_id}/pause")
        await api.work(job_id, end=False)
        job = (await api.get(f"/{job_id}")).json()["data"]
    assert (job["status"], job["waiting_for"]) == ("paused", "pause")


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_job_that_is_being_cancelled_cannot_be_steered_any_more(shared_database: Database, verb: str):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job_id = await started(api)
        await api.post(f"/{job_id}/cancel")
        answer = await api.post(f"/{job_id}/{verb}")
        assert await desired(api, job_id) == "cancelled"
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_cancelling")


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
async def test_a_finished_job_is_409(shared_database: Database, verb: str):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job_id = await started(api)
        await api.post(f"/{job_id}/cancel")
        await api.work(job_id)
        answer = await api.post(f"/{job_id}/{verb}")
        assert await wakes(api) == 1
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_finished")


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry"])
async def test_a_job_of_another_workspace_is_404(shared_database: Database, verb: str):
    async with jobs_api(shared_database, providers=PROVIDERS) as api, jobs_api(shared_database) as other:
        foreign = await started(api)
        answers = [await other.post(f"/{job_id}/{verb}") for job_id in (foreign, uuid4())]
        assert await desired(api, foreign) == "running"
    assert [answer.status_code for answer in answers] == [404, 404]


def knows_cities(query: Query) -> Answer:
    return Missed() if query.key.endswith("unknown.com") else Found({"city": "Oslo"})


def refuses(_: Query) -> CredentialRejected:
    return CredentialRejected("hunter", "the key is wrong")


async def half_failed(api: JobsApi, *domains: str, **options: Any) -> str:
    """A finished job in which website answered and hunter refused the key."""
    job_id = await started(api, *domains, **options)
    await api.work(
        job_id,
        FakeSource("website", knows_cities, fields=("city",), credit_cost=1),
        FakeSource("hunter", refuses, fields=FIELDS, credit_cost=2),
    )
    return job_id


async def test_a_retry_is_a_new_job_of_what_failed_or_was_skipped(shared_database: Database):
    domains = ["acme.com", "unknown.com", "10.0.0.1", "www.acme.com"]
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job_id = await half_failed(api, *domains, on_outage="skip", min_confidence=0.25, max_credits=100)
        before = {record["key"]: record for record in await api.records(job_id)}
        answer = await api.post(f"/{job_id}/retry")
        again = answer.json()["data"]
        rows = await api.rows(
            "SELECT position, key, input, leader, status FROM enrichment_records WHERE job_id = :id ORDER BY position",
            id=again["id"],
        )
        assert await violations(api.sessions, api.tenant.workspace_id) == []
    assert [record["status"] for record in before.values()] == ["partial", "failed", "failed", "partial"]
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{api.path}/{again['id']}"
    assert again["retry_of"] == job_id
    assert again["counts"]["pending"] == again["counts"]["total"] == 3
    assert again["credits"] == {"held": 2 * (1 + 2), "charged": 0}
    assert (again["on_outage"], again["min_confidence"], again["max_credits"]) == ("skip", 0.25, 100)
    assert [provider["name"] for provider in again["providers"]] == ["website", "hunter"]
    assert [(row["position"], row["key"], row["leader"]) for row in rows] == [
        (1, "key of acme.com", 1),
        (2, "key of unknown.com", 2),
        (3, "key of www.acme.com", 1),
    ]
    assert [row["input"] for row in rows] == [before[row["key"]]["input"] for row in rows]
    assert {row["status"] for row in rows} == {"pending"}


async def test_a_retry_starts_its_workflow(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job_id = await half_failed(api, "acme.com")
        again = (await api.post(f"/{job_id}/retry")).json()["data"]
        commands = await api.commands()
    assert commands[-1]["workflow_id"] == f"enrichment-job/{again['id']}"


async def test_a_retry_with_the_same_key_is_one_job(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job_id, other_id = await half_failed(api, "acme.com"), await half_failed(api, "acme.com")
        first, again = [await api.post(f"/{job_id}/retry", key="k") for _ in range(2)]
        other = await api.post(f"/{other_id}/retry", key="k")
    assert again.json()["data"] == first.json()["data"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")


async def test_what_nobody_knows_or_nobody_can_look_up_is_nothing_to_retry(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job_id = await started(api, "unknown.com", "10.0.0.1")
        await api.work(
            job_id,
            FakeSource("website", knows_cities, fields=("city",), credit_cost=1),
            FakeSource("hunter", knows_cities, fields=FIELDS, credit_cost=2),
        )
        answer = await api.post(f"/{job_id}/retry")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "nothing_to_retry")


async def test_a_job_that_has_not_ended_is_not_retried(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        answer = await api.post(f"/{await started(api)}/retry")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_not_finished")


async def test_a_retry_asks_those_of_the_providers_that_are_available_today(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job_id = await half_failed(api, "acme.com")
        only_hunter = await started(api, "acme.com", providers=["hunter"])
        await api.work(only_hunter, FakeSource("hunter", refuses, fields=FIELDS))
    async with jobs_api(shared_database) as without_hunter:
        same = JobsApi(without_hunter.client, api.tenant, without_hunter.sessions, without_hunter.owner)
        again = await same.post(f"/{job_id}/retry")
        none_left = await same.post(f"/{only_hunter}/retry")
    assert [provider["name"] for provider in again.json()["data"]["providers"]] == ["website"]
    assert (none_left.status_code, none_left.json()["error"]["code"]) == (409, "nothing_to_retry")


async def test_a_retry_without_credits_is_402_and_leaves_nothing(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS, credit=3) as api:
        job_id = await half_failed(api, "acme.com")
        answer = await api.post(f"/{job_id}/retry")
        jobs = await api.rows("SELECT id FROM enrichment_jobs")
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "insufficient_credits")
    assert len(jobs) == 1
