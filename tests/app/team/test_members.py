"""Members over HTTP: who may change whom, and that a workspace never loses its last owner."""

import asyncio
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.auth.permissions import Role
from app.auth.service import create_api_key
from tests.api import new_tenant, owner_sessions, running_api
from tests.people import new_member
from tests.servers import Database, PostgresServer


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


async def roles(database: Database, workspace_id: UUID) -> dict[UUID, str]:
    query = text("SELECT user_id, role FROM memberships WHERE workspace_id = :id")
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        return {row.user_id: row.role for row in await session.execute(query, {"id": workspace_id})}


async def entries(database: Database, workspace_id: UUID) -> list[tuple[str, UUID | None, object, object]]:
    query = text("SELECT action, actor_id, before, after FROM audit_entries WHERE workspace_id = :id ORDER BY id")
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        return [tuple(row) for row in await session.execute(query, {"id": workspace_id})]


async def test_members_are_listed_page_by_page(database: Database):
    tenant = await new_tenant(database)
    people = [await new_member(database, tenant.workspace_id, role) for role in ("owner", "member", "viewer")]
    async with running_api(database) as client:
        first = await client.get(f"{tenant.path}/members?limit=2", headers=people[2].headers)
        cursor = first.json()["meta"]["next_cursor"]
        second = await client.get(f"{tenant.path}/members?limit=2&cursor={cursor}", headers=tenant.headers)
    found = [*first.json()["data"], *second.json()["data"]]
    assert [(each["user_id"], each["email"], each["role"]) for each in found] == [
        (str(person.user_id), person.email, role)
        for person, role in zip(people, ("owner", "member", "viewer"), strict=True)
    ]
    assert second.json()["meta"]["next_cursor"] is None


@pytest.mark.parametrize(
    ("caller", "target", "role", "status"),
    [
        ("owner", "member", "owner", 200),
        ("owner", "owner", "viewer", 200),
        ("admin", "member", "admin", 200),
        ("admin", "admin", "viewer", 200),
        ("admin", "member", "owner", 403),
        ("admin", "owner", "admin", 403),
        ("member", "viewer", "member", 403),
        ("viewer", "viewer", "owner", 403),
    ],
)
async def test_who_may_change_whom(database: Database, caller: Role, target: Role, role: Role, status: int):
    tenant = await new_tenant(database)
    who = await new_member(database, tenant.workspace_id, caller)
    whom = await new_member(database, tenant.workspace_id, target)
    async with running_api(database) as client:
        path = f"{tenant.path}/members/{whom.user_id}"
        answer = await client.patch(path, json={"role": role}, headers=who.headers)
    assert answer.status_code == status
    assert (await roles(database, tenant.workspace_id))[whom.user_id] == (role if status == 200 else target)
    told = await entries(database, tenant.workspace_id)
    assert told == ([("member.change_role", who.user_id, {"role": target}, {"role": role})] if status == 200 else [])


@pytest.mark.parametrize(
    ("caller", "target", "status"),
    [("owner", "owner", 204), ("admin", "admin", 204), ("admin", "owner", 403), ("member", "viewer", 403)],
)
async def test_who_may_remove_whom(database: Database, caller: Role, target: Role, status: int):
    tenant = await new_tenant(database)
    who = await new_member(database, tenant.workspace_id, caller)
    whom = await new_member(database, tenant.workspace_id, target)
    async with running_api(database) as client:
        answer = await client.delete(f"{tenant.path}/members/{whom.user_id}", headers=who.headers)
        after = await client.get(tenant.path, headers=whom.headers)
    assert answer.status_code == status
    assert after.status_code == (404 if status == 204 else 200)
    assert (whom.user_id in await roles(database, tenant.workspace_id)) == (status != 204)


@pytest.mark.parametrize("role", ["admin", "member", "viewer"])
async def test_everybody_may_leave(database: Database, role: Role):
    tenant = await new_tenant(database)
    member = await new_member(database, tenant.workspace_id, role)
    async with running_api(database) as client:
        answer = await client.delete(f"{tenant.path}/members/{member.user_id}", headers=member.headers)
    assert answer.status_code == 204
    assert await roles(database, tenant.workspace_id) == {}
    assert await entries(database, tenant.workspace_id) == [("member.remove", member.user_id, {"role": role}, None)]


