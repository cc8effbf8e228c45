"""Whoever subscribed hears of each record once, many in an event; where nobody did, a flush does nothing for it."""

from collections import Counter
from typing import Any

from pydantic import SecretStr
from sqlalchemy import event

from app.db import Sessions, create_engine
from app.providers.errors import InvalidQuery, ProviderError
from app.providers.ports import Answer, Found, Query
from app.settings import DatabaseSettings
from app.webhooks.endpoints import add_endpoint
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.app.webhooks.scene import SEALER
from tests.fakes import FakeSource
from tests.servers import Database

FIELDS = ("city",)


def knows_some(query: Query) -> Answer | ProviderError:
    return InvalidQuery("website", "refuses") if query.key.startswith("domain:odd") else Found({"city": "Oslo"})


def website() -> FakeSource:
    return FakeSource("website", knows_some, fields=FIELDS, credit_cost=1)


async def run(api: JobsApi, domains: list[str]) -> str:
    body = {
        "entity": "company",
        "records": [{"key": f"key-{n}", "domain": domain} for n, domain in enumerate(domains, 1)],
        "fields": FIELDS,
        "providers": ["website"],
    }
    job_id: str = (await api.started(body))["id"]
    await api.work(job_id, website())
    return job_id


async def subscribe(api: JobsApi) -> None:
    async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
        url, types = "https://example.com/hook", ["enrichment.records.completed"]
        await add_endpoint(session, SEALER, api.tenant.workspace_id, url=url, event_types=types)


async def told(api: JobsApi) -> list[dict[str, Any]]:
    query = "SELECT data FROM events WHERE type = 'enrichment.records.completed' ORDER BY created_at, id"
    return [row["data"] for row in await api.rows(query)]


async def test_each_record_that_ends_is_told_once_with_up_to_200_in_an_event(shared_database: Database):
    # 250 records share the answer of one: they end in the same flush.
    domains = ["same.com"] * 250 + [f"c{n}.com" for n in range(40)] + ["odd.com", "not a domain"]
    async with jobs_api(shared_database) as api:
        await subscribe(api)
        job_id = await run(api, domains)
        events = await told(api)
        [delivery] = await api.rows(
            "SELECT count(*) FROM webhook_deliveries JOIN events AS e ON e.id = event_id"
            " WHERE e.type = 'enrichment.records.completed'"
        )

    records = [record for each in events for record in each["records"]]
    assert {each["job_id"] for each in events} == {job_id}
    assert max(len(each["records"]) for each in events) == 200
    assert Counter(record["key"] for record in records) == Counter(f"key-{n}" for n in range(1, 292))
    assert Counter((record["status"], record["reason"]) for record in records) == {
        ("matched", None): 290,
        ("failed", "provider_rejected"): 1,
    }
    assert delivery["count"] == len(events)


async def test_without_a_subscriber_and_a_failure_a_flush_says_nothing(shared_database: Database):
    statements: list[str] = []
    engine = create_engine(SecretStr(shared_database.app_url), DatabaseSettings(pool_size=2), application="tests")

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async with jobs_api(shared_database) as api:
        watched = JobsApi(api.client, api.tenant, Sessions(engine), api.owner)
        await run(watched, [f"c{n}.com" for n in range(150)])
        without = list(statements)
        statements.clear()
        await run(watched, ["odd.com"])
        assert await told(api) == []
    await engine.dispose()

    def about(word: str, among: list[str]) -> int:
        return sum(word in each for each in among)

    assert about("dead_letters", without) == 0
    assert about("INSERT INTO dead_letters", statements) == 1
    # Once for the lookup, and once for the end of the job.
    assert about("webhook_endpoints", without) <= 2
