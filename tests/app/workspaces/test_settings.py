"""The settings of a workspace: what follows from them, and that a change counts at once although they are cached."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.main import create_app
from tests.api import Tenant, client_of, new_tenant, owner_sessions, settings_for
from tests.people import SignedIn, new_member
from tests.servers import Database, PostgresServer


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
def app(database: Database) -> FastAPI:
    # The keys of nobody: a provider that needs one is offered with it.
    keys = {"hunter": {"api_key": "a-key"}, "apollo": {"api_key": "a-key"}}
    return create_app(settings_for(database, providers=keys))


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def set_to(client: httpx.AsyncClient, tenant: Tenant, owner: SignedIn, **settings: object) -> None:
    answer = await client.patch(tenant.path, json={"settings": settings}, headers=owner.headers)
    assert answer.status_code == 200


async def providers_of_a_job(client: httpx.AsyncClient, tenant: Tenant, **options: object) -> list[str]:
    body = {"entity": "company", "records": [{"domain": "example.com"}], **options}
    answer = await client.post(f"{tenant.path}/enrichment/jobs", json=body, headers=tenant.headers)
    assert answer.status_code == 202, answer.text
    return [each["name"] for each in answer.json()["data"]["providers"]]


def reads(app: FastAPI) -> dict[str, float]:
    found = {
        result: app.state.registry.get_sample_value(
            "holdfast_cache_reads_total", {"name": "workspace_settings", "result": result}
        )
        for result in ("hit", "miss")
    }
    return {result: value or 0 for result, value in found.items()}


async def test_a_job_that_names_no_providers_asks_those_of_the_workspace(database: Database, client: httpx.AsyncClient):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    everyone = await providers_of_a_job(client, tenant)
    await set_to(client, tenant, owner, default_providers=["hunter", "website"])
    chosen = await providers_of_a_job(client, tenant)
    named = await providers_of_a_job(client, tenant, providers=["apollo"])
    await set_to(client, tenant, owner, default_providers=None)
    again = await providers_of_a_job(client, tenant)
    assert chosen == ["hunter", "website"]
    assert named == ["apollo"]
    assert everyone == again
    assert set(everyone) > set(chosen)


async def test_a_chosen_provider_that_cannot_help_is_left_out(database: Database, client: httpx.AsyncClient):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    await set_to(client, tenant, owner, default_providers=["website", "hunter"])
    # Only hunter knows people.
    body = {"entity": "person", "records": [{"email": "ada@example.com"}]}
    answer = await client.post(f"{tenant.path}/enrichment/jobs", json=body, headers=tenant.headers)
    assert [each["name"] for each in answer.json()["data"]["providers"]] == ["hunter"]
    await set_to(client, tenant, owner, default_providers=["website"])
    refused = await client.post(f"{tenant.path}/enrichment/jobs", json=body, headers=tenant.headers)
    assert refused.status_code == 422


async def test_settings_are_read_once_until_they_change(database: Database, app: FastAPI, client: httpx.AsyncClient):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    before = reads(app)
    await providers_of_a_job(client, tenant)
    await providers_of_a_job(client, tenant)
    assert reads(app) == {"hit": before["hit"] + 1, "miss": before["miss"] + 1}
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        # Behind the cache's back, which shows that it is there.
        await session.execute(
            text('UPDATE workspaces SET settings = \'{"default_providers": ["hunter"]}\' WHERE id = :id'),
            {"id": tenant.workspace_id},
        )
    assert await providers_of_a_job(client, tenant) != ["hunter"]
    await set_to(client, tenant, owner, default_providers=["apollo"])
    assert await providers_of_a_job(client, tenant) == ["apollo"]


async def test_the_settings_of_one_workspace_are_not_those_of_another(database: Database, client: httpx.AsyncClient):
    ours, theirs = await new_tenant(database), await new_tenant(database)
    owner = await new_member(database, ours.workspace_id, "owner")
    await providers_of_a_job(client, theirs)
    await set_to(client, ours, owner, default_providers=["hunter"])
    assert await providers_of_a_job(client, ours) == ["hunter"]
    assert await providers_of_a_job(client, theirs) != ["hunter"]
