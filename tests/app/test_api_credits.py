"""Credits over HTTP."""

from structlog.testing import capture_logs

from app.credits.service import grant, hold
from tests.api import new_tenant, owner_sessions, running_api
from tests.app.enrichment.jobs_api import jobs_api
from tests.servers import Database


async def test_credits_are_balance_held_and_what_is_free(database: Database):
    tenant = await new_tenant(database, credit=1000)
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        await hold(session, tenant.workspace_id, 300, key="h", reason="test", reference=("enrichment_job", "1"))
    async with running_api(database) as client:
        answer = await client.get(f"{tenant.path}/credits", headers=tenant.headers)
    assert answer.status_code == 200
    assert answer.json()["data"] == {"balance": 1000, "held": 300, "available": 700}


async def test_a_workspace_that_never_had_credits_has_none(database: Database):
    tenant = await new_tenant(database, credit=0)
    async with running_api(database) as client:
        credits_ = await client.get(f"{tenant.path}/credits", headers=tenant.headers)
        entries = await client.get(f"{tenant.path}/credits/entries", headers=tenant.headers)
    assert credits_.json()["data"] == {"balance": 0, "held": 0, "available": 0}
    assert entries.json()["data"] == []
    assert entries.json()["meta"]["next_cursor"] is None


async def test_an_entry_says_what_moved_and_where_that_left_the_account(database: Database):
    tenant = await new_tenant(database, credit=1000)
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        await hold(session, tenant.workspace_id, 300, key="h", reason="A job", reference=("enrichment_job", "1"))
    async with running_api(database) as client:
        answer = await client.get(f"{tenant.path}/credits/entries", headers=tenant.headers)
    newest, oldest = answer.json()["data"]
    assert oldest["kind"] == "grant"
    assert newest.keys() >= {"id", "created_at"}
    del newest["id"], newest["created_at"]
    assert newest == {
        "kind": "hold",
        "amount": 0,
        "held_amount": 300,
        "balance_after": 1000,
        "held_after": 300,
        "reason": "A job",
        "reference": {"type": "enrichment_job", "id": "1"},
    }


async def test_pages_hold_every_entry_once_also_while_entries_are_added(database: Database):
    tenant = await new_tenant(database, credit=0)
    async with owner_sessions(database) as sessions, running_api(database) as client:

        async def add(name: str) -> None:
            async with sessions.unscoped() as session:
                await grant(session, tenant.workspace_id, 1, key=name, reason=name)

        for number in range(5):
            await add(f"grant {number}")
        seen, cursor = [], None
        while True:
            query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            answer = await client.get(f"{tenant.path}/credits/entries", params=query, headers=tenant.headers)
            seen += [entry["reason"] for entry in answer.json()["data"]]
            cursor = answer.json()["meta"]["next_cursor"]
            if cursor is None:
                break
            await add(f"added after {len(seen)}")
    assert seen == [f"grant {number}" for number in (4, 3, 2, 1, 0)]


async def test_a_full_last_page_has_no_next_one(database: Database):
    tenant = await new_tenant(database, credit=5)
    async with running_api(database) as client:
        answer = await client.get(f"{tenant.path}/credits/entries?limit=1", headers=tenant.headers)
    assert len(answer.json()["data"]) == 1
    assert answer.json()["meta"]["next_cursor"] is None


async def test_a_job_that_leaves_few_credits_is_said_with_the_threshold_of_the_installation(database: Database):
    providers = {"hunter": {"api_key": "key", "credit_cost": 2}}
    body = {"entity": "company", "providers": ["hunter"], "records": [{"domain": f"c-{n}.com"} for n in range(3)]}
    async with jobs_api(database, credit=70, providers=providers, credits={"low_threshold": 60}) as api:
        with capture_logs() as logs:
            for _ in range(3):
                await api.started(body)
    assert [line["available"] for line in logs if line["event"] == "credits.low"] == [58]
