"""Starting a job over HTTP: what is stored, held and started, by JSON and by CSV alike."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.app.enrichment.jobs_api import jobs_api
from tests.builders import violations
from tests.servers import Database

ONE = {"entity": "company", "records": [{"domain": "acme.com"}]}
TWO = {"entity": "company", "records": [{"domain": "acme.com"}, {"domain": "example.com"}]}
# With a credential for each, all four providers are available.
PROVIDERS = {"hunter": {"api_key": "h", "credit_cost": 2}, "apollo": {"api_key": "a", "credit_cost": 3}}


async def test_a_job_is_answered_with_202_its_place_and_the_resource(shared_database: Database):
    async with jobs_api(shared_database) as api:
        answer = await api.start(ONE)
        assert answer.status_code == 202
        job = answer.json()["data"]
        assert answer.headers["Location"] == f"{api.path}/{job['id']}"
        polled = await api.client.get(answer.headers["Location"], headers=api.tenant.headers)
    assert polled.json()["data"] == job
    assert job["status"] == "queued"
    assert job["counts"] == {
        "total": 1, "pending": 1, "matched": 0, "partial": 0, "not_found": 0, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    assert job["workflow"]["id"] == f"enrichment-job/{job['id']}"


async def test_the_command_that_starts_the_workflow_is_stored_with_the_job(shared_database: Database):
    async with jobs_api(shared_database) as api:
        job = await api.started(TWO)
        workspace_id = api.tenant.workspace_id
        (command,) = await api.commands()
    assert command["workspace_id"] == workspace_id
    assert command["workflow_id"] == f"enrichment-job/{job['id']}"
    assert command["body"]["workflow"] == "EnrichRecords"
    argument = {"workspace_id": str(workspace_id), "job_id": job["id"], "plans_at_hand": True, "plan": None}
    assert command["body"]["argument"] == argument


async def test_the_plan_of_a_single_record_goes_with_the_command(shared_database: Database):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        await api.started(ONE | {"providers": ["hunter", "website"]})
        (command,) = await api.commands()
    plan = command["body"]["argument"]["plan"]
    assert (plan["desired"], plan["first"], plan["last"]) == ("running", 1, 1)
    assert plan["providers"] == ["hunter", "website"]


async def test_no_plan_is_made_for_a_single_record_that_is_invalid(shared_database: Database):
    async with jobs_api(shared_database) as api:
        await api.started({"entity": "company", "records": [{"domain": "10.0.0.1"}]})
        (command,) = await api.commands()
    assert command["body"]["argument"]["plan"] is None


async def test_json_and_csv_store_the_same(shared_database: Database):
    records = [
        {"domain": "HTTP://www.Acme.com/x", "name": "Acme"},
        {"domain": "", "name": " Foo  Bar "},
        {"domain": "10.0.0.1", "name": "Bad"},
        {"domain": "acme.com", "name": "Acme again"},
    ]
    file = "domain,name\n" + "".join(f"{record['domain']},{record['name']}\n" for record in records)
    query = """
        SELECT position, key, input, subject, subject_key, leader, status, reason, error FROM enrichment_records
        WHERE job_id = :job_id ORDER BY position
    """
    async with jobs_api(shared_database) as api:
        by_json = await api.started({"entity": "company", "records": records})
        by_csv = (await api.upload(file.encode())).json()["data"]
        json_rows = await api.rows(query, job_id=by_json["id"])
        csv_rows = await api.rows(query, job_id=by_csv["id"])
        assert await violations(api.sessions, api.tenant.workspace_id) == []
    assert json_rows == csv_rows
    assert by_json["counts"] == by_csv["counts"]
    assert [row["input"] for row in json_rows] == records
    assert [row["subject_key"] for row in json_rows] == ["domain:acme.com", "name:foo bar", None, "domain:acme.com"]
    assert [row["subject"] for row in json_rows][:2] == [{"domain": "acme.com", "name": "Acme"}, {"name": "Foo Bar"}]
    assert [row["leader"] for row in json_rows] == [1, 2, 3, 1]
    assert [row["status"] for row in json_rows] == ["pending", "pending", "failed", "pending"]
    assert [row["reason"] for row in json_rows] == [None, None, "invalid_input", None]
    assert json_rows[2]["error"] == {
        "code": "invalid_input",
        "field": "domain",
        "message": "This is an IP address or a number; a domain is needed.",
    }


async def test_text_of_all_kinds_goes_through_copy_as_it_is(shared_database: Database):
    odd = {
        "0": None,
        "domain": "acme.com",
        "a\tb": 'tab\there "quoted" back\\slash \\N \\. line\nbreak\r',
        "é": "日本 \u2028 😀",
    }
    nested = {"name": "Foo", "list": [1, 2.5, None, {"x": True}], "big": 2**63, "small": -(2**63)}
    async with jobs_api(shared_database) as api:
        job = await api.started({"entity": "company", "records": [odd, nested]})
        records = await api.records(job["id"])
    assert [record["input"] for record in records] == [odd, nested]
    assert [list(record["input"]) for record in records] == [list(odd), list(nested)]


async def test_keys_are_the_callers_or_the_row_numbers(shared_database: Database):
    async with jobs_api(shared_database) as api:
        records = [{"key": " first ", "domain": "a.com"}, {"domain": "b.com"}, {"key": "", "domain": "c.com"}]
        job = await api.started({"entity": "company", "records": records})
        assert [record["key"] for record in await api.records(job["id"])] == ["first", "2", "3"]


@pytest.mark.parametrize(
    ("wanted", "providers", "fields"),
    [
        # Cheapest first, equal prices as the registry has them; those that fill a wanted field only.
        ({"fields": ["industry", "mail_provider"]}, ["dns", "hunter", "apollo"], ["industry", "mail_provider"]),
        ({"fields": ["industry"], "providers": ["apollo", "hunter"]}, ["apollo", "hunter"], ["industry"]),
        ({"providers": ["dns"]}, ["dns"], ["mail_provider", "has_spf", "has_dmarc"]),
    ],
)
async def test_what_the_options_leave_open_is_chosen(
    shared_database: Database, wanted: Mapping[str, Any], providers: list[str], fields: list[str]
):
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job = await api.started(ONE | dict(wanted))
    assert [provider["name"] for provider in job["providers"]] == providers
    assert job["fields"] == fields


async def test_a_provider_without_its_credential_is_not_chosen(shared_database: Database):
    async with jobs_api(shared_database) as api:
        job = await api.started(ONE)
    assert [provider["name"] for provider in job["providers"]] == ["website", "dns"]


async def test_the_worst_case_is_held(shared_database: Database):
    """Both providers for each of two subjects: the second of the same subject, and the invalid one, cost nothing."""
    domains = ["a.com", "b.com", "www.a.com", "10.0.0.1"]
    body = {"entity": "company", "fields": ["industry"], "providers": ["hunter", "apollo"]}
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job = await api.started(body | {"records": [{"domain": domain} for domain in domains]})
        held = await api.rows("SELECT balance, held FROM credit_accounts")
    assert job["credits"] == {"held": 2 * (2 + 3), "charged": 0}
    assert held == [{"balance": 1000, "held": 10}]


async def test_a_provider_that_cannot_look_the_record_up_is_not_paid_for(shared_database: Database):
    body = {"entity": "company", "fields": ["mail_provider", "industry"], "providers": ["dns", "apollo"]}
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        by_domain = await api.started(body | {"records": [{"domain": "a.com"}]})
        by_name = await api.started(body | {"records": [{"name": "Acme"}]})
    assert by_domain["credits"]["held"] == 1 + 3
    assert by_name["credits"]["held"] < by_domain["credits"]["held"]


async def test_a_provider_that_fills_nothing_wanted_is_not_paid_for(shared_database: Database):
    body = ONE | {"fields": ["industry"], "providers": ["dns", "hunter"]}
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        assert (await api.started(body))["credits"]["held"] == 2


async def test_max_credits_limits_what_is_held(shared_database: Database):
    async with jobs_api(shared_database) as api:
        job = await api.started(ONE | {"max_credits": 1})
        stored = await api.rows("SELECT held, worst_case, max_credits FROM enrichment_jobs")
    assert job["credits"]["held"] == 1
    assert stored == [{"held": 1, "worst_case": 2, "max_credits": 1}]


@pytest.mark.parametrize("credit", [0, 3])
async def test_too_few_credits_are_402_with_what_is_needed_and_what_is_there(shared_database: Database, credit: int):
    records = [{"domain": "a.com"}, {"domain": "b.com"}]
    async with jobs_api(shared_database, credit=credit) as api:
        answer = await api.start({"entity": "company", "records": records})
        stored = await api.rows("SELECT id FROM enrichment_jobs")
    assert answer.status_code == 402
    assert answer.json()["error"]["code"] == "insufficient_credits"
    assert "4 credits" in answer.json()["error"]["message"]
    assert f"{credit} are available" in answer.json()["error"]["message"]
    assert stored == []


async def test_credits_that_suffice_only_because_records_repeat_suffice(shared_database: Database):
    async with jobs_api(shared_database, credit=2) as api:
        await api.started({"entity": "company", "records": [{"domain": "a.com"}, {"domain": "www.a.com"}]})


async def test_two_jobs_at_once_never_hold_more_than_there_is(shared_database: Database):
    async with jobs_api(shared_database, credit=5) as api:
        body = {"entity": "company", "records": [{"domain": "a.com"}, {"domain": "b.com"}]}
        answers = await asyncio.gather(*(api.start(body) for _ in range(4)))
        held = await api.rows("SELECT held FROM credit_accounts")
        assert await violations(api.sessions, api.tenant.workspace_id) == []
    assert sorted(answer.status_code for answer in answers) == [202, 402, 402, 402]
    assert held == [{"held": 4}]


async def test_a_job_of_which_every_row_is_wrong_is_accepted_and_costs_nothing(shared_database: Database):
    async with jobs_api(shared_database) as api:
        answer = await api.upload(b"domain\n10.0.0.1\nlocalhost\n")
        job = answer.json()["data"]
        assert answer.status_code == 202
        await api.work(job["id"])
        ended = (await api.get(f"/{job['id']}")).json()["data"]
    assert job["counts"]["failed"] == 2
    assert job["credits"]["held"] == 0
    assert ended["status"] == "completed"


async def test_the_options_are_kept(shared_database: Database):
    options = {
        "fields": ["name"],
        "on_outage": "skip",
        "max_wait_seconds": 60,
        "max_credits": 7,
        "min_confidence": 0.25,
        "reuse_within_seconds": 3600,
    }
    async with jobs_api(shared_database, enrichment={"chunk": 50, "window": 2}) as api:
        job = await api.started(ONE | options)
        (stored,) = await api.rows("SELECT * FROM enrichment_jobs")
    assert job.items() >= {key: value for key, value in options.items() if key != "reuse_within_seconds"}.items()
    assert stored.items() >= (options | {"chunk": 50, "window": 2, "entity": "company"}).items()


async def test_a_person_is_looked_up_by_email_or_name_and_company(shared_database: Database):
    file = b"First Name,Last Name,E-Mail,Company\nAna,Li,ANA@acme.com,\nBo,Xu,,Acme\nCy,,,\n"
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        answer = await api.upload(file, {"entity": "person"})
        records = await api.rows("SELECT subject_key, reason FROM enrichment_records ORDER BY position")
    assert answer.status_code == 202, answer.text
    assert [record["subject_key"] for record in records] == ["email:ana@acme.com", "name:bo xu company:acme", None]
    assert records[2]["reason"] == "invalid_input"


async def test_the_same_request_with_the_same_key_starts_one_job(shared_database: Database):
    async with jobs_api(shared_database) as api:
        first = await api.start(ONE, key="k")
        again = await api.start(dict(reversed(ONE.items())) | {"min_confidence": 0.5}, key="k")
        jobs = await api.rows("SELECT id FROM enrichment_jobs")
    assert (again.status_code, again.json()["data"]) == (202, first.json()["data"])
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(jobs) == 1


async def test_another_request_with_the_same_key_is_refused(shared_database: Database):
    async with jobs_api(shared_database) as api:
        await api.start(ONE, key="k")
        others = [
            await api.start(ONE | {"min_confidence": 0.6}, key="k"),
            await api.start(ONE | {"records": [{"domain": "acme.com", "note": "x"}]}, key="k"),
        ]
    assert [other.status_code for other in others] == [409, 409]
    assert {other.json()["error"]["code"] for other in others} == {"idempotency_key_reused"}


async def test_the_same_upload_is_known_by_its_content_whatever_its_boundary(shared_database: Database):
    file = b"domain\na.com\n"
    async with jobs_api(shared_database) as api:
        first = await api.upload(file, {"strict": False}, key="k")
        again = await api.upload(file, key="k")
        other = await api.upload(file + b"b.com\n", key="k")
    assert again.json()["data"] == first.json()["data"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")


async def test_twins_at_once_start_one_job(shared_database: Database):
    async with jobs_api(shared_database) as api:
        answers = await asyncio.gather(*(api.start(ONE, key="k") for _ in range(5)))
        jobs = await api.rows("SELECT id FROM enrichment_jobs")
    assert len(jobs) == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} <= {"idempotency_in_progress"}


async def test_a_refused_request_is_not_remembered(shared_database: Database):
    async with jobs_api(shared_database, credit=0) as api:
        assert (await api.start(ONE, key="k")).status_code == 402
        await api.grant(10)
        assert (await api.start(ONE, key="k")).status_code == 202
