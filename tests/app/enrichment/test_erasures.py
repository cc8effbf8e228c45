"""An erasure leaves no trace of somebody in any table, takes nothing from anybody else, and keeps what things cost."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import insert, text

from app.db import new_id
from app.enrichment import erase, erase_elsewhere, raw_answers
from app.enrichment.erasures import finish
from app.enrichment.settle import settle
from app.providers.ports import Answer, Found, Missed, Query
from app.tables import metadata
from app.webhooks import service as webhooks
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.builders import violations
from tests.contents import everything_of, mentions
from tests.fakes import FakeSource
from tests.migrations.rows import rows_of
from tests.people import new_member
from tests.servers import Database
from workflows.contracts.erasures import ErasePage, ErasureRef

ANN = "ann@example.com"
PROVIDERS = {"apollo": {"api_key": "k"}}
PEOPLE = [
    {"key": "by-address", "email": "Ann@Example.com", "full_name": "Ann Lee", "notes": "met in May"},
    {"key": ANN, "email": f" {ANN}", "full_name": "A. Lee"},
    {"key": "by-name", "full_name": "Ann Lee", "domain": "example.com"},
    {"key": "by-name-too", "full_name": "Ann Lee", "domain": "www.example.com", "notes": "the same"},
    {"key": "bob", "email": "bob@example.org", "full_name": "Bob Ray", "notes": f"reports to Ann <{ANN}>"},
    {"key": "joann", "email": "joann@example.com", "full_name": "Jo Ann"},
]
FIELDS = ("email", "title", "bio")


def people(query: Query) -> Answer:
    match query.subject:
        case {"email": "bob@example.org"}:
            return Found({"title": "CTO", "bio": f"Ask my boss, {ANN}"})
        case {"email": "joann@example.com"}:
            return Missed()
    return Found({"email": ANN, "title": "CEO"})


class Erasing:
    """What people and the workflow do about an erasure."""

    def __init__(self, api: JobsApi) -> None:
        self.api = api
        self.path = f"{api.tenant.path}/enrichment/erasures"

    async def post(self, body: object, *, key: str | None = None) -> Any:
        headers = self.api.tenant.headers | ({"Idempotency-Key": key} if key else {})
        return await self.api.client.post(self.path, json=body, headers=headers)

    async def get(self, path: str = "", **params: Any) -> Any:
        answer = await self.api.client.get(self.path + path, params=params, headers=self.api.tenant.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def begin(self, **body: str) -> str:
        answer = await self.post(body)
        assert answer.status_code == 202, answer.text
        erasure_id: str = answer.json()["data"]["id"]
        return erasure_id

    async def look(self, erasure_id: str, *, is_second: bool = False) -> bool:
        """One look at everything; whether something may come back."""
        workspace_id, sessions = str(self.api.tenant.workspace_id), self.api.sessions
        again = False
        for place in (
            erase.erase_records,
            erase_elsewhere.erase_raw_answers,
            erase_elsewhere.erase_events,
            erase_elsewhere.erase_remembered_answers,
        ):
            after: str | None = ""
            while after is not None:
                page = await place(sessions, ErasePage(workspace_id, erasure_id, after, is_second))
                after, again = page.after, again or page.again
        return again

    async def finish(self, erasure_id: str) -> dict[str, Any]:
        await finish(self.api.sessions, ErasureRef(str(self.api.tenant.workspace_id), erasure_id))
        erasure: dict[str, Any] = await self.get(f"/{erasure_id}")
        return erasure

    async def erase(self, **body: str) -> dict[str, Any]:
        erasure_id = await self.begin(**body)
        await self.look(erasure_id)
        return await self.finish(erasure_id)


async def start(api: JobsApi, records: Sequence[dict[str, str]] = PEOPLE, entity: str = "person", **more: Any) -> str:
    body = {"entity": entity, "records": list(records), "fields": FIELDS, "providers": ["apollo"], **more}
    job_id: str = (await api.started(body))["id"]
    return job_id


def apollo(answer: Any = people, **more: Any) -> FakeSource:
    return FakeSource("apollo", answer, **{"fields": FIELDS, "entity": "person", "needs": "full_name", **more})


async def keep_raw(api: JobsApi, job_id: str, *answers: tuple[int, bytes]) -> None:
    async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
        await raw_answers.keep(session, api.tenant.workspace_id, UUID(job_id), "apollo", answers)


async def change(api: JobsApi, statement: str, **values: Any) -> None:
    async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
        await session.execute(text(statement), values)


async def raw_of(api: JobsApi, job_id: str) -> dict[int, bytes]:
    rows = await api.rows("SELECT body FROM enrichment_raw_answers WHERE job_id = :id", id=job_id)
    return {position: raw for row in rows for position, raw in raw_answers.unpack(row["body"]).items()}


async def write_about(api: JobsApi, words: str) -> None:
    """What people and receivers may write: an endpoint's description, its answer, why a letter was discarded."""
    rows = rows_of(api.tenant.workspace_id)
    rows["webhook_endpoints"]["description"] = rows["webhook_attempts"]["answer"] = words
    rows["dead_letters"] |= {"state": "discarded", "discard_reason": words}
    async with api.owner.unscoped() as session:
        for table in ("events", "webhook_endpoints", "webhook_deliveries", "webhook_attempts", "dead_letters"):
            await session.execute(insert(metadata.tables[table]).values(rows[table]))


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
        async with asyncio.timeout(10):
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


