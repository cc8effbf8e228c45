"""The result of a job as a file."""

import csv
import io
import json

from app.providers.ports import Answer, Found, JsonValue, Missed, Query
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.fakes import FakeSource
from tests.servers import Database

VALUES: dict[str, dict[str, JsonValue]] = {
    "domain:acme.com": {"name": "=Acme()", "emails": ["a@acme.com", "b@acme.com"], "founded_year": 1999},
    "domain:phone.com": {"name": "Phone", "phone": "+1 650 555 0100", "description": "+cmd|' /C calc'!A0"},
}
FIELDS = ("name", "description", "founded_year", "phone", "emails")


def answer(query: Query) -> Answer:
    return Found(VALUES[query.key]) if query.key in VALUES else Missed()


async def exported(api: JobsApi, file: bytes, *, format_: str) -> str:
    started = await api.upload(file, {"fields": list(FIELDS), "providers": ["website"]})
    job_id = started.json()["data"]["id"]
    await api.work(job_id, FakeSource("website", answer, fields=FIELDS, credit_cost=1))
    result = await api.get(f"/{job_id}/export", format=format_)
    assert result.status_code == 200
    assert result.headers["Content-Disposition"] == f'attachment; filename="enrichment-{job_id}.{format_}"'
    return result.text


FILE = b'id,Website,name\n7,phone.com,"Foo, Inc"\n8,http://ACME.com/,=1+1\n9,10.0.0.1,-12.5\n'


async def test_csv_has_the_inputs_columns_first_then_the_fields_then_the_status(shared_database: Database):
    async with jobs_api(shared_database) as api:
        text = await exported(api, FILE, format_="csv")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["id", "Website", "name", "enriched_name", "description", "founded_year", "phone", "emails", "status"],
        ["7", "phone.com", "Foo, Inc", "Phone", "'+cmd|' /C calc'!A0", "", "+1 650 555 0100", "", "partial"],
        ["8", "http://ACME.com/", "'=1+1", "'=Acme()", "", "1999", "", "a@acme.com; b@acme.com", "partial"],
        ["9", "10.0.0.1", "-12.5", "", "", "", "", "", "failed"],
    ]


async def test_json_lines_have_the_same_columns_with_values_as_they_are(shared_database: Database):
    async with jobs_api(shared_database) as api:
        lines = [json.loads(line) for line in (await exported(api, FILE, format_="jsonl")).splitlines()]
    assert lines[1] == {
        "id": "8",
        "Website": "http://ACME.com/",
        "name": "=1+1",
        "enriched_name": "=Acme()",
        "description": None,
        "founded_year": 1999,
        "phone": None,
        "emails": ["a@acme.com", "b@acme.com"],
        "status": "partial",
    }
    assert [list(line)[:4] for line in lines] == [["id", "Website", "name", "enriched_name"]] * 3


async def test_records_of_json_have_the_columns_of_all_of_them(shared_database: Database):
    async with jobs_api(shared_database) as api:
        records = [{"domain": "a.com", "note": {"deep": [1]}}, {"name": "Foo", "key": "k"}, {"b": 1, "domain": "b.com"}]
        job = await api.started({"entity": "company", "fields": ["city"], "providers": ["website"], "records": records})
        text = (await api.get(f"/{job['id']}/export")).text
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["domain", "note", "name", "key", "b", "city", "status"],
        ["a.com", '{"deep":[1]}', "", "", "", "", "pending"],
        ["", "", "Foo", "k", "", "", "pending"],
        ["b.com", "", "", "", "1", "", "pending"],
    ]


async def test_more_rows_than_are_read_at_a_time_come_out_once_each_in_order(shared_database: Database):
    file = b"id,domain\n" + b"".join(b"%d,company-%d.com\n" % (n, n) for n in range(2500))
    async with jobs_api(shared_database, credit=10_000) as api:
        job = (await api.upload(file)).json()["data"]
        text = (await api.get(f"/{job['id']}/export")).text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["id"] for row in rows] == [str(n) for n in range(2500)]
