"""Starting a job over HTTP: what is stored, held and started, by JSON and by CSV alike."""

import json

from sqlalchemy import text

from tests.api import new_tenant, owner_sessions, running_api
from tests.servers import Database


async def test_one(database: Database):
    tenant = await new_tenant(database)
    async with running_api(database) as client:
        answer = await client.post(
            f"{tenant.path}/enrichment/jobs",
            headers=tenant.headers | {"Idempotency-Key": "a"},
            json={"entity": "company", "records": [{"domain": "http://www.Example.com/x", "x": "=1"}, {"domain": "127.0.0.1"}]},
        )
        print(answer.status_code, answer.headers, json.dumps(answer.json(), indent=1))
        job = answer.json()["data"]["id"]
        for path in ("", "/records", "/export", "/export?format=jsonl"):
            answer = await client.get(f"{tenant.path}/enrichment/jobs/{job}{path}", headers=tenant.headers)
            print(answer.status_code, answer.text)
        answer = await client.post(
            f"{tenant.path}/enrichment/jobs",
            headers=tenant.headers, files={"file": ("a.csv", b"Website,Company\nhttp://x.com,\nbad,Foo\n,Acme\n", "text/csv")}, data={"options": json.dumps({"entity":"company"})}
        )
        print(answer.status_code, answer.headers, json.dumps(answer.json(), indent=1))
