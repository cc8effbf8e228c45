"""Workspaces over HTTP: made, listed, renamed, and gone at once when they are deleted."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import text

from app.db import Sessions
from app.workspaces.service import MAX_OWNED
from tests.api import new_tenant, owner_sessions, running_api
from tests.people import SignedIn, join, new_member, new_person
from tests.servers import Database, PostgresServer


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


async def rows(database: Database, query: str, **parameters: object):
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        return [dict(row) for row in (await session.execute(text(query), parameters)).mappings()]


async def until_blocked(owner: Sessions) -> None:
    """Until somebody waits for a lock on this server, which is this test process's own."""
    query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(60):
        while True:
            async with owner.unscoped() as session:
                if (await session.execute(query)).scalar_one():
                    return
            await asyncio.sleep(0.01)


async def actions(database: Database, workspace_id: object) -> list[str]:
    query = "SELECT action FROM audit_entries WHERE workspace_id = :id ORDER BY id"
    return [row["action"] for row in await rows(database, query, id=workspace_id)]


async def test_whoever_makes_a_workspace_owns_it_and_has_its_first_credits(database: Database):
    person = await new_person(database)
    async with running_api(database, credits={"signup_grant": 250}) as client:
        answer = await client.post("/api/v1/workspaces", json={"name": "  Acme "}, headers=person.headers)
        made = answer.json()["data"]
        path = f"/api/v1/workspaces/{made['id']}"
        got = await client.get(path, headers=person.headers)
        credit = await client.get(f"{path}/credits", headers=person.headers)
        members = await client.get(f"{path}/members", headers=person.headers)
    assert answer.status_code == 201
    assert answer.headers["Location"] == path
    assert made["name"] == "Acme"
    assert made["role"] == "owner"
    assert got.json()["data"] == made
    assert credit.json()["data"] == {"balance": 250, "held": 0, "available": 250}
    assert [(member["user_id"], member["role"]) for member in members.json()["data"]] == [
        (str(person.user_id), "owner")
    ]
    assert await actions(database, made["id"]) == ["workspace.create"]


async def test_nothing_of_a_workspace_is_left_that_could_not_be_made(database: Database):
    person = await new_person(database)
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        # The last step of making one: the grant is refused.
        await session.execute(text("REVOKE INSERT ON credit_entries FROM holdfast_app"))
    before = await rows(database, "SELECT count(*) FROM workspaces")
    try:
        async with running_api(database) as client:
            answer = await client.post("/api/v1/workspaces", json={"name": "Acme"}, headers=person.headers)
    finally:
        async with owner_sessions(database) as owner, owner.unscoped() as session:
            await session.execute(text("GRANT INSERT ON credit_entries TO holdfast_app"))
    assert answer.status_code == 500
    assert await rows(database, "SELECT count(*) FROM workspaces") == before
    assert await rows(database, "SELECT * FROM memberships WHERE user_id = :id", id=person.user_id) == []


async def test_a_person_owns_a_hundred_workspaces_at_the_most(database: Database):
    person = await new_person(database)
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        await session.execute(
            text("""
                WITH made AS (INSERT INTO workspaces (id, name)
                              SELECT gen_random_uuid(), 'Many' FROM generate_series(1, :n) RETURNING id)
                INSERT INTO memberships (workspace_id, user_id, role) SELECT id, :user_id, 'owner' FROM made
            """),
            {"n": MAX_OWNED, "user_id": person.user_id},
        )
    async with running_api(database) as client:
        answer = await client.post("/api/v1/workspaces", json={"name": "One more"}, headers=person.headers)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "too_many_workspaces"