async def test_a_key_removes_nobody(database: Database):
    tenant = await new_tenant(database)
    member = await new_member(database, tenant.workspace_id, "member")
    async with running_api(database) as client:
        answer = await client.delete(f"{tenant.path}/members/{member.user_id}", headers=tenant.headers)
    assert answer.status_code == 403
    assert member.user_id in await roles(database, tenant.workspace_id)


async def test_the_last_owner_neither_leaves_nor_is_demoted(database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    await new_member(database, tenant.workspace_id, "admin")
    path = f"{tenant.path}/members/{owner.user_id}"
    async with running_api(database) as client:
        answers = [
            await client.delete(path, headers=owner.headers),
            await client.patch(path, json={"role": "admin"}, headers=owner.headers),
        ]
        same = await client.patch(path, json={"role": "owner"}, headers=owner.headers)
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [(409, "last_owner")] * 2
    assert same.status_code == 200
    assert (await roles(database, tenant.workspace_id))[owner.user_id] == "owner"
    assert await entries(database, tenant.workspace_id) == []


@pytest.mark.parametrize("way", ["demote", "remove"])
async def test_of_two_owners_who_end_each_other_exactly_one_is_the_first(database: Database, way: str):
    async with running_api(database) as client:
        for _ in range(5):
            tenant = await new_tenant(database)
            ann = await new_member(database, tenant.workspace_id, "owner")
            bob = await new_member(database, tenant.workspace_id, "owner")
            answers = await asyncio.gather(
                *(
                    client.request(
                        "PATCH" if way == "demote" else "DELETE",
                        f"{tenant.path}/members/{whom.user_id}",
                        json={"role": "member"} if way == "demote" else None,
                        headers=who.headers,
                    )
                    for who, whom in ((ann, bob), (bob, ann))
                )
            )
            ended, refused = sorted(answer.status_code for answer in answers)
            assert ended in (200, 204)
            # The second was let in as an owner and is none any more; or it came too late for that.
            assert refused in (403, 404)
            assert list((await roles(database, tenant.workspace_id)).values()).count("owner") == 1


async def test_who_is_no_member_cannot_be_changed(database: Database):
    tenant, other = await new_tenant(database), await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    stranger = await new_member(database, other.workspace_id, "member")
    async with running_api(database) as client:
        for user_id in (stranger.user_id, uuid4(), "me"):
            path = f"{tenant.path}/members/{user_id}"
            assert (await client.patch(path, json={"role": "viewer"}, headers=owner.headers)).status_code == 404
            assert (await client.delete(path, headers=owner.headers)).status_code == 404
    assert await roles(database, other.workspace_id) == {stranger.user_id: "member"}


@pytest.mark.parametrize("body", [{}, {"role": "god"}, {"role": None}, {"role": "viewer", "more": 1}, []])
async def test_a_bad_role_is_refused(database: Database, body: object):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    member = await new_member(database, tenant.workspace_id, "member")
    async with running_api(database) as client:
        answer = await client.patch(f"{tenant.path}/members/{member.user_id}", json=body, headers=owner.headers)
    assert answer.status_code == 422
    assert (await roles(database, tenant.workspace_id))[member.user_id] == "member"


async def test_keys_end_with_the_membership_and_stay_so_when_the_person_comes_back(database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    admin = await new_member(database, tenant.workspace_id, "admin")
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        _, secret = await create_api_key(
            session, tenant.workspace_id, "Mine", ["credits:read"], created_by=admin.user_id
        )
    headers = {"Authorization": f"Bearer {secret}"}
    async with running_api(database) as client:
        before = await client.get(f"{tenant.path}/credits", headers=headers)
        await client.delete(f"{tenant.path}/members/{admin.user_id}", headers=owner.headers)
        after = await client.get(f"{tenant.path}/credits", headers=headers)
        async with owner_sessions(database) as sessions, sessions.unscoped() as session:
            await session.execute(
                text("INSERT INTO memberships (workspace_id, user_id, role) VALUES (:w, :u, 'admin')"),
                {"w": tenant.workspace_id, "u": admin.user_id},
            )
        back = await client.get(f"{tenant.path}/credits", headers=headers)
    assert [each.status_code for each in (before, after, back)] == [200, 401, 401]
