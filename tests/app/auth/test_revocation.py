"""Who has lost a key, a membership or a sign-in is refused by every operation, at once, whatever was cached."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.main import create_app
from tests.api import Tenant, client_of, new_tenant, owner_sessions, settings_for
from tests.openapi import api_document
from tests.people import new_member
from tests.servers import Database, PostgresServer

WORKSPACE = "/api/v1/workspaces/{workspace_id}"


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each works in a workspace of its own."""
    with postgres_server.migrated_database() as database:
        yield database


@dataclass(frozen=True, slots=True)
class Running:
    client: httpx.AsyncClient

    async def statuses(self, tenant: Tenant, headers: dict[str, str]) -> dict[str, int]:
        """What each operation of a workspace answers, by method and path."""
        found: dict[str, int] = {}
        for path, methods in api_document()["paths"].items():
            if not path.startswith(WORKSPACE):
                continue
            for method in methods.keys() & {"get", "post", "put", "patch", "delete"}:
                url = _filled(path, tenant)
                answer = await self.client.request(method, url, headers=headers)
                found[f"{method} {path}"] = answer.status_code
        return found

    async def reads(self, tenant: Tenant, headers: dict[str, str]) -> int:
        answer = await self.client.get(f"{tenant.path}/enrichment/jobs", headers=headers)
        return answer.status_code


def _filled(path: str, tenant: Tenant) -> str:
    url = path.replace("{workspace_id}", str(tenant.workspace_id))
    while "{" in url:
        head, _, rest = url.partition("{")
        url = head + str(uuid4()) + rest.partition("}")[2]
    return url


@asynccontextmanager
async def running(database: Database) -> AsyncIterator[Running]:
    limits = {"auth": 0, "api": 0, "upload": 0}
    app = create_app(settings_for(database, rate_limits=limits))
    async with client_of(app) as client:
        yield Running(client)


async def change(database: Database, statement: str, **values: Any) -> float:
    """Change what the API may have cached, behind its back; when that was done."""
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        assert (await session.execute(text(statement), values)).rowcount == 1
    return time.monotonic()


@pytest.mark.parametrize(
    "assignment",
    ["revoked_at = now()", "expires_at = now() - interval '1 second'"],
    ids=["revoked", "expired"],
)
async def test_a_key_that_has_ended_is_refused_by_every_operation_within_a_second(database: Database, assignment: str):
    tenant = await new_tenant(database)
    async with running(database) as api:
        assert await api.reads(tenant, tenant.headers) == 200
        ended = await change(database, f"UPDATE api_keys SET {assignment} WHERE id = :id", id=tenant.api_key_id)
        assert await api.reads(tenant, tenant.headers) == 401
        assert time.monotonic() - ended < 1
        assert set((await api.statuses(tenant, tenant.headers)).values()) == {401}


async def test_a_key_dies_with_the_membership_of_its_maker(database: Database):
    tenant = await new_tenant(database)
    maker = await new_member(database, tenant.workspace_id, "admin")
    await change(database, "UPDATE api_keys SET created_by = :u WHERE id = :k", u=maker.user_id, k=tenant.api_key_id)
    async with running(database) as api:
        assert await api.reads(tenant, tenant.headers) == 200
        ended = await change(database, "DELETE FROM memberships WHERE user_id = :id", id=maker.user_id)
        assert await api.reads(tenant, tenant.headers) == 401
        assert time.monotonic() - ended < 1
        assert set((await api.statuses(tenant, tenant.headers)).values()) == {401}


async def test_who_is_no_member_any_more_finds_no_workspace_within_a_second(database: Database):
    tenant = await new_tenant(database)
    member = await new_member(database, tenant.workspace_id, "owner")
    async with running(database) as api:
        assert await api.reads(tenant, member.headers) == 200
        ended = await change(database, "DELETE FROM memberships WHERE user_id = :id", id=member.user_id)
        assert await api.reads(tenant, member.headers) == 404
        assert time.monotonic() - ended < 1
        assert set((await api.statuses(tenant, member.headers)).values()) == {404}


async def test_a_sign_in_that_was_ended_is_refused_by_every_operation_within_a_second(database: Database):
    tenant = await new_tenant(database)
    member = await new_member(database, tenant.workspace_id, "owner")
    async with running(database) as api:
        assert await api.reads(tenant, member.headers) == 200
        ended = await change(
            database, "UPDATE user_sessions SET revoked_at = now() WHERE id = :id", id=member.session_id
        )
        assert await api.reads(tenant, member.headers) == 401
        assert time.monotonic() - ended < 1
        assert set((await api.statuses(tenant, member.headers)).values()) == {401}


async def test_a_role_that_was_taken_away_forbids_within_a_second(database: Database):
    tenant = await new_tenant(database)
    member = await new_member(database, tenant.workspace_id, "admin")
    async with running(database) as api:
        path = f"{tenant.path}/audit-log"
        assert (await api.client.get(path, headers=member.headers)).status_code == 200
        ended = await change(database, "UPDATE memberships SET role = 'viewer' WHERE user_id = :id", id=member.user_id)
        assert (await api.client.get(path, headers=member.headers)).status_code == 403
        assert time.monotonic() - ended < 1
