"""What the platform's staff sees and does over HTTP, and that nobody else can."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.db import Sessions, create_engine, new_id
from app.settings import DatabaseSettings
from tests.api import Tenant, new_tenant, owner_sessions, running_api
from tests.people import SignedIn, join, new_member, new_person
from tests.servers import Database

GRANT = {"amount": 500, "reason": "Goodwill"}


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(database) as client:
        yield client


@pytest.fixture
async def staff(database: Database) -> SignedIn:
    return await new_person(database, email="staff@example.com", name="Sam", superadmin=True)


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    return await new_tenant(database, credit=1000)


def grants_of(workspace_id: UUID) -> str:
    return f"/api/v1/admin/workspaces/{workspace_id}/credits/grants"


async def credits_of(client: httpx.AsyncClient, tenant: Tenant) -> dict[str, int]:
    data: dict[str, int] = (await client.get(f"{tenant.path}/credits", headers=tenant.headers)).json()["data"]
    return data


async def everything(client: httpx.AsyncClient, staff: SignedIn, path: str) -> list[dict[str, Any]]:
    """All pages of a list, two at a time."""
    found, cursor = [], None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        answer = await client.get(f"/api/v1/admin/{path}", params=query, headers=staff.headers)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["data"]) <= 2
        found += answer.json()["data"]
        cursor = answer.json()["meta"]["next_cursor"]
        if cursor is None:
            return found


async def test_a_grant_is_an_entry_of_the_ledger_and_of_the_audit_log(
    client: httpx.AsyncClient, staff: SignedIn, tenant: Tenant
) -> None:
    body = GRANT | {"expires_at": "2099-01-01T00:00:00+02:00"}
    answer = await client.post(grants_of(tenant.workspace_id), json=body, headers=staff.headers)

    assert answer.status_code == 201, answer.text
    entry = answer.json()["data"]
    assert (entry["kind"], entry["amount"], entry["balance_after"], entry["reason"]) == ("grant", 500, 1500, "Goodwill")
    entries = await client.get(f"{tenant.path}/credits/entries?limit=1", headers=tenant.headers)
    assert entries.json()["data"] == [entry]
    assert (await credits_of(client, tenant))["balance"] == 1500

    log = (await client.get(f"{tenant.path}/audit-log?limit=1", headers=tenant.headers)).json()["data"]
    assert log[0]["actor"] == {"type": "superadmin", "id": str(staff.user_id)}
    assert (log[0]["action"], log[0]["target"]) == ("credits.grant", entry["reference"])
    assert log[0]["after"] == body


async def test_the_same_request_with_the_same_key_grants_once(
    client: httpx.AsyncClient, staff: SignedIn, tenant: Tenant
) -> None:
    headers = staff.headers | {"Idempotency-Key": "may-2026"}
    first, second = [await client.post(grants_of(tenant.workspace_id), json=GRANT, headers=headers) for _ in range(2)]
    other = await client.post(grants_of(tenant.workspace_id), json=GRANT | {"amount": 1}, headers=headers)

    assert second.json()["data"] == first.json()["data"]
    assert (first.headers.get("Idempotent-Replayed"), second.headers["Idempotent-Replayed"]) == (None, "true")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert (await credits_of(client, tenant))["balance"] == 1500


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": 10**12 + 1}, "amount"),
        ({"amount": 10**30}, "amount"),
        ({"amount": "5"}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": True}, "amount"),
        ({"reason": " "}, "reason"),
        ({"reason": "two\nlines"}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-10:00"}, "expires_at"),
        ({"workspace": "x"}, "workspace"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_grant_that_makes_no_sense_is_refused_with_its_place(
    client: httpx.AsyncClient, staff: SignedIn, tenant: Tenant, wrong: dict[str, Any], field: str
) -> None:
    answer = await client.post(grants_of(tenant.workspace_id), json=GRANT | wrong, headers=staff.headers)
    assert answer.status_code == 422, answer.text
    assert [detail["field"] for detail in answer.json()["error"]["details"]] == [field]
    assert (await credits_of(client, tenant))["balance"] == 1000


async def test_a_workspace_that_is_not_there_gets_nothing(
    database: Database, client: httpx.AsyncClient, staff: SignedIn, tenant: Tenant
) -> None:
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        await session.execute(text("UPDATE workspaces SET deleted_at = now()"))
    for workspace_id in (tenant.workspace_id, new_id(), "mine"):
        answer = await client.post(grants_of(workspace_id), json=GRANT, headers=staff.headers)
        assert answer.status_code == 404


async def test_every_workspace_is_listed_once_newest_first(
    database: Database, client: httpx.AsyncClient, staff: SignedIn
) -> None:
    tenants = [await new_tenant(database, credit=number, name=f"Tenant {number}") for number in range(5)]
    for role in ("owner", "viewer"):
        await new_member(database, tenants[0].workspace_id, role)
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        await session.execute(text("UPDATE workspaces SET deleted_at = now() WHERE name = 'Tenant 1'"))

    found = await everything(client, staff, "workspaces")

    assert [each["name"] for each in found] == [f"Tenant {number}" for number in (4, 3, 2, 1, 0)]
    assert [each["deleted_at"] is not None for each in found] == [False, False, False, True, False]
    assert [each["members"] for each in found] == [0, 0, 0, 0, 2]
    assert found[0]["credits"] == {"balance": 4, "held": 0, "available": 4}


async def test_every_user_is_listed_once_newest_first_without_secrets(
    database: Database, client: httpx.AsyncClient, staff: SignedIn, tenant: Tenant
) -> None:
    people = [await new_person(database, name=f"Person {number}", verified=number > 0) for number in range(4)]
    await join(database, people[0], tenant.workspace_id, "member")

    found = await everything(client, staff, "users")

    assert [each["name"] for each in found] == ["Person 3", "Person 2", "Person 1", "Person 0", "Sam"]
    assert found[3].keys() == {
        "id",
        "email",
        "name",
        "email_verified",
        "is_superadmin",
        "workspaces",
        "created_at",
    }
    assert (found[3]["email_verified"], found[3]["workspaces"], found[3]["is_superadmin"]) == (False, 1, False)
    assert (found[4]["email"], found[4]["is_superadmin"]) == ("staff@example.com", True)


@pytest.mark.parametrize("path", ["workspaces", "users"])
async def test_a_forged_cursor_is_refused(client: httpx.AsyncClient, staff: SignedIn, path: str) -> None:
    answer = await client.get(f"/api/v1/admin/{path}?cursor=bm9uc2Vuc2U", headers=staff.headers)
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "cursor")


async def test_nobody_else_sees_or_grants_anything(
    database: Database, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    owner = await new_member(database, tenant.workspace_id, "owner")
    for headers, status in (({}, 401), (tenant.headers, 403), (owner.headers, 403)):
        for path in ("workspaces", "users"):
            assert (await client.get(f"/api/v1/admin/{path}", headers=headers)).status_code == status
        answer = await client.post(grants_of(tenant.workspace_id), json=GRANT, headers=headers)
        assert answer.status_code == status
    assert (await credits_of(client, tenant))["balance"] == 1000


async def test_the_lists_are_empty_for_who_is_no_superadmin_whatever_the_api_believes(
    database: Database, staff: SignedIn, tenant: Tenant
) -> None:
    owner = await new_member(database, tenant.workspace_id, "owner")
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(pool_size=1), application="test")
    for function in ("all_workspaces", "all_users"):
        query = text(f"SELECT count(*) FROM {function}(:person, NULL, 10)")
        async with Sessions(engine).unscoped() as session:
            counts = [
                (await session.execute(query, {"person": person})).scalar_one()
                for person in (staff.user_id, owner.user_id, new_id(), None)
            ]
        assert (counts[0] > 0, counts[1:]) == (True, [0, 0, 0])
    await engine.dispose()