async def test_the_same_key_makes_one_workspace_with_its_credits_once_also_many_at_once(database: Database):
    ann, ben = await new_person(database), await new_person(database)
    async with running_api(database) as client:

        async def create(who: SignedIn, key: str, name: str = "Once") -> httpx.Response:
            headers = {**who.headers, "Idempotency-Key": key}
            return await client.post("/api/v1/workspaces", json={"name": name}, headers=headers)

        answers = await asyncio.gather(*(create(ann, "the-same") for _ in range(5)))
        other_request = await create(ann, "the-same", "Another")
        other_key = await create(ann, "another")
        somebody_elses = await create(ben, "the-same")
        await client.delete(answers[0].headers["Location"], headers=ann.headers)
        after_deletion = await create(ann, "the-same")
        listed = await client.get("/api/v1/workspaces", headers=ann.headers)

    assert [answer.status_code for answer in answers] == [201] * 5
    assert len({answer.json()["data"]["id"] for answer in answers}) == 1
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert sorted(answer.headers.get("Idempotent-Replayed", "") for answer in answers) == ["", *["true"] * 4]
    assert other_request.status_code == 409
    assert other_request.json()["error"]["code"] == "idempotency_key_reused"
    assert after_deletion.json()["data"] == answers[0].json()["data"]
    made = {answer.json()["data"]["id"] for answer in (answers[0], other_key, somebody_elses)}
    assert len(made) == 3
    assert [each["id"] for each in listed.json()["data"]] == [other_key.json()["data"]["id"]]


async def test_a_key_is_good_again_after_a_week(database: Database):
    person = await new_person(database)
    headers = {**person.headers, "Idempotency-Key": "weekly"}
    async with running_api(database) as client:
        first = await client.post("/api/v1/workspaces", json={"name": "Acme"}, headers=headers)
        async with owner_sessions(database) as owner, owner.unscoped() as session:
            query = text("UPDATE idempotency_keys SET created_at = now() - interval '8 days' WHERE workspace_id = :id")
            await session.execute(query, {"id": first.json()["data"]["id"]})
        later = [await client.post("/api/v1/workspaces", json={"name": "Acme"}, headers=headers) for _ in range(2)]
    ids = [answer.json()["data"]["id"] for answer in (first, *later)]
    assert ids[0] != ids[1] == ids[2]


async def test_people_list_their_own_workspaces_page_by_page_and_keys_their_one(database: Database):
    person = await new_person(database)
    tenant = await new_tenant(database)
    ids = []
    async with running_api(database) as client:
        for name in ("One", "Two", "Three"):
            answer = await client.post("/api/v1/workspaces", json={"name": name}, headers=person.headers)
            ids.append(answer.json()["data"]["id"])
        first = await client.get("/api/v1/workspaces?limit=2", headers=person.headers)
        cursor = first.json()["meta"]["next_cursor"]
        second = await client.get(f"/api/v1/workspaces?limit=2&cursor={cursor}", headers=person.headers)
        of_key = await client.get("/api/v1/workspaces", headers=tenant.headers)
    assert [each["id"] for each in first.json()["data"]] == [ids[2], ids[1]]
    assert [each["id"] for each in second.json()["data"]] == [ids[0]]
    assert second.json()["meta"]["next_cursor"] is None
    assert [each["id"] for each in of_key.json()["data"]] == [str(tenant.workspace_id)]


async def test_a_change_says_what_was_and_what_is(database: Database):
    tenant = await new_tenant(database, name="Before")
    admin = await new_member(database, tenant.workspace_id, "admin")
    settings = {"default_providers": ["hunter", "website"], "credits_low_threshold": 50}
    async with running_api(database) as client:
        changed = await client.patch(tenant.path, json={"name": "After", "settings": settings}, headers=admin.headers)
        taken_back = await client.patch(
            tenant.path, json={"settings": {"default_providers": None}}, headers=admin.headers
        )
        same = await client.patch(tenant.path, json={}, headers=admin.headers)
    assert changed.status_code == 200
    assert changed.json()["data"]["name"] == "After"
    assert changed.json()["data"]["settings"] == settings
    assert taken_back.json()["data"]["settings"] == {"default_providers": None, "credits_low_threshold": 50}
    assert same.json()["data"] == taken_back.json()["data"]
    query = "SELECT actor_id, before, after FROM audit_entries WHERE workspace_id = :id ORDER BY id"
    first, second = await rows(database, query, id=tenant.workspace_id)
    assert first["actor_id"] == admin.user_id
    assert first["before"] == {"name": "Before", "settings": {}}
    assert first["after"] == {"name": "After", "settings": settings}
    assert second["after"] == {"settings": {"credits_low_threshold": 50}}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 7}, "name"),
        ({"title": "Acme"}, "title"),
        ({"settings": {"default_providers": ["nobody"]}}, "settings.default_providers[0]"),
        ({"settings": {"default_providers": ["hunter", "hunter"]}}, "settings.default_providers"),
        ({"settings": {"default_providers": []}}, "settings.default_providers"),
        ({"settings": {"credits_low_threshold": -1}}, "settings.credits_low_threshold"),
        ({"settings": {"colour": "red"}}, "settings.colour"),
    ],
)
async def test_a_bad_change_says_where_and_changes_nothing(database: Database, body: dict[str, object], field: str):
    tenant = await new_tenant(database, name="Same")
    owner = await new_member(database, tenant.workspace_id, "owner")
    async with running_api(database) as client:
        answer = await client.patch(tenant.path, json=body, headers=owner.headers)
        after = await client.get(tenant.path, headers=owner.headers)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == field
    assert after.json()["data"]["name"] == "Same"
    assert await actions(database, tenant.workspace_id) == []


