"""An erasure leaves no trace of somebody in any table, takes nothing from anybody else, and keeps what things cost."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from app.enrichment import erase
from app.enrichment.settle import settle
from app.providers.ports import Answer, Found, Query
from app.webhooks import service as webhooks
from tests.app.enrichment.erasing import (
    ANN,
    PEOPLE,
    PROVIDERS,
    Erasing,
    apollo,
    change,
    keep_raw,
    raw_of,
    start,
    write_about,
)
from tests.app.enrichment.jobs_api import jobs_api
from tests.builders import violations
from tests.contents import everything_of, mentions
from tests.servers import Database
from workflows.contracts.erasures import ErasePage


async def test_no_table_knows_a_person_who_was_erased(database: Database):
    async with jobs_api(database, providers=PROVIDERS) as api:
        erasing = Erasing(api)
        job_id = await start(api)
        await api.work(job_id, apollo())
        await keep_raw(api, job_id, (1, b'{"id": 7}'), (5, b'{"x":"ann\\u0040example.com"}'), (6, b"{}"))
        async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
            told: dict[str, Any] = {"records": [{"email": ANN, "name": "Ann Lee"}, {"email": "bob@example.org"}]}
            await webhooks.publish(session, api.tenant.workspace_id, "enrichment.records.completed", told)
        await write_about(api, f"her new address is <{ANN}>")
        answer = await api.start({"entity": "person", "records": PEOPLE[:1], "providers": ["apollo"]}, key=f"for-{ANN}")
        await api.post(f"/{answer.json()['data']['id']}/cancel")
        await api.work(answer.json()["data"]["id"])
        before = await mentions(database, ANN)

        erasure = await erasing.erase(email="ANN@example.com")

        assert set(before) >= {
            "enrichment_records",
            "enrichment_answers",
            "events",
            "idempotency_keys",
            "webhook_endpoints",
            "webhook_attempts",
            "dead_letters",
        }
        left = await mentions(database, ANN, "Ann Lee", "A. Lee", "met in May", "CEO")
        # Somebody else has the same letters in her address.
        assert all("joann@example.com" in row for row in left.pop("enrichment_records"))
        assert left == {}
        assert erasure["status"] == "completed"
        assert erasure["erased"] == {
            "inputs": 6,
            "results": 3,
            "raw_answers": 2,
            "reuse": 2,
            "events": 1,
            "remembered_answers": 1,
            "receivers_answers": 2,
            "dead_letters": 1,
            "running_jobs": 0,
        }
        assert await raw_of(api, job_id) == {6: b"{}"}
        assert await violations(api.sessions, api.tenant.workspace_id) == []


async def test_records_that_were_erased_are_shown_as_such_and_cost_what_they_cost(database: Database):
    async with jobs_api(database, providers=PROVIDERS) as api:
        job_id = await start(api)
        await api.work(job_id, apollo())
        before = (await api.get(f"/{job_id}")).json()["data"]

        await Erasing(api).erase(email=ANN)

        after = (await api.get(f"/{job_id}")).json()["data"]
        records = await api.records(job_id)
        lines = (await api.get(f"/{job_id}/export", format="jsonl")).content.splitlines()
        assert [(each["reason"], each["input"]) for each in records[:4]] == [("erased", {})] * 4
        assert all(each["fields"] == {} and set(each["missing"].values()) == {"erased"} for each in records[:4])
        assert [sum(each["credits"] for each in record["attempts"]) for record in records] == [3, 0, 3, 0, 3, 0]
        assert records[4]["input"]["notes"] is None
        assert records[4]["input"]["full_name"] == "Bob Ray"
        assert {name: field["value"] for name, field in records[4]["fields"].items()} == {"title": "CTO"}
        assert (records[5]["key"], records[5]["input"]["full_name"]) == ("joann", "Jo Ann")
        assert (after["counts"], after["credits"]) == (before["counts"], before["credits"])
        assert [orjson.loads(line)["status"] for line in lines] == ["erased"] * 4 + [records[4]["status"], "not_found"]
        assert (await api.post(f"/{job_id}/retry")).status_code == 409, "there is nobody left to try again"


async def test_records_without_an_end_get_one_and_no_call_on_its_way_brings_them_back(database: Database):
    async with jobs_api(database, providers=PROVIDERS) as api:
        erasing = Erasing(api)
        job_id = await start(api)
        source = apollo()
        source.gate.clear()
        working = asyncio.create_task(api.work(job_id, source, end=False))
        async with asyncio.timeout(60):
            while len(source.calls) < 4:
                await asyncio.sleep(0.01)

        erasure_id = await erasing.begin(email=ANN)
        assert await erasing.look(erasure_id), "a job runs: something may come back"
        source.gate.set()
        await working
        in_flight = await api.records(job_id)
        await erasing.look(erasure_id, is_second=True)
        await settle(api.sessions, api.tenant.workspace_id, UUID(job_id), interrupted="")
        erasure = await erasing.finish(erasure_id)

        # By name and company nobody could tell before the answer came.
        assert [(each["status"], each["reason"]) for each in in_flight[:2]] == [("failed", "erased")] * 2
        assert [each["status"] for each in in_flight[2:4]] == ["partial"] * 2
        records = await api.records(job_id)
        assert [(each["status"], each["reason"]) for each in records] == [
            ("failed", "erased"),
            ("failed", "erased"),
            ("partial", "erased"),
            ("partial", "erased"),
            ("partial", None),
            ("not_found", None),
        ]
        assert records[0]["attempts"] == [], "what was forestalled is no attempt"
        assert set(await mentions(database, ANN)) == {"enrichment_records"}
        assert all("joann@" in row for row in (await mentions(database, ANN))["enrichment_records"])
        assert erasure["erased"]["running_jobs"] == 1
        job = (await api.get(f"/{job_id}")).json()["data"]
        assert (job["counts"]["failed"], job["counts"]["total"], job["credits"]["held"]) == (2, 6, 0)
        assert job["credits"]["charged"] == 2 * 3, "what was not taken is not paid"
        assert await violations(api.sessions, api.tenant.workspace_id) == []


async def test_a_company_is_erased_with_everybody_there_and_others_lose_its_mention_only(database: Database):
    async with jobs_api(database, providers=PROVIDERS) as api:
        companies = await start(
            api,
            [
                {"key": "it", "domain": "www.example.com"},
                {"key": "below", "domain": "eu.example.com"},
                {"key": "by-name", "name": "Example"},
                {"key": "other", "domain": "example.community", "customer": "https://example.com/shop"},
            ],
            "company",
            fields=["domain", "emails", "parent_domain", "city"],
        )

        def company(query: Query) -> Answer:
            if query.key == "domain:example.community":
                emails = ["info@example.com", "info@example.community"]
                return Found({"city": "Oslo", "emails": emails, "parent_domain": "example.com"})
            return Found({"city": "Bergen", "domain": "example.com"})

        source = apollo(company, fields=("domain", "emails", "parent_domain", "city"), entity="company", needs="domain")
        either = (frozenset({"domain"}), frozenset({"name"}))
        source.capabilities = replace(source.capabilities, needs={"company": either})
        await api.work(companies, source)
        persons = await start(api)
        await api.work(persons, apollo())

        erasure = await Erasing(api).erase(domain="https://Example.com/")

        assert [each["reason"] for each in await api.records(companies)][:3] == ["erased"] * 3
        other = (await api.records(companies))[3]
        assert other["input"] == {"key": "other", "domain": "example.community", "customer": None}
        assert {name: field["value"] for name, field in other["fields"].items()} == {
            "city": "Oslo",
            "emails": ["info@example.community"],
        }
        people_left = [each["key"] for each in await api.records(persons) if each["reason"] != "erased"]
        assert people_left == ["bob"]
        left = [row for rows in (await mentions(database, "example.com")).values() for row in rows]
        assert left
        assert all("example.community" in row for row in left)
        assert await mentions(database, "Bergen") == {}
        assert erasure["kind"] == "domain"
        assert await violations(api.sessions, api.tenant.workspace_id) == []


async def test_nothing_of_another_workspace_is_touched(database: Database):
    async with jobs_api(database, providers=PROVIDERS) as ours, jobs_api(database, providers=PROVIDERS) as theirs:
        for api in (ours, theirs):
            job_id = await start(api)
            await api.work(job_id, apollo())
            await keep_raw(api, job_id, (1, ANN.encode()))
        before = await everything_of(database, theirs.tenant.workspace_id)

        await Erasing(ours).erase(email=ANN)

        assert await everything_of(database, theirs.tenant.workspace_id) == before
        assert (await theirs.client.get(Erasing(ours).path, headers=theirs.tenant.headers)).status_code == 404


async def test_erased_twice_is_erased_once(database: Database):
    async with jobs_api(database, providers=PROVIDERS) as api:
        job_id = await start(api)
        await api.work(job_id, apollo())
        await keep_raw(api, job_id, (1, b"{}"), (6, b"{}"))
        erasing = Erasing(api)
        erasure_id = await erasing.begin(email=ANN)
        await erasing.look(erasure_id)
        first = await everything_of(database, api.tenant.workspace_id)
        erased = (await erasing.get(f"/{erasure_id}"))["erased"]

        await erasing.look(erasure_id)
        await erasing.look(erasure_id, is_second=True)
        done = await erasing.finish(erasure_id)
        assert await erasing.finish(erasure_id) == done
        assert not await erasing.look(erasure_id), "of one that is done nobody knows who it was"
        again = await erasing.erase(email=ANN)

        second = await everything_of(database, api.tenant.workspace_id)
        for table in ("enrichment_jobs", "enrichment_records", "enrichment_answers", "enrichment_raw_answers"):
            assert second[table] == first[table]
        assert done["erased"] == erased
        assert set(again["erased"].values()) == {0}


async def test_what_was_erased_is_not_reused(database: Database):
    async with jobs_api(database, providers=PROVIDERS) as api:
        await api.work(await start(api), apollo())
        await Erasing(api).erase(email=ANN)

        source = apollo()
        await api.work(await start(api, reuse_within_seconds=3600), source)

        assert source.calls == {"email:ann@example.com": 1, "name:ann lee domain:example.com": 1}


async def test_pages_are_bounded_and_go_on_where_the_one_before_ended(database: Database):
    bounds = erase.Bounds(seconds=0, rows=2, jobs=2, batch=1, followers=1)
    async with jobs_api(database, providers=PROVIDERS) as api:
        jobs = [await start(api) for _ in range(3)]
        for job_id in jobs:
            await api.work(job_id, apollo())
        erasing = Erasing(api)
        erasure_id = await erasing.begin(email=ANN)

        after: str | None = ""
        places: list[str] = []
        while after is not None and len(places) < 100:
            page = ErasePage(str(api.tenant.workspace_id), erasure_id, after)
            after = (await erase.erase_records(api.sessions, page, bounds)).after
            places.append(after or "the end")

        assert len(places) == len(set(places)) == 3 * len(PEOPLE) / 2
        assert [[each["reason"] for each in await api.records(job_id)][:4] for job_id in jobs] == [["erased"] * 4] * 3
        assert (await erasing.finish(erasure_id))["erased"]["inputs"] == 5 * 3
        assert await violations(api.sessions, api.tenant.workspace_id) == []


async def test_names_of_columns_and_messages_of_providers_hide_nobody(database: Database):
    async with jobs_api(database, providers=PROVIDERS) as api:
        # A file without a header row: its first person becomes the names of the columns.
        answer = await api.upload(
            f"email,{ANN}\nbob@example.org,x\njoan@example.org,y\n".encode(),
            {"entity": "person", "providers": ["apollo"], "fields": ["title"]},
        )
        job_id = answer.json()["data"]["id"]
        await change(api, "UPDATE enrichment_job_providers SET last_error = :error", error=f"no {ANN}")

        await Erasing(api).erase(email=ANN)

        assert await mentions(database, ANN) == {}
        assert [each["input"] for each in await api.records(job_id)] == [
            {"email": "bob@example.org", "erased": "x"},
            {"email": "joan@example.org", "erased": "y"},
        ]
        exported = (await api.get(f"/{job_id}/export")).text.splitlines()
        assert exported[0].startswith("email,erased,")


async def test_claims_on_the_subject_are_gone(database: Database):
    async with jobs_api(database, providers=PROVIDERS) as api:
        await start(api)
        query = """
            INSERT INTO enrichment_claims (workspace_id, provider, subject_key, job_id, position, until)
            SELECT workspace_id, 'apollo', subject_key, job_id, position, now() + interval '1 minute'
            FROM enrichment_records WHERE leader = position
        """
        await change(api, query)

        await Erasing(api).erase(email=ANN)

        left = await api.rows("SELECT subject_key FROM enrichment_claims ORDER BY position")
        assert [row["subject_key"] for row in left] == [
            "name:ann lee domain:example.com",
            "email:bob@example.org",
            "email:joann@example.com",
        ]
