"""Letters are tried again once each, in the name and at the cost of whoever asked, and say what came of it."""

import asyncio
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import text

from app.db import Sessions, create_engine, new_id
from app.deadletters import redrives, service
from app.deadletters.measure import OpenLetters
from app.deadletters.service import Failure
from app.enrichment import erase
from app.enrichment.settle import settle
from app.settings import DatabaseSettings
from tests.api import new_tenant
from tests.app.deadletters.letters_api import LettersApi, fails_for, website
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.builders import violations
from tests.servers import Database
from workflows.contracts.erasures import ErasePage


async def job(api: JobsApi, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"/{job_id}")).json()["data"]
    return found


def resources(redrive: dict[str, Any]) -> set[str]:
    return {each["resource"]["id"] for each in redrive["items"]}


async def test_one_new_job_for_each_job_with_a_hold_of_its_own(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        first = await letters.failed_job(["a.com", "unknown.com", "b.com", "www.a.com"])
        second = await letters.failed_job(["c.com"])
        redrive = await letters.redrive({"filter": {"process": "enrichment"}})
        again = {(await job(api, each))["retry_of"]: await job(api, each) for each in resources(redrive)}
        found = await letters.get()
        entries = await api.rows(
            "SELECT actor_id, after FROM audit_entries WHERE action = 'enrichment_job.retry' ORDER BY id"
        )
        assert await violations(api.sessions, api.tenant.workspace_id) == []

    assert (redrive["state"], redrive["requested_by"]) == ("completed", str(api.tenant.api_key_id))
    assert redrive["counts"] == {"total": 4, "pending": 0, "redriven": 4, "refused": 0, "skipped": 0}
    assert set(again) == {first, second}
    assert [again[each]["counts"]["total"] for each in (first, second)] == [3, 1]
    assert [again[each]["credits"]["held"] for each in (first, second)] == [2, 1]
    assert {each["state"] for each in found} == {"redriven"}
    assert {each["payload"]["id"] for each in found} == {f"{again[first]['id']}:{n}" for n in (1, 2, 3)} | {
        f"{again[second]['id']}:1"
    }
    assert {entry["actor_id"] for entry in entries} == {api.tenant.api_key_id}


async def test_what_ends_well_is_resolved_and_what_fails_is_open_again_and_can_be_redriven(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        source = await letters.failed_job(["a.com", "b.com", "unknown.com", "c.com"])
        one = await letters.get(reference=f"{source}:2")
        await letters.redrive({"filter": {"reference": source}})
        # It is not open: asking once more makes nothing.
        skipped = await letters.redrive({"ids": [each["id"] for each in one]})
        [new] = await api.rows("SELECT id FROM enrichment_jobs WHERE retry_of IS NOT NULL")
        await api.work(str(new["id"]), fails_for("b.com"))
        after_first = await letters.states()
        [failed] = await letters.get(state="open")
        second = await letters.redrive({"filter": {}})
        [newest] = resources(second)
        source_of_second = (await job(api, newest))["retry_of"]
        await api.work(newest, website())
        after_second = await letters.states()
        assert await violations(api.sessions, api.tenant.workspace_id) == []

    assert after_first == {f"{source}:1": "resolved", f"{source}:2": "open", f"{source}:4": "resolved"}
    assert (failed["attempts"], failed["payload"]["id"]) == (2, f"{new['id']}:2")
    assert failed["first_failed_at"] < failed["last_failed_at"]
    assert (skipped["items"][0]["result"], skipped["items"][0]["reason"]) == ("skipped", "redriven")
    assert source_of_second == str(new["id"]), "it goes on from the newest try, whose answers it keeps"
    assert set(after_second.values()) == {"resolved"}


async def test_a_retry_of_the_job_does_the_same(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        source = await letters.failed_job(["a.com", "b.com"])
        new = (await api.post(f"/{source}/retry")).json()["data"]["id"]
        while_running = await letters.states()
        await api.work(new, fails_for("a.com"))
        at_the_end = await letters.states()
    assert while_running == {f"{source}:1": "redriven", f"{source}:2": "redriven"}
    assert at_the_end == {f"{source}:1": "open", f"{source}:2": "resolved"}


async def test_letters_of_a_new_job_that_is_cancelled_are_open_again(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        source = await letters.failed_job(["a.com", "b.com"])
        [new] = resources(await letters.redrive({"filter": {}}))
        await settle(api.sessions, api.tenant.workspace_id, UUID(new), interrupted="cancelled")
        found = await letters.get()
    assert [(each["state"], each["reason"], each["attempts"]) for each in found] == [
        ("open", "provider_rejected", 2)
    ] * 2
    assert {each["reference"]["id"] for each in found} == {f"{source}:1", f"{source}:2"}


async def test_letters_of_a_new_job_that_fails_are_open_again(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        await letters.failed_job(["a.com"])
        [new] = resources(await letters.redrive({"filter": {}}))
        await settle(api.sessions, api.tenant.workspace_id, UUID(new), interrupted="failed")
        [letter] = await letters.get()
    assert (letter["state"], letter["reason"], letter["attempts"]) == ("open", "job_failed", 2)


async def test_too_few_credits_refuse_the_items_and_leave_the_letters_open(shared_database: Database):
    async with jobs_api(shared_database, credit=2) as api:
        letters = LettersApi(api, shared_database)
        large = await letters.failed_job(["a.com", "b.com"])
        small = await letters.failed_job(["c.com"])
        # What is held for the first leaves less than what the second needs.
        await api.started({"entity": "company", "records": [{"domain": "d.com"}], "providers": ["website"]})
        redrive = await letters.redrive({"filter": {}})
        states = await letters.states()
        assert await violations(api.sessions, api.tenant.workspace_id) == []
        await api.grant(10)
        again = await letters.redrive({"filter": {"reference": large}})

    assert states == {f"{large}:1": "open", f"{large}:2": "open", f"{small}:1": "redriven"}
    assert redrive["counts"] == {"total": 3, "pending": 0, "redriven": 1, "refused": 2, "skipped": 0}
    refused = [each for each in redrive["items"] if each["result"] == "refused"]
    assert {(each["reason"], each["resource"]) for each in refused} == {("insufficient_credits", None)}
    assert again["counts"]["redriven"] == 2


async def test_records_of_a_job_that_goes_on_are_refused(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        body = {"entity": "company", "records": [{"domain": "a.com"}], "providers": ["website"]}
        job_id = (await api.started(body))["id"]
        await api.work(job_id, fails_for("a.com"), end=False)
        redrive = await letters.redrive({"filter": {}})
        states = await letters.states()
    assert [(each["result"], each["reason"]) for each in redrive["items"]] == [("refused", "job_not_finished")]
    assert states == {f"{job_id}:1": "open"}


async def test_a_request_is_one_however_often_it_comes(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        await letters.failed_job(["a.com"])
        first = await letters.post("/redrive", {"filter": {}}, key="once")
        same = await letters.post("/redrive", {"filter": {}}, key="once")
        other = await letters.post("/redrive", {"filter": {"process": "webhook"}}, key="once")
        data = first.json()["data"]
        [command] = [each for each in await api.commands() if each["workflow_id"].startswith("redrive/")]
        [entry] = await api.rows("SELECT target_id, after FROM audit_entries WHERE action = 'dead_letters.redrive'")

    assert (first.status_code, same.status_code, other.status_code) == (202, 202, 409)
    assert same.headers["Idempotent-Replayed"] == "true"
    assert same.json()["data"] == data
    assert first.headers["Location"] == f"{letters.path}/redrives/{data['id']}"
    assert (data["state"], data["counts"]["pending"]) == ("running", 1)
    assert command["workflow_id"] == f"redrive/{data['id']}"
    assert command["body"]["workflow"] == "RedriveDeadLetters"
    assert (entry["target_id"], entry["after"]) == (data["id"], {"items": 1})


async def test_results_come_in_pages(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        await letters.failed_job([f"c{n}.com" for n in range(5)])
        redrive = await letters.redrive({"filter": {}})
        path, seen, cursor = f"/redrives/{redrive['id']}", [], None
        while True:
            page = await letters.get(path, limit=2, **({"cursor": cursor} if cursor else {}))
            seen += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    assert seen == redrive["items"]
    assert len(seen) == 5


async def test_ids_of_another_workspace_are_unknown(shared_database: Database):
    async with jobs_api(shared_database) as theirs:
        await LettersApi(theirs, shared_database).failed_job(["a.com"])
        [letter] = await LettersApi(theirs, shared_database).get()
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        await letters.failed_job(["b.com"])
        [own] = await letters.get()
        refused = await letters.post("/redrive", {"ids": [own["id"], letter["id"], str(new_id())]})
        assert (await letters.answer(f"/{letter['id']}")).status_code == 404
    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["error"]["details"]] == ["ids[1]", "ids[2]"]


async def test_redrives_of_the_same_letters_at_once_redrive_each_once(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        for n in range(4):
            await letters.failed_job([f"c{n}-{m}.com" for m in range(3)])
        requests = [(await letters.post("/redrive", {"filter": {}})).json()["data"]["id"] for _ in range(2)]
        # Twice each: as when a worker seemed dead, and was not.
        await asyncio.gather(*(letters.work(each) for each in [*requests, *requests]))
        counts = [(await letters.get(f"/redrives/{each}"))["counts"] for each in requests]
        new = await api.rows("SELECT retry_of, total FROM enrichment_jobs WHERE retry_of IS NOT NULL")
        assert await violations(api.sessions, api.tenant.workspace_id) == []

    assert sorted(row["total"] for row in new) == [3, 3, 3, 3]
    assert len({row["retry_of"] for row in new}) == 4
    assert sum(each["redriven"] for each in counts) == sum(each["skipped"] for each in counts) == 12


async def test_what_nobody_can_try_again_is_refused_at_the_end(shared_database: Database):
    async with jobs_api(shared_database) as api:
        letters = LettersApi(api, shared_database)
        async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
            failure = Failure("row_1", "conflict", "It failed.")
            await service.open_many(session, api.tenant.workspace_id, "replication", [failure])
        redrive = await letters.redrive({"filter": {}})
    assert [(each["result"], each["reason"]) for each in redrive["items"]] == [("refused", "not_redrivable")]


async def test_the_letter_of_somebody_who_was_erased_is_discarded(database: Database):
    async with jobs_api(database) as api:
        letters = LettersApi(api, database)
        source = await letters.failed_job(["acme.com", "www.acme.com", "b.com"])
        erasure = await api.client.post(
            f"{api.tenant.path}/enrichment/erasures", json={"domain": "acme.com"}, headers=api.tenant.headers
        )
        page = ErasePage(str(api.tenant.workspace_id), erasure.json()["data"]["id"])
        await erase.erase_records(api.sessions, page)
        found = await letters.get()
        redrive = await letters.redrive({"ids": [each["id"] for each in found]})

    assert {each["reference"]["id"]: (each["state"], each["discard_reason"]) for each in found} == {
        f"{source}:1": ("discarded", "erased"),
        f"{source}:2": ("discarded", "erased"),
        f"{source}:3": ("open", None),
    }
    assert redrive["counts"] == {"total": 3, "pending": 0, "redriven": 1, "refused": 0, "skipped": 2}


async def test_a_redrive_that_went_silent_is_started_again_until_it_is_done(database: Database):
    async with jobs_api(database) as api:
        letters = LettersApi(api, database)
        await letters.failed_job(["a.com"])
        redrive_id = (await letters.post("/redrive", {"filter": {}})).json()["data"]["id"]
        found = redrives.Redrives(api.sessions, api.owner)
        await _silent(api, "DELETE FROM outbox_commands")
        [work] = await found.claim_silent(60, 10)
        await found.end(work)
        started = [each["workflow_id"] for each in await api.commands()]
        await _silent(api, "SELECT 1")
        on_its_way = await found.claim_silent(60, 10)
        await letters.work(redrive_id)
        await _silent(api, "DELETE FROM outbox_commands")
        done = await found.claim_silent(60, 10)

    assert started == [work.workflow_id] == [f"redrive/{redrive_id}"]
    assert list(on_its_way) == list(done) == []


async def _silent(api: JobsApi, statement: str) -> None:
    async with api.owner.unscoped() as session:
        await session.execute(text(statement))
        await session.execute(text("UPDATE dead_letter_redrives SET alive_at = now() - interval '1 hour'"))


async def test_open_letters_are_counted_by_process_over_all_workspaces(database: Database):
    for _ in range(2):
        async with jobs_api(database) as api:
            await LettersApi(api, database).failed_job(["a.com", "b.com"])
    await new_tenant(database)
    registry = CollectorRegistry()
    engine = create_engine(SecretStr(database.platform_url), DatabaseSettings(pool_size=1), application="tests")
    await OpenLetters(registry).sweep(Sessions(engine))
    await engine.dispose()
    assert registry.get_sample_value("holdfast_dead_letters_open", {"process": "enrichment"}) == 4
    assert registry.get_sample_value("holdfast_dead_letters_open", {"process": "billing"}) == 0
