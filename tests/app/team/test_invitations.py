"""Invitations: mailed, used once, within a week, by who has the address."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.auth.permissions import Role
from app.main import create_app
from app.team.service import MAX_MAILS_A_DAY_TO_ONE, MAX_OPEN_INVITATIONS
from tests.api import Tenant, client_of, new_tenant, owner_sessions, settings_for
from tests.people import SignedIn, join, new_member, new_person
from tests.servers import Database, PostgresServer


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@dataclass
class Door:
    """An API, its client, and the mails that it sent."""

    app: FastAPI
    client: httpx.AsyncClient
    folder: Path

    async def mails(self) -> list[EmailMessage]:
        await self.app.state.resources.mails.drain()
        return [message_from_bytes(path.read_bytes(), policy=default) for path in sorted(self.folder.glob("*.eml"))]  # type: ignore[misc]

    async def invite(
        self, tenant: Tenant, who: SignedIn, email: str, role: str = "member", *, key: str | None = None
    ) -> httpx.Response:
        headers = who.headers if key is None else {**who.headers, "Idempotency-Key": key}
        body = {"email": email, "role": role}
        return await self.client.post(f"{tenant.path}/invitations", json=body, headers=headers)

    async def token(self) -> str:
        """That of the latest mail."""
        mail = (await self.mails())[-1]
        body = mail.get_body(("plain",))
        assert body is not None
        found = re.search(r"/links/invitation#token=([\w-]+)", body.get_content())
        assert found is not None
        return found[1]

    async def accept(self, person: SignedIn, token: str) -> httpx.Response:
        return await self.client.post("/api/v1/invitations/accept", json={"token": token}, headers=person.headers)


@pytest.fixture
async def door(database: Database, tmp_path: Path) -> AsyncIterator[Door]:
    async with open_door(database, tmp_path) as opened:
        yield opened


@asynccontextmanager
async def open_door(database: Database, folder: Path) -> AsyncIterator[Door]:
    app = create_app(settings_for(database, mail={"directory": folder}, public_url="https://holdfast.example"))
    async with client_of(app) as client:
        yield Door(app, client, folder)


async def execute(database: Database, statement: str, **parameters: object) -> Any:
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        result = await session.execute(text(statement), parameters)
        return result.mappings().all() if result.returns_rows else None


async def test_an_invited_person_becomes_a_member(database: Database, door: Door):
    tenant = await new_tenant(database, name="Acme <b>")
    admin = await new_member(database, tenant.workspace_id, "admin")
    person = await new_person(database)
    made = await door.invite(tenant, admin, person.email.upper(), "member")
    token = await door.token()
    [mail] = await door.mails()
    listed = await door.client.get(f"{tenant.path}/invitations", headers=admin.headers)
    accepted = await door.accept(person, token)
    me = await door.client.get(tenant.path, headers=person.headers)
    left = await door.client.get(f"{tenant.path}/invitations", headers=admin.headers)
    assert made.status_code == 201
    assert made.json()["data"]["email"] == person.email
    assert "token" not in made.text.replace("token_", "")
    assert token not in made.text
    assert mail["To"] == person.email
    html = mail.get_body(("html",))
    assert html is not None
    assert "Acme &lt;b&gt;" in html.get_content()
    assert listed.json()["data"] == [made.json()["data"]]
    assert accepted.status_code == 200
    assert accepted.json()["data"] == me.json()["data"]
    assert me.json()["data"]["role"] == "member"
    assert left.json()["data"] == []
    entries = await execute(
        database,
        "SELECT action, actor_id FROM audit_entries WHERE workspace_id = :id ORDER BY id",
        id=tenant.workspace_id,
    )
    assert [(entry["action"], entry["actor_id"]) for entry in entries] == [
        ("invitation.create", admin.user_id),
        ("invitation.accept", person.user_id),
    ]


async def test_the_token_is_nowhere_in_the_database(database: Database, door: Door):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    await door.invite(tenant, owner, "nobody@example.com")
    token = await door.token()
    [row] = await execute(
        database, "SELECT i::text AS whole FROM invitations AS i WHERE workspace_id = :id", id=tenant.workspace_id
    )
    assert token not in row["whole"]
    assert token.encode().hex() not in row["whole"]


async def test_an_invitation_is_good_for_one_use(database: Database, door: Door):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    person = await new_person(database)
    await door.invite(tenant, owner, person.email)
    token = await door.token()
    answers = await asyncio.gather(*(door.accept(person, token) for _ in range(4)))
    await door.client.delete(f"{tenant.path}/members/{person.user_id}", headers=owner.headers)
    again = await door.accept(person, token)
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert again.status_code == 404


async def test_only_the_invited_address_accepts(database: Database, door: Door):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    invited, other = await new_person(database), await new_person(database)
    await door.invite(tenant, owner, invited.email)
    token = await door.token()
    by_other = await door.accept(other, token)
    by_key = await door.client.post("/api/v1/invitations/accept", json={"token": token}, headers=tenant.headers)
    by_nobody = await door.client.post("/api/v1/invitations/accept", json={"token": token})
    by_invited = await door.accept(invited, token)
    assert (by_other.status_code, by_other.json()["error"]["code"]) == (403, "not_invited")
    assert by_key.status_code == 403
    assert by_nobody.status_code == 401
    assert by_invited.status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE invitations SET expires_at = now() WHERE workspace_id = :id",
        "UPDATE invitations SET revoked_at = now() WHERE workspace_id = :id",
        "UPDATE workspaces SET deleted_at = now() WHERE id = :id",
    ],
    ids=["expired", "withdrawn", "workspace deleted"],
)
async def test_an_invitation_that_has_ended_lets_nobody_in(database: Database, door: Door, change: str):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    person = await new_person(database)
    await door.invite(tenant, owner, person.email)
    token = await door.token()
    await execute(database, change, id=tenant.workspace_id)
    answer = await door.accept(person, token)
    assert answer.status_code == 404
    query = "SELECT * FROM memberships WHERE user_id = :id"
    assert await execute(database, query, id=person.user_id) == []


async def test_an_invitation_lasts_seven_days(database: Database, door: Door):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    await door.invite(tenant, owner, "week@example.com")
    query = "SELECT (expires_at - created_at)::text AS lasts FROM invitations WHERE workspace_id = :id"
    assert await execute(database, query, id=tenant.workspace_id) == [{"lasts": "7 days"}]


async def test_accepting_verifies_the_address_and_drops_what_somebody_else_may_have_set(database: Database, door: Door):
    tenant, elsewhere = await new_tenant(database), await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    person = await new_person(database, verified=False)
    await join(database, person, elsewhere.workspace_id, "owner")
    await execute(database, "UPDATE users SET password_hash = 'somebody''s' WHERE id = :id", id=person.user_id)
    thief = uuid4()
    await execute(
        database,
        "INSERT INTO user_sessions (id, user_id, token_hash, expires_at)"
        " VALUES (:id, :user_id, :hash, now() + interval '1 day')",
        id=thief,
        user_id=person.user_id,
        hash=thief.bytes,
    )
    await door.invite(tenant, owner, person.email)
    accepted = await door.accept(person, await door.token())
    still_in = await door.client.get(tenant.path, headers=person.headers)
    [user] = await execute(database, "SELECT * FROM users WHERE id = :id", id=person.user_id)
    sessions = await execute(
        database, "SELECT id, revoked_at FROM user_sessions WHERE user_id = :id", id=person.user_id
    )
    assert accepted.status_code == 200
    assert accepted.json()["data"]["id"] == str(tenant.workspace_id)
    assert still_in.status_code == 200
    assert user["email_verified_at"] is not None
    assert user["password_hash"] is None
    assert {row["id"]: row["revoked_at"] is not None for row in sessions} == {thief: True, person.session_id: False}


async def test_inviting_again_ends_the_older_invitation(database: Database, door: Door):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    person = await new_person(database)
    await door.invite(tenant, owner, person.email, "viewer")
    older = await door.token()
    await door.invite(tenant, owner, person.email, "admin")
    newer = await door.token()
    listed = await door.client.get(f"{tenant.path}/invitations", headers=owner.headers)
    answers = [await door.accept(person, older), await door.accept(person, newer)]
    assert [each["role"] for each in listed.json()["data"]] == ["admin"]
    assert [answer.status_code for answer in answers] == [404, 200]
    assert answers[1].json()["data"]["role"] == "admin"


async def test_the_same_key_mails_once_and_its_invitation_stays_good(database: Database, door: Door):
    tenant = await new_tenant(database)
    admin = await new_member(database, tenant.workspace_id, "admin")
    answers = [await door.invite(tenant, admin, "once@example.com", key="the-same") for _ in range(3)]
    other = await door.invite(tenant, admin, "twice@example.com", key="the-same")
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.json()["data"]["id"] for answer in answers}) == 1
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true", "true"]
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert len(await door.mails()) == 1
    invited = await new_person(database, email="once@example.com")
    assert (await door.accept(invited, await door.token())).status_code == 200


async def test_a_member_is_not_invited_again(database: Database, door: Door):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    viewer = await new_member(database, tenant.workspace_id, "viewer")
    answer = await door.invite(tenant, owner, viewer.email, "admin")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "already_member")
    assert await door.mails() == []


@pytest.mark.parametrize(
    ("caller", "role", "status"),
    [("owner", "owner", 201), ("admin", "admin", 201), ("admin", "owner", 403), ("member", "viewer", 403)],
)
async def test_who_may_invite_as_what(database: Database, door: Door, caller: Role, role: Role, status: int):
    tenant = await new_tenant(database)
    who = await new_member(database, tenant.workspace_id, caller)
    answer = await door.invite(tenant, who, "somebody@example.com", role)
    assert answer.status_code == status
    assert len(await door.mails()) == (1 if status == 201 else 0)


async def test_an_invitation_can_be_withdrawn(database: Database, door: Door):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    admin = await new_member(database, tenant.workspace_id, "admin")
    person = await new_person(database)
    made = (await door.invite(tenant, owner, person.email, "owner")).json()["data"]
    path = f"{tenant.path}/invitations/{made['id']}"
    by_admin = await door.client.delete(path, headers=admin.headers)
    by_owner = await door.client.delete(path, headers=owner.headers)
    again = await door.client.delete(path, headers=owner.headers)
    accepted = await door.accept(person, await door.token())
    assert [each.status_code for each in (by_admin, by_owner, again, accepted)] == [403, 204, 404, 404]


async def test_open_invitations_are_limited(database: Database, door: Door):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    await execute(
        database,
        "INSERT INTO invitations (id, workspace_id, email, role, token_hash, expires_at)"
        " SELECT gen_random_uuid(), :id, n || '@example.com', 'viewer', uuid_send(gen_random_uuid()),"
        " now() + interval '1 day' FROM generate_series(1, :n) AS n",
        id=tenant.workspace_id,
        n=MAX_OPEN_INVITATIONS,
    )
    refused = await door.invite(tenant, owner, "one-more@example.com")
    renewed = await door.invite(tenant, owner, "1@example.com")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "too_many_invitations")
    assert renewed.status_code == 201


async def test_nobody_is_mailed_without_end(database: Database, door: Door):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    statuses = [(await door.invite(tenant, owner, "often@example.com")).status_code for _ in range(6)]
    assert statuses == [201] * MAX_MAILS_A_DAY_TO_ONE + [409]
    assert len(await door.mails()) == MAX_MAILS_A_DAY_TO_ONE
    move = "UPDATE invitations SET created_at = created_at - interval '1 day' WHERE workspace_id = :id"
    await execute(database, move, id=tenant.workspace_id)
    assert (await door.invite(tenant, owner, "often@example.com")).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"email": "no address"},
        {"email": "a@b"},
        {"email": "a\r\nBcc: c@example.com"},
        {"email": "a\u0000@example.com"},
        {"email": "x" * 300 + "@example.com"},
        {"email": "a@example.com", "role": "god"},
        {},
    ],
)
async def test_a_bad_invitation_is_refused_and_nothing_is_mailed(
    database: Database, door: Door, body: dict[str, object]
):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    answer = await door.client.post(f"{tenant.path}/invitations", json=body, headers=owner.headers)
    assert answer.status_code == 422
    assert await door.mails() == []


async def test_invitations_are_listed_page_by_page(database: Database, door: Door):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    for n in range(3):
        await door.invite(tenant, owner, f"page-{n}@example.com")
    first = await door.client.get(f"{tenant.path}/invitations?limit=2", headers=owner.headers)
    cursor = first.json()["meta"]["next_cursor"]
    second = await door.client.get(f"{tenant.path}/invitations?limit=2&cursor={cursor}", headers=owner.headers)
    found = [each["email"] for each in [*first.json()["data"], *second.json()["data"]]]
    assert found == ["page-2@example.com", "page-1@example.com", "page-0@example.com"]


async def test_who_has_not_verified_their_own_address_invites_nobody(door: Door, database: Database):
    tenant = await new_tenant(database)
    person = await new_person(database, verified=False)
    await join(database, person, tenant.workspace_id, "owner")
    answer = await door.invite(tenant, person, "accomplice@example.com")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "email_not_verified")
    assert await door.mails() == []