@pytest.mark.parametrize("body", [{}, {"email": ANN, "domain": "example.com"}, {"email": "ann"}, {"name": "Ann"}, []])
async def test_what_names_nobody_is_refused(shared_database: Database, body: object):
    async with jobs_api(shared_database) as api:
        assert (await Erasing(api).post(body)).status_code == 422
        assert await api.commands() == []


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


async def test_the_request_is_answered_at_once_recorded_and_repeated(database: Database):
    async with jobs_api(database) as api:
        erasing = Erasing(api)
        first = await erasing.post({"email": ANN}, key="once")
        same = await erasing.post({"email": " Ann@EXAMPLE.com"}, key="once")
        other = await erasing.post({"email": "bob@example.com"}, key="once")
        data = first.json()["data"]
        (command,) = await api.commands()
        while_running = await mentions(database, ANN)
        done = await erasing.erase(email=ANN)
        finished = await erasing.finish(data["id"])
        entries = await api.rows("SELECT action, actor_type, target_id, after FROM audit_entries ORDER BY id")

        assert (first.status_code, same.status_code, other.status_code) == (202, 202, 409)
        assert same.headers["Idempotent-Replayed"] == "true"
        assert same.json()["data"] == data
        assert first.headers["Location"] == f"{erasing.path}/{data['id']}"
        assert (data["status"], data["kind"], data["finished_at"]) == ("running", "email", None)
        assert ANN not in first.text
        assert command["workflow_id"] == f"erasure/{data['id']}"
        assert ANN not in str(command)
        assert set(while_running) == {"enrichment_erasures"}
        assert data["digest"] == hashlib.sha256(f"{data['id']}:email:{ANN}".encode()).hexdigest()
        assert data["requested_by"] == str(api.tenant.api_key_id)
        listed = await erasing.get()
        assert [each["id"] for each in listed] == [done["id"], data["id"]]
        assert await erasing.get(limit=1) == listed[:1]
        assert await mentions(database, ANN) == {}
    of_first = [(each["action"], each["actor_type"]) for each in entries if each["target_id"] == data["id"]]
    assert of_first == [("enrichment_erasure.start", "api_key"), ("enrichment_erasure.complete", "system")]
    assert entries[-1]["after"] == {"kind": "email", **finished["erased"]}


async def test_a_member_cannot_erase_anybody(database: Database):
    async with jobs_api(database) as api:
        erasing = Erasing(api)
        member = await new_member(database, api.tenant.workspace_id, "member")
        refused = await api.client.post(erasing.path, json={"email": ANN}, headers=member.headers)
        assert refused.status_code == 403
        missing = await api.client.get(f"{erasing.path}/{new_id()}", headers=api.tenant.headers)
        assert missing.status_code == 404
