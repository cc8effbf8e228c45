"""A retry asks for what was skipped, given up or refused, and for nothing that was answered before."""

from app.providers.errors import CircuitOpen
from app.providers.ports import Answer, Found, Missed, Query
from tests.app.enrichment.jobs_api import jobs_api
from tests.builders import violations
from tests.fakes import FakeSource
from tests.servers import Database

PROVIDERS = {"hunter": {"api_key": "k"}}
FIELDS = ("city", "industry")
RECORDS = [{"key": domain, "domain": domain} for domain in ("acme.com", "unknown.com", "www.acme.com")]


def website(query: Query) -> Answer:
    return Missed() if query.key.endswith("unknown.com") else Found({"city": "Oslo"})


async def test_a_retry_after_an_outage_fills_only_what_was_skipped(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        body = {"entity": "company", "records": RECORDS, "fields": FIELDS, "providers": ["website", "hunter"]}
        job_id = (await api.started(body | {"on_outage": "skip"}))["id"]
        cheap = FakeSource("website", website, fields=("city",), credit_cost=1)
        away = FakeSource("hunter", lambda _: CircuitOpen("hunter", "open", retry_after=9), fields=FIELDS)
        await api.work(job_id, cheap, away)
        skipped = {record["key"]: record for record in await api.records(job_id)}

        answer = await api.post(f"/{job_id}/retry")
        again = answer.json()["data"]["id"]
        back = FakeSource("hunter", fields=FIELDS)
        await api.work(again, cheap, back)

        job = (await api.get(f"/{again}")).json()["data"]
        filled = {record["key"]: record for record in await api.records(again)}
        assert await violations(api.sessions, api.tenant.workspace_id) == []

    assert [record["status"] for record in skipped.values()] == ["partial", "failed", "partial"]
    assert {record["status"] for record in filled.values()} == {"matched"}
    assert cheap.calls == {"domain:acme.com": 1, "domain:unknown.com": 1}
    assert back.calls == {"domain:acme.com": 1, "domain:unknown.com": 1}
    assert job["credits"] == {"held": 0, "charged": 4}
    acme = filled["acme.com"]
    assert [(each["provider"], each["outcome"], each["credits"]) for each in acme["attempts"]] == [
        ("website", "reused", 0),
        ("hunter", "found", 2),
    ]
    kept, bought = acme["fields"]["city"], skipped["acme.com"]["fields"]["city"]
    assert (kept["value"], kept["fetched_at"]) == (bought["value"], bought["fetched_at"])
    assert (kept["credits"], kept["age_seconds"] > 0) == (0, True)
