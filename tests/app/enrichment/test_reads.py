"""Jobs and their records as people see them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.providers.errors import CircuitOpen, RateLimited
from app.providers.ports import Answer, Found, Missed, Query, Unreachable
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.fakes import FakeSource
from tests.servers import Database

FIELDS = ("industry", "city")
BODY = {"entity": "company", "fields": list(FIELDS), "providers": ["website", "hunter"]}
PROVIDERS = {"hunter": {"api_key": "h", "credit_cost": 2}}


def website(query: Query) -> Answer:
    """Knows the city of most, and no page of dead.com."""
    if query.key.endswith("dead.com"):
        return Unreachable("no such host")
    return Missed() if query.key.endswith("unknown.com") else Found({"city": "Oslo"}, 0.7)


def hunter(query: Query) -> Answer:
    if query.key.endswith("acme.com"):
        return Found({"industry": "Software", "city": "Bergen"})
    return Missed()


def sources() -> tuple[FakeSource, FakeSource]:
    return (
        FakeSource("website", website, fields=("city",), credit_cost=1),
        FakeSource("hunter", hunter, fields=FIELDS, credit_cost=2),
    )


async def finished(api: JobsApi, *domains: str, **options: Any) -> dict[str, Any]:
    job = await api.started(BODY | {"records": [{"domain": domain} for domain in domains]} | options)
    await api.work(job["id"], *sources())
    return dict((await api.get(f"/{job['id']}")).json()["data"])


async def test_a_finished_job_says_how_its_records_ended_and_what_it_cost(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job = await finished(api, "acme.com", "other.com", "unknown.com", "dead.com", "localhost")
    assert job["status"] == "completed"
    assert job["counts"] == {
        "total": 5, "pending": 0, "matched": 1, "partial": 1, "not_found": 2, "failed": 1, "cancelled": 0,
    }  # fmt: skip
    assert job["credits"] == {"held": 0, "charged": 2 * 1 + 2}
    assert [(each["name"], each["calls"], each["matches"]) for each in job["providers"]] == [
        ("website", 4, 2),
        ("hunter", 4, 1),
    ]
    assert job["started_at"] <= job["finished_at"]
    assert (job["eta_seconds"], job["waiting_for"], job["error"]) == (None, None, None)


async def test_a_value_says_where_it_comes_from_and_the_most_confident_provider_gives_it(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job = await finished(api, "acme.com", "other.com", "dead.com")
        acme, other, dead = await api.records(job["id"])
    assert acme["status"] == "matched"
    assert {name: (value["value"], value["provider"]) for name, value in acme["fields"].items()} == {
        "industry": ("Software", "hunter"),
        "city": ("Bergen", "hunter"),
    }
    city = acme["fields"]["city"]
    assert (city["confidence"], city["order"], city["credits"], city["age_seconds"]) == (1.0, 2, 2, 0)
    assert other["fields"]["city"]["confidence"] == 0.7
    assert (acme["missing"], other["missing"]) == ({}, {"industry": "unknown"})
    assert datetime.now(UTC) - datetime.fromisoformat(acme["fields"]["city"]["fetched_at"]) < timedelta(minutes=1)
    assert [(each["provider"], each["outcome"], each["credits"]) for each in acme["attempts"]] == [
        ("website", "found", 1),
        ("hunter", "found", 2),
    ]
    assert (other["status"], list(other["fields"])) == ("partial", ["city"])
    assert [each["outcome"] for each in dead["attempts"]] == ["unreachable", "missed"]
    assert (dead["status"], dead["fields"]) == ("not_found", {})


async def test_records_of_the_same_subject_share_the_result_and_one_charge(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job = await finished(api, "acme.com", "http://www.ACME.com/")
        first, second = await api.records(job["id"])
    assert job["counts"]["matched"] == 2
    assert job["credits"]["charged"] == 3
    assert {name: field["value"] for name, field in second["fields"].items()} == {
        name: field["value"] for name, field in first["fields"].items()
    }
    assert {field["credits"] for field in second["fields"].values()} == {0}
    assert [(each["outcome"], each["credits"]) for each in second["attempts"]] == [("reused", 0), ("reused", 0)]


async def test_a_value_below_the_wanted_confidence_is_not_taken(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job = await finished(api, "acme.com", min_confidence=0.9)
        (record,) = await api.records(job["id"])
    assert record["fields"]["city"]["provider"] == "hunter"


async def test_records_come_in_pages_in_input_order(shared_database: Database):
    async with jobs_api(shared_database) as api:
        records = [{"domain": f"company-{n}.com"} for n in range(7)]
        job = await api.started({"entity": "company", "records": records})
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await api.get(f"/{job['id']}/records", limit=3, **cursor)
            seen += [record["key"] for record in answer.json()["data"]]
            if answer.json()["meta"]["next_cursor"] is None:
                break
            cursor = {"cursor": answer.json()["meta"]["next_cursor"]}
    assert seen == ["1", "2", "3", "4", "5", "6", "7"]


async def test_records_are_filtered_by_status(shared_database: Database):
    async with jobs_api(shared_database) as api:
        domains = ["a.com", "10.0.0.1", "b.com", "localhost"]
        job = await api.started({"entity": "company", "records": [{"domain": domain} for domain in domains]})
        failed = await api.records(job["id"], status="failed")
        pending = await api.records(job["id"], status="pending")
    assert [(record["key"], record["reason"], record["error"]["field"]) for record in failed] == [
        ("2", "invalid_input", "domain"),
        ("4", "invalid_input", "domain"),
    ]
    assert [record["key"] for record in pending] == ["1", "3"]


async def test_jobs_are_listed_newest_first_in_pages(shared_database: Database):
    async with jobs_api(shared_database) as api:
        body = {"entity": "company", "records": [{"domain": "a.com"}]}
        started = [(await api.started(body))["id"] for _ in range(5)]
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await api.get(limit=2, **cursor)
            seen += [job["id"] for job in answer.json()["data"]]
            if answer.json()["meta"]["next_cursor"] is None:
                break
            cursor = {"cursor": answer.json()["meta"]["next_cursor"]}
            await api.started(body)
    assert seen == started[::-1]


async def test_jobs_are_filtered_by_status_and_time(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        done = await finished(api, "acme.com")
        queued = await api.started(BODY | {"records": [{"domain": "acme.com"}]})

        async def listed(**params: Any) -> list[str]:
            return [job["id"] for job in (await api.get(**params)).json()["data"]]

        assert await listed(status="completed") == [done["id"]]
        assert await listed(status="queued") == [queued["id"]]
        assert await listed(status="waiting") == []
        assert await listed(created_after=queued["created_at"]) == [queued["id"]]
        assert await listed(created_before=queued["created_at"]) == [done["id"]]


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("", {"status": "done"}, "status"),
        ("", {"created_after": "yesterday"}, "created_after"),
        ("", {"created_after": "2026-11-21T09:30:00"}, "created_after"),
        ("", {"limit": 0}, "limit"),
        ("", {"cursor": "nonsense"}, "cursor"),
        ("/{job_id}/records", {"status": "done"}, "status"),
        ("/{job_id}/records", {"limit": 501}, "limit"),
        ("/{job_id}/records", {"cursor": "bm9uc2Vuc2U"}, "cursor"),
        ("/{job_id}/export", {"format": "xlsx"}, "format"),
    ],
)
async def test_a_wrong_query_is_422_and_named(shared_database: Database, path: str, params: dict[str, Any], field: str):
    async with jobs_api(shared_database) as api:
        job = await api.started({"entity": "company", "records": [{"domain": "a.com"}]})
        answer = await api.get(path.format(job_id=job["id"]), **params)
    assert answer.status_code == 422
    assert [detail["field"] for detail in answer.json()["error"]["details"]] == [field]


@pytest.mark.parametrize("path", ["", "/records", "/export", "/events"])
async def test_a_job_that_is_not_there_or_of_another_workspace_is_404(shared_database: Database, path: str):
    async with jobs_api(shared_database) as api, jobs_api(shared_database) as other:
        foreign = await other.started({"entity": "company", "records": [{"domain": "a.com"}]})
        answers = [await api.get(f"/{job_id}{path}") for job_id in (uuid4(), foreign["id"], "no-id")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]


async def quiet_for_three_seconds(api: JobsApi, job_id: str) -> None:
    """Let three seconds pass for the job, without waiting for them."""
    async with api.owner.unscoped() as session:
        await session.exec_driver_sql(
            "UPDATE enrichment_jobs SET answered_at = answered_at - interval '3 seconds',"
            f" started_at = started_at - interval '3 seconds' WHERE id = '{job_id}'"
        )


@pytest.mark.parametrize(
    ("error", "waiting_for"),
    [
        (CircuitOpen("hunter", "open", retry_after=20), "outage"),
        (RateLimited("hunter", "slow", retry_after=20), "quota"),
    ],
)
async def test_a_job_waits_when_nothing_is_answered_and_a_provider_keeps_it_waiting(
    shared_database: Database, error: CircuitOpen | RateLimited, waiting_for: str
):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job = await api.started(BODY | {"providers": ["hunter"], "records": [{"domain": "acme.com"}]})
        away = FakeSource("hunter", lambda _: error, fields=FIELDS)
        with pytest.raises(type(error)):
            await api.work(job["id"], away)
        running = (await api.get(f"/{job['id']}")).json()["data"]
        await quiet_for_three_seconds(api, job["id"])
        waiting = (await api.get(f"/{job['id']}")).json()["data"]
        listed = {
            status: [each["id"] for each in (await api.get(status=status)).json()["data"]]
            for status in ("running", "waiting")
        }
    assert (running["status"], running["waiting_for"]) == ("running", None)
    assert (waiting["status"], waiting["waiting_for"]) == ("waiting", waiting_for)
    assert waiting["providers"][0]["waiting_until"] > waiting["created_at"]
    assert listed == {"running": [], "waiting": [job["id"]]}


async def test_the_circuit_of_a_provider_is_shown_and_one_never_heard_of_is_closed(database: Database):
    async with jobs_api(database, providers=PROVIDERS) as api:
        job = await api.started(BODY | {"records": [{"domain": "acme.com"}]})
        async with api.owner.unscoped() as session:
            await session.exec_driver_sql("INSERT INTO provider_health (provider, circuit) VALUES ('hunter', 'open')")
        shown = (await api.get(f"/{job['id']}")).json()["data"]["providers"]
    assert [(each["name"], each["circuit"]) for each in shown] == [("website", "closed"), ("hunter", "open")]


async def test_a_running_job_estimates_its_end_by_its_pace(shared_database: Database):
    async with jobs_api(shared_database) as api:
        records = [{"domain": f"company-{n}.com"} for n in range(10)]
        job = await api.started({"entity": "company", "fields": ["city"], "providers": ["website"], "records": records})
        answered: list[str] = []

        def some(query: Query) -> Answer | CircuitOpen:
            answered.append(query.key)
            return Found({"city": "Oslo"}) if len(answered) <= 5 else CircuitOpen("website", "open", retry_after=1)

        with pytest.raises(CircuitOpen):
            await api.work(job["id"], FakeSource("website", some, fields=("city",), credit_cost=1))
        shown = (await api.get(f"/{job['id']}")).json()["data"]
    assert shown["status"] == "running"
    assert shown["counts"]["pending"] == 5
    elapsed = (datetime.now(UTC) - datetime.fromisoformat(shown["started_at"])).total_seconds()
    assert 0 <= shown["eta_seconds"] <= elapsed + 0.1


async def test_the_link_to_the_workflow_is_for_the_embedded_stack_only(shared_database: Database):
    temporal = {"address": "127.0.0.1:1", "ui_url": "http://127.0.0.1:8233/", "namespace": "default"}
    async with jobs_api(shared_database, temporal=temporal) as local:
        job = await local.started({"entity": "company", "records": [{"domain": "a.com"}]})
    async with jobs_api(shared_database, temporal=temporal, environment="production") as production:
        hidden = await production.started({"entity": "company", "records": [{"domain": "a.com"}]})
    assert job["workflow"]["url"] == f"http://127.0.0.1:8233/namespaces/default/workflows/enrichment-job%2F{job['id']}"
    assert hidden["workflow"]["url"] is None
