"""API keys over HTTP: the secret is shown once, and a key is never more than who made it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import httpx
import pytest
from sqlalchemy import text

from app.api_keys.schemas import KeyScope
from app.api_keys.service import MAX_LIVE_KEYS
from app.auth.permissions import KEY_SCOPES
from app.main import create_app
from tests.api import Tenant, client_of, new_tenant, owner_sessions, running_api, settings_for
from tests.people import SignedIn, new_member
from tests.servers import Database, PostgresServer


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


async def execute(database: Database, statement: str, **parameters: object) -> Any:
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        result = await session.execute(text(statement), parameters)
        return result.mappings().all() if result.returns_rows else None


async def create(client: httpx.AsyncClient, tenant: Tenant, who: SignedIn, **body: object) -> httpx.Response:
    whole = {"name": "Nightly", "scopes": ["credits:read"], **body}
    return await client.post(f"{tenant.path}/api-keys", json=whole, headers=who.headers)


async def use(client: httpx.AsyncClient, tenant: Tenant, secret: str) -> int:
    answer = await client.get(f"{tenant.path}/credits", headers={"Authorization": f"Bearer {secret}"})
    return answer.status_code


def test_the_scopes_of_the_document_are_those_that_keys_can_have():
    assert set(get_args(KeyScope)) == KEY_SCOPES


async def test_a_secret_is_shown_once_and_opens_what_its_scopes_say(database: Database):
    tenant = await new_tenant(database)
    admin = await new_member(database, tenant.workspace_id, "admin")
    ends = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    async with running_api(database) as client:
        answer = await create(client, tenant, admin, scopes=["credits:read"], expires_at=ends.isoformat())
        made = answer.json()["data"]
        secret = made.pop("secret")
        listed = await client.get(f"{tenant.path}/api-keys?limit=1", headers=admin.headers)
        headers = {"Authorization": f"Bearer {secret}"}
        allowed = await client.get(f"{tenant.path}/credits", headers=headers)
        refused = await client.get(f"{tenant.path}/enrichment/jobs", headers=headers)
    assert answer.status_code == 201
    assert secret.startswith(made["prefix"])
    assert secret.endswith(made["last_four"])
    assert made["created_by"] == str(admin.user_id)
    assert datetime.fromisoformat(made["expires_at"]) == ends
    assert [each["id"] for each in listed.json()["data"]] == [made["id"]]
    assert secret not in listed.text
    assert allowed.status_code == 200
    assert refused.status_code == 403


async def test_a_secret_is_in_no_row_of_the_database(database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    async with running_api(database) as client:
        answer = await create(client, tenant, owner)
    secret = answer.json()["data"]["secret"]
    tables = await execute(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for table in tables:
        query = f"SELECT count(*) AS n FROM {table['tablename']} AS t WHERE strpos(t::text, :part) > 0"
        for part in (secret[8:40], secret.encode().hex()):
            assert await execute(database, query, part=part) == [{"n": 0}]


async def test_what_is_done_to_keys_is_on_record(database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    async with running_api(database) as client:
        made = (await create(client, tenant, owner, name="Import")).json()["data"]
        await client.delete(f"{tenant.path}/api-keys/{made['id']}", headers=owner.headers)
    query = "SELECT action, actor_id, target_id, before, after FROM audit_entries WHERE workspace_id = :id ORDER BY id"
    created, revoked = await execute(database, query, id=tenant.workspace_id)
    told = {"name": "Import", "last_four": made["last_four"], "scopes": ["credits:read"], "expires_at": None}
    assert (created["action"], created["target_id"], created["after"]) == ("api_key.create", made["id"], told)
    assert (revoked["action"], revoked["target_id"], revoked["before"]) == ("api_key.revoke", made["id"], told)
    assert created["actor_id"] == revoked["actor_id"] == owner.user_id


async def test_a_revoked_key_is_refused_at_once_and_not_listed(database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    async with running_api(database) as client:
        made = (await create(client, tenant, owner)).json()["data"]
        path = f"{tenant.path}/api-keys/{made['id']}"
        before = await use(client, tenant, made["secret"])
        revoked = await client.delete(path, headers=owner.headers)
        after = await use(client, tenant, made["secret"])
        again = await client.delete(path, headers=owner.headers)
        listed = await client.get(f"{tenant.path}/api-keys", headers=owner.headers)
    assert (before, revoked.status_code, after, again.status_code) == (200, 204, 401, 404)
    assert made["id"] not in [each["id"] for each in listed.json()["data"]]


async def test_a_key_can_do_no_more_than_who_made_it_can_do_now(database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    admin = await new_member(database, tenant.workspace_id, "admin")
    async with running_api(database) as client:
        scopes = ["enrichment:write", "credits:read"]
        secret = (await create(client, tenant, admin, scopes=scopes)).json()["data"]["secret"]
        headers = {"Authorization": f"Bearer {secret}"}
        jobs = f"{tenant.path}/enrichment/jobs"
        body = {"entity": "company", "records": [{"domain": "example.com"}], "providers": ["website"]}
        before = await client.post(jobs, json=body, headers=headers)
        member = f"{tenant.path}/members/{admin.user_id}"
        await client.patch(member, json={"role": "viewer"}, headers=owner.headers)
        demoted = await client.post(jobs, json=body, headers=headers)
        still = await use(client, tenant, secret)
        await client.delete(member, headers=owner.headers)
        gone = await use(client, tenant, secret)
    assert (before.status_code, demoted.status_code, still, gone) == (202, 403, 200, 401)


async def test_a_key_is_dead_once_it_expired(database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    async with running_api(database) as client:
        made = (await create(client, tenant, owner, expires_at=ends)).json()["data"]
        before = await use(client, tenant, made["secret"])
        await execute(database, "UPDATE api_keys SET expires_at = now() WHERE id = :id", id=made["id"])
        after = await use(client, tenant, made["secret"])
    assert (before, after) == (200, 401)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_keys_never_manage_keys(database: Database, method: str):
    tenant = await new_tenant(database)
    path = f"{tenant.path}/api-keys" + (f"/{tenant.api_key_id}" if method == "DELETE" else "")
    async with running_api(database) as client:
        body = {"name": "More", "scopes": ["credits:read"]} if method == "POST" else None
        answer = await client.request(method, path, json=body, headers=tenant.headers)
        assert answer.status_code == 403
        assert await use(client, tenant, tenant.api_key) == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\u0007b"}, "name"),
        ({"name": None}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["api_keys:write"]}, "scopes[0]"),
        ({"scopes": ["credits:read", "workspace:delete"]}, "scopes[1]"),
        ({"scopes": ["credits:read", "credits:read"]}, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"secret": "hf_live_mine"}, "secret"),
    ],
)
async def test_a_bad_key_is_refused_and_says_where(database: Database, body: dict[str, object], field: str):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    async with running_api(database) as client:
        answer = await create(client, tenant, owner, **body)
        listed = await client.get(f"{tenant.path}/api-keys", headers=owner.headers)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == field
    assert [each["id"] for each in listed.json()["data"]] == [str(tenant.api_key_id)]


async def test_a_workspace_has_a_hundred_live_keys_at_the_most(database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    insert = """
        INSERT INTO api_keys (id, workspace_id, name, prefix, last_four, secret_hash, scopes, expires_at)
        SELECT gen_random_uuid(), :id, 'Many', 'hf_live_', 'many', uuid_send(gen_random_uuid()), '{}',
               now() + make_interval(hours => :hours)
        FROM generate_series(1, :n)
    """
    # Those that have expired do not count. One more is the tenant's own.
    await execute(database, insert, id=tenant.workspace_id, hours=-1, n=50)
    await execute(database, insert, id=tenant.workspace_id, hours=1, n=MAX_LIVE_KEYS - 2)
    async with running_api(database) as client:
        answers = await asyncio.gather(*(create(client, tenant, owner) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["error"]["code"] == "too_many_api_keys"


async def test_keys_are_listed_page_by_page(database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    async with running_api(database) as client:
        for n in range(3):
            await create(client, tenant, owner, name=f"Key {n}")
        names, cursor = [], ""
        while cursor is not None:
            answer = await client.get(
                f"{tenant.path}/api-keys?limit=2{cursor and '&cursor=' + cursor}", headers=owner.headers
            )
            names.extend(each["name"] for each in answer.json()["data"])
            cursor = answer.json()["meta"]["next_cursor"]
    assert names == ["Key 2", "Key 1", "Key 0", "Tests"]


async def test_another_workspaces_key_is_not_there(database: Database):
    ours, theirs = await new_tenant(database), await new_tenant(database)
    owner = await new_member(database, ours.workspace_id, "owner")
    async with running_api(database) as client:
        answer = await client.delete(f"{ours.path}/api-keys/{theirs.api_key_id}", headers=owner.headers)
        assert answer.status_code == 404
        assert await use(client, theirs, theirs.api_key) == 200


async def test_the_last_use_is_written_at_most_once_a_minute(database: Database):
    tenant = await new_tenant(database)
    query = "SELECT last_used_at, xmin::text AS version FROM api_keys WHERE id = :id"
    move = "UPDATE api_keys SET last_used_at = now() - make_interval(secs => :secs) WHERE id = :id"

    async def used(*, times: int) -> dict[str, Any]:
        app = create_app(settings_for(database))
        # A process of its own each time: what the one before has written counts for it too.
        async with client_of(app) as client:
            for _ in range(times):
                assert await use(client, tenant, tenant.api_key) == 200
            await app.state.key_usage.drain()
        [row] = await execute(database, query, id=tenant.api_key_id)
        return dict(row)

    [never] = await execute(database, query, id=tenant.api_key_id)
    first = await used(times=3)
    second = await used(times=3)
    await execute(database, move, id=tenant.api_key_id, secs=30)
    [moved] = await execute(database, query, id=tenant.api_key_id)
    third = await used(times=1)
    await execute(database, move, id=tenant.api_key_id, secs=61)
    fourth = await used(times=1)
    assert never["last_used_at"] is None
    assert first["last_used_at"] is not None
    assert second == first
    assert third == dict(moved)
    assert fourth["last_used_at"] > first["last_used_at"]


async def test_a_use_that_cannot_be_written_refuses_nothing(database: Database):
    tenant = await new_tenant(database)
    app = create_app(settings_for(database))
    async with client_of(app) as client, owner_sessions(database) as owner, owner.unscoped() as session:
        # The write waits for this lock, and the request does not wait for the write.
        await session.execute(text("SELECT FROM api_keys WHERE id = :id FOR UPDATE"), {"id": tenant.api_key_id})
        assert await use(client, tenant, tenant.api_key) == 200