async def test_names_are_kept_in_one_form(database: Database):
    person = await new_person(database)
    async with running_api(database) as client:
        answer = await client.post("/api/v1/workspaces", json={"name": "Cafe\u0301 <b>"}, headers=person.headers)
    assert answer.json()["data"]["name"] == "Caf\u00e9 <b>"


async def test_a_deleted_workspace_is_gone_at_once_for_people_and_keys(database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    viewer = await new_member(database, tenant.workspace_id, "viewer")
    async with running_api(database) as client:
        answer = await client.delete(tenant.path, headers=owner.headers)
        people = [await client.get(tenant.path, headers=each.headers) for each in (owner, viewer)]
        key = await client.get(f"{tenant.path}/credits", headers=tenant.headers)
        again = await client.delete(tenant.path, headers=owner.headers)
        listed = await client.get("/api/v1/workspaces", headers=owner.headers)
    assert answer.status_code == 202
    assert answer.json()["data"]["deleted_at"] is not None
    assert [each.status_code for each in people] == [404, 404]
    assert key.status_code == 401
    assert again.status_code == 404
    assert listed.json()["data"] == []
    assert await actions(database, tenant.workspace_id) == ["workspace.delete"]
    query = "SELECT workflow_id, kind, body->>'workflow' AS workflow FROM outbox_commands WHERE workspace_id = :id"
    assert await rows(database, query, id=tenant.workspace_id) == [
        {"workflow_id": f"close-workspace/{tenant.workspace_id}", "kind": "start", "workflow": "CloseWorkspace"}
    ]


@pytest.mark.parametrize("role", ["viewer", "member", "admin"])
async def test_only_owners_delete(database: Database, role: str):
    tenant = await new_tenant(database)
    member: SignedIn = await new_member(database, tenant.workspace_id, role)  # type: ignore[arg-type]
    async with running_api(database) as client:
        answer = await client.delete(tenant.path, headers=member.headers)
        after = await client.get(tenant.path, headers=member.headers)
    assert answer.status_code == 403
    assert after.status_code == 200


async def test_another_workspace_is_no_place_to_look(database: Database):
    ours, theirs = await new_tenant(database), await new_tenant(database)
    person = await new_person(database)
    await join(database, person, ours.workspace_id, "owner")
    async with running_api(database) as client:
        answers = [
            await client.get(theirs.path, headers=person.headers),
            await client.patch(theirs.path, json={"name": "Ours"}, headers=person.headers),
            await client.delete(theirs.path, headers=person.headers),
            await client.get(theirs.path, headers=ours.headers),
        ]
    assert [answer.status_code for answer in answers] == [404] * 4


async def test_a_job_cannot_be_started_in_a_workspace_that_is_being_deleted(database: Database):
    """Also when the caller was let in before: the two hold the same row."""
    tenant = await new_tenant(database)
    body = {"entity": "company", "records": [{"domain": "example.com"}], "providers": ["website"]}
    async with running_api(database) as client, owner_sessions(database) as owner:
        async with owner.unscoped() as session:
            query = "UPDATE workspaces SET deleted_at = now() WHERE id = :id"
            await session.execute(text(query), {"id": tenant.workspace_id})
            # Not committed: the key is still good, and the start waits for what comes of the deletion.
            start = asyncio.create_task(
                client.post(f"{tenant.path}/enrichment/jobs", json=body, headers=tenant.headers)
            )
            await until_blocked(owner)
        answer = await start
    assert answer.status_code == 404
    assert await rows(database, "SELECT * FROM enrichment_jobs WHERE workspace_id = :id", id=tenant.workspace_id) == []
