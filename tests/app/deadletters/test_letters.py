"""What could not be done is kept as a letter, once, with nothing of anybody's data, until somebody decides about it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.db import new_id
from app.deadletters import service
from app.deadletters.service import Failure
from app.enrichment.settle import settle
from tests.app.deadletters.letters_api import LettersApi, fails_for
from tests.app.enrichment.jobs_api import jobs_api
from tests.builders import violations
from tests.contents import mentions
from tests.people import new_member
from tests.servers import Database


async def test_records_that_failed_have_a_letter_each_and_no_others_have(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        job_id = await letters.failed_job(["acme.com", "unknown.com", "www.acme.com", "example.org", "not a domain"])
        records = {each["key"]: (each["status"], each["reason"]) for each in await api.records(job_id)}
        found = await letters.get()

    assert records["unknown.com"] == ("not_found", None)
    assert records["not a domain"] == ("failed", "invalid_input")
    assert records["www.acme.com"] == ("failed", "provider_rejected")
    assert [each["reference"]["id"] for each in sorted(found, key=lambda each: each["reference"]["id"])] == [
        f"{job_id}:{position}" for position in (1, 3, 4)
    ]
    for each in found:
        assert each["payload"] == each["reference"]
        assert (each["process"], each["reference"]["type"]) == ("enrichment", "enrichment_record")
        assert (each["state"], each["reason"], each["attempts"]) == ("open", "provider_rejected", 1)
        assert each["first_failed_at"] == each["last_failed_at"]


async def test_records_of_a_job_that_failed_have_a_letter_and_those_of_a_cancelled_one_have_not(
    shared_database: Database,
):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        body = {"entity": "company", "records": [{"domain": "a.com"}, {"domain": "b.com"}], "providers": ["website"]}
        failed, cancelled = [(await api.started(body))["id"] for _ in range(2)]
        await settle(api.sessions, api.tenant.workspace_id, UUID(failed), interrupted="failed")
        await settle(api.sessions, api.tenant.workspace_id, UUID(cancelled), interrupted="cancelled")
        found = await letters.get()
        assert await violations(api.sessions, api.tenant.workspace_id) == []

    assert {each["reference"]["id"] for each in found} == {f"{failed}:1", f"{failed}:2"}
    assert {each["reason"] for each in found} == {"job_failed"}


async def test_a_letter_names_nobody(database: Database):
    async with jobs_api(database, providers={"apollo": {"api_key": "k"}}) as api:
        letters = LettersApi(api, database)
        person = {"key": "ann@example.com", "email": "ann@example.com", "full_name": "Ann Lee"}
        body = {"entity": "person", "records": [person], "providers": ["apollo"], "on_outage": "skip"}
        job_id = (await api.started(body))["id"]
        await settle(api.sessions, api.tenant.workspace_id, UUID(job_id), interrupted="failed")
        assert await letters.states() == {f"{job_id}:1": "open"}
        found = await mentions(database, "ann@", "ann lee", "example.com")

    assert "enrichment_records" in found
    assert not any(table.startswith("dead_letter") for table in found)


async def test_letters_are_found_by_what_they_say(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        first = await letters.failed_job(["a.com", "b.com"])
        second = await letters.failed_job(["c.com"])
        async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
            failure = Failure("7:8", "status_500", "The endpoint did not take the event.", attempts=10)
            await service.open_many(session, api.tenant.workspace_id, "webhook", [failure])
        everything = set(await letters.states())
        of_first = set(await letters.states(reference=first))
        of_one = set(await letters.states(reference=f"{first}:2"))
        of_webhooks = await letters.get(process="webhook")
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        earlier = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        newest = await letters.answer(limit=3)
        rest = await letters.answer(cursor=newest.json()["meta"]["next_cursor"])

        assert everything == {f"{first}:1", f"{first}:2", f"{second}:1", "7:8"}
        assert of_first == {f"{first}:1", f"{first}:2"}
        assert of_one == {f"{first}:2"}
        assert [(each["reference"]["id"], each["attempts"]) for each in of_webhooks] == [("7:8", 10)]
        assert set(await letters.states(reason="status_500")) == {"7:8"}
        assert set(await letters.states(since=earlier, state="open")) == everything
        assert await letters.states(since=later) == await letters.states(state="discarded") == {}
        # A part of an id is no id.
        assert await letters.states(reference=first[:-1]) == {}
        assert newest.json()["data"][0]["reference"]["id"] == "7:8"
        assert len(rest.json()["data"]) == 1
        assert (await letters.answer(reference="a;b")).status_code == 422


async def test_what_fails_again_is_the_same_letter(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        workspace_id = api.tenant.workspace_id
        for attempts, reason in ((10, "status_500"), (9, "timeout")):
            async with api.sessions.for_workspace(workspace_id) as session:
                failure = Failure("1:2", reason, "It failed.", attempts=attempts)
                await service.open_many(session, workspace_id, "webhook", [failure])
        [letter] = await letters.get()
        async with api.sessions.for_workspace(workspace_id) as session:
            await service.resolve(session, workspace_id, "webhook", ["1:2", "3:4"])
        [resolved] = await letters.get()

    assert (letter["state"], letter["reason"], letter["attempts"]) == ("open", "timeout", 19)
    assert letter["first_failed_at"] < letter["last_failed_at"]
    assert resolved["state"] == "resolved"


async def test_a_letter_is_discarded_with_a_reason_once_and_stays_so(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        job_id = await letters.failed_job(["a.com"])
        [letter] = await letters.get()
        done = await letters.post(f"/{letter['id']}/discard", {"reason": "The list was a test"})
        again = await letters.post(f"/{letter['id']}/discard", {"reason": "Once more"})
        absent = await letters.post(f"/{new_id()}/discard", {"reason": "Nothing"})
        async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
            failure = Failure(f"{job_id}:1", "malformed", "It failed.")
            await service.open_many(session, api.tenant.workspace_id, "enrichment", [failure])
        kept = await letters.get(f"/{letter['id']}")
        [entry] = await api.rows("SELECT * FROM audit_entries WHERE action = 'dead_letter.discard'")
        redrive = await letters.redrive({"ids": [letter["id"]]})

    assert (done.status_code, again.status_code, absent.status_code) == (200, 409, 404)
    assert again.json()["error"]["code"] == "dead_letter_not_open"
    assert done.json()["data"] == kept == letter | {"state": "discarded", "discard_reason": "The list was a test"}
    assert (entry["target_id"], entry["actor_id"]) == (letter["id"], api.tenant.api_key_id)
    assert entry["after"] == {"state": "discarded", "reason": "The list was a test"}
    assert redrive["counts"] == {"total": 1, "pending": 0, "redriven": 0, "refused": 0, "skipped": 1}
    assert redrive["items"][0]["reason"] == "discarded"


async def test_a_viewer_sees_letters_and_changes_none(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        await letters.failed_job(["a.com"])
        viewer = await new_member(shared_database, api.tenant.workspace_id, "viewer")
        seen = await api.client.get(letters.path, headers=viewer.headers)
        refused = await api.client.post(f"{letters.path}/redrive", headers=viewer.headers, json={"filter": {}})
    assert (seen.status_code, len(seen.json()["data"]), refused.status_code) == (200, 1, 403)


async def test_the_flush_that_fails_records_writes_all_their_letters_with_it(shared_database: Database):
    """Also those of records that share the answers of one."""
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        domains = [f"{prefix}c{n}.com" for n in range(60) for prefix in ("", "www.")]
        job_id = await letters.failed_job(domains, fails_for(*(f"c{n}.com" for n in range(0, 60, 2))))
        job = (await api.get(f"/{job_id}")).json()["data"]
        found = await letters.states(reference=job_id)
        failed = {f"{job_id}:{n}" for n, record in enumerate(await api.records(job_id, limit=500), 1)
                  if record["status"] == "failed"}  # fmt: skip
    assert job["counts"]["failed"] == len(found) == 60
    assert set(found) == failed


@pytest.mark.parametrize(
    "body",
    [{}, {"ids": []}, {"ids": ["x"]}, {"ids": [], "filter": {}}, {"filter": {"state": "open"}}, {"ids": None}],
)
async def test_a_redrive_says_what_it_is_of(shared_database: Database, body: object):
    async with jobs_api(shared_database) as api:
        assert (await LettersApi(api, shared_database).post("/redrive", body)).status_code == 422
