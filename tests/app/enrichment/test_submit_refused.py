"""Requests that are wrong as a whole: refused with the place of each mistake; nothing is stored, held or started."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text

from app.tables import TABLES
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.app.enrichment.test_csv_input import WRONG_FILES
from tests.servers import Database

RECORDS = [{"domain": "acme.com"}]


async def counts(api: JobsApi) -> dict[str, int]:
    """How many rows each table has, in all workspaces."""
    each = ", ".join(f"(SELECT count(*) FROM {table.name}) AS {table.name}" for table in TABLES)
    async with api.owner.unscoped() as session:
        return dict((await session.execute(text(f"SELECT {each}"))).mappings().one())


def places(answer: Any) -> list[str]:
    return [detail["field"] for detail in answer.json()["error"]["details"]]


@pytest.mark.parametrize(("file", "place"), WRONG_FILES.values(), ids=WRONG_FILES)
async def test_a_wrong_file_leaves_no_trace(shared_database: Database, file: bytes, place: str | None):
    async with jobs_api(shared_database, enrichment={"max_rows": 100}) as api:
        before = await counts(api)
        answer = await api.upload(file, key="k")
        assert await counts(api) == before
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_request"
    assert places(answer) == ([place] if place else [])


WRONG_OPTIONS: Mapping[str, tuple[dict[str, Any], list[str]]] = {
    "no entity": ({"entity": None}, ["entity"]),
    "an entity that there is not": ({"entity": "animal"}, ["entity"]),
    "a field that there is not": ({"fields": ["name", "shoe_size"]}, ["fields[1]"]),
    "a field of the other entity": ({"fields": ["seniority"]}, ["fields[0]"]),
    "a field twice": ({"fields": ["name", "name"]}, ["fields[1]"]),
    "no fields": ({"fields": []}, ["fields"]),
    "fields that are no list": ({"fields": "name"}, ["fields"]),
    "a provider that there is not": ({"providers": ["website", "oracle"]}, ["providers[1]"]),
    "a provider twice": ({"providers": ["website", "website"]}, ["providers[1]"]),
    "a provider without its credential": ({"providers": ["hunter"]}, ["providers[0]"]),
    "a provider that is no text": ({"providers": [1]}, ["providers[0]"]),
    "no providers": ({"providers": []}, ["providers"]),
    "mistakes in both": ({"fields": ["x"], "providers": ["y"]}, ["fields[0]", "providers[0]"]),
    "a field that no provider fills": ({"fields": ["total_funding"]}, ["fields"]),
    "negative credits": ({"max_credits": -1}, ["max_credits"]),
    "credits that are text": ({"max_credits": "5"}, ["max_credits"]),
    "credits that are no integer": ({"max_credits": 1.5}, ["max_credits"]),
    "credits that are a truth value": ({"max_credits": True}, ["max_credits"]),
    "credits beyond all bounds": ({"max_credits": 10**30}, ["max_credits"]),
    "a negative wait": ({"max_wait_seconds": -1}, ["max_wait_seconds"]),
    "a wait of 31 days": ({"max_wait_seconds": 31 * 86_400}, ["max_wait_seconds"]),
    "a confidence above 1": ({"min_confidence": 1.1}, ["min_confidence"]),
    "a negative confidence": ({"min_confidence": -0.1}, ["min_confidence"]),
    "a confidence that is no number": ({"min_confidence": float("nan")}, ["min_confidence"]),
    "a negative reuse": ({"reuse_within_seconds": -1}, ["reuse_within_seconds"]),
    "another way to take outages": ({"on_outage": "panic"}, ["on_outage"]),
    "strict as text": ({"strict": "yes"}, ["strict"]),
    "an option that there is not": ({"priority": "high"}, ["priority"]),
}


@pytest.mark.parametrize(("options", "where"), WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
async def test_wrong_options_leave_no_trace_in_either_form(
    shared_database: Database, options: dict[str, Any], where: list[str]
):
    async with jobs_api(shared_database) as api:
        before = await counts(api)
        by_json = await api.start({"entity": "company", "records": RECORDS} | options, key="k")
        by_csv = await api.upload(b"domain\nacme.com\n", options, key="k")
        assert await counts(api) == before
    assert (by_json.status_code, places(by_json)) == (422, where)
    assert (by_csv.status_code, places(by_csv)) == (422, [f"options.{place}" for place in where])


@pytest.mark.parametrize(
    ("records", "where"),
    [
        ([], ["records"]),
        (None, ["records"]),
        ({}, ["records"]),
        ([[]], ["records[0]"]),
        (["acme.com"], ["records[0]"]),
        ([{"domain": "a.com"}, {"domain": 5}], ["records[1].domain"]),
        ([{"domain": ["a.com"]}], ["records[0].domain"]),
        ([{"key": 1, "domain": "a.com"}], ["records[0].key"]),
        ([{"key": "k" * 256, "domain": "a.com"}], ["records[0].key"]),
        ([{"domain": "a.com"}, {"name": "A\0B"}], ["records[1].name"]),
        ([{"domain": "a.com", "note": {"deep": ["\0"]}}], ["records[0].note"]),
        ([{"domain": "a.com", "note": 2**64}], ["records[0].note"]),
        ([{"domain": "a.com", "note": float("inf")}], ["records[0].note"]),
        ([{"key": "a", "domain": "a.com"}, {"key": " a", "domain": "b.com"}], ["records[1].key"]),
        ([{"key": "2", "domain": "a.com"}, {"domain": "b.com"}], ["records[1].key"]),
        ([{"domain": "a.com"}] * 101, ["records"]),
    ],
)
async def test_wrong_records_leave_no_trace(shared_database: Database, records: Any, where: list[str]):
    async with jobs_api(shared_database, enrichment={"max_rows": 100}) as api:
        before = await counts(api)
        answer = await api.start({"entity": "company", "records": records}, key="k")
        assert await counts(api) == before
    assert (answer.status_code, places(answer)) == (422, where)


async def test_the_same_key_twice_in_a_file_names_both_rows(shared_database: Database):
    async with jobs_api(shared_database) as api:
        before = await counts(api)
        answer = await api.upload(b"key,domain\nx,a.com\ny,b.com\nx,c.com\n")
        assert await counts(api) == before
    assert answer.status_code == 422
    assert places(answer) == ["row 3, column key"]
    assert "row 1, column key" in answer.json()["error"]["details"][0]["message"]


async def test_strict_refuses_what_would_be_invalid_and_lists_the_first_hundred(shared_database: Database):
    file = b"Website,name\na.com,A\n" + b"localhost,B\n" * 150 + b"c.com,C\n"
    async with jobs_api(shared_database) as api:
        before = await counts(api)
        answer = await api.upload(file, {"strict": True})
        assert await counts(api) == before
        accepted = await api.upload(file, {"strict": False})
    assert answer.status_code == 422
    assert places(answer) == [f"row {n}, column Website" for n in range(2, 102)]
    assert "150 of 152" in answer.json()["error"]["message"]
    assert accepted.json()["data"]["counts"]["failed"] == 150


async def test_strict_takes_a_request_in_which_all_is_right(shared_database: Database):
    async with jobs_api(shared_database) as api:
        assert (await api.start({"entity": "company", "strict": True, "records": RECORDS})).status_code == 202
        answer = await api.start({"entity": "company", "strict": True, "records": [*RECORDS, {"name": " "}]})
    assert (answer.status_code, places(answer)) == (422, ["records[1].domain"])


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"columns": {"Webseite": "domain"}}, ["options.columns.Webseite"]),
        ({"columns": {"domain": "homepage"}}, ["options.columns.domain"]),
        ({"columns": {"domain": 1}}, ["options.columns.domain"]),
        ({"columns": ["domain"]}, ["options.columns"]),
        ({"records": RECORDS}, ["options.records"]),
    ],
)
async def test_options_of_an_upload_that_do_not_fit_it_are_refused(
    shared_database: Database, options: dict[str, Any], where: list[str]
):
    async with jobs_api(shared_database) as api:
        before = await counts(api)
        answer = await api.upload(b"domain\nacme.com\n", options)
        assert await counts(api) == before
    assert (answer.status_code, places(answer)) == (422, where)


async def test_columns_belong_to_uploads(shared_database: Database):
    async with jobs_api(shared_database) as api:
        answer = await api.start({"entity": "company", "records": RECORDS, "columns": {"a": "domain"}})
    assert (answer.status_code, places(answer)) == (422, ["columns"])


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"entity": "company", "records": [{"domain": "\\ud800"}]}']
)
async def test_a_body_that_is_not_the_json_of_a_job_is_refused(shared_database: Database, body: bytes):
    async with jobs_api(shared_database) as api:
        headers = api.tenant.headers | {"Content-Type": "application/json"}
        answer = await api.client.post(api.path, headers=headers, content=body)
    assert answer.status_code == 422


async def test_options_that_are_no_json_are_refused(shared_database: Database):
    async with jobs_api(shared_database) as api:
        answer = await api.client.post(
            api.path,
            headers=api.tenant.headers,
            files={"file": ("a.csv", b"domain\na.com\n")},
            data={"options": "entity=company"},
        )
    assert (answer.status_code, places(answer)) == (422, ["options"])


async def test_an_upload_without_its_parts_is_refused(shared_database: Database):
    async with jobs_api(shared_database) as api:
        answer = await api.client.post(
            api.path, headers=api.tenant.headers, files={"upload": ("a.csv", b"domain\na.com\n")}
        )
    assert (answer.status_code, places(answer)) == (422, ["upload"])


async def test_a_csv_as_the_body_itself_is_415(shared_database: Database):
    async with jobs_api(shared_database) as api:
        headers = api.tenant.headers | {"Content-Type": "text/csv"}
        answer = await api.client.post(api.path, headers=headers, content=b"domain\na.com\n")
    assert answer.status_code == 415


async def test_a_workspace_of_somebody_else_is_404_before_the_body_is_looked_at(shared_database: Database):
    async with jobs_api(shared_database) as api, jobs_api(shared_database) as other:
        answer = await api.client.post(other.path, headers=api.tenant.headers, content=json.dumps({}))
    assert answer.status_code == 404
