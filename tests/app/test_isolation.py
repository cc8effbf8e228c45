"""Nobody reaches what belongs to another workspace, whichever of its ids they know."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from app.auth.dependencies import SUPERADMIN
from app.main import create_app
from app.settings import TemporalSettings
from app.temporal import connect
from tests.api import Tenant, client_of, new_tenant, settings_for
from tests.contents import everything_of, fill
from tests.openapi import Operation, api_document, operations
from tests.people import new_member
from tests.servers import Database, PostgresServer
from workflows import ids as ids_of
from workflows.attributes import PROCESS, WORKSPACE_ID

# Not ids of rows: the same name means another row in each workspace.
NAMES = {"provider"}


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
def app(database: Database, temporal_server: str) -> FastAPI:
    selling = {"stripe": {"api_key": "sk_test_holdfast"}}
    return create_app(settings_for(database, temporal={"address": temporal_server}, providers=selling))


async def fill_all(database: Database, temporal_server: str, workspace_id: UUID) -> dict[str, object]:
    """`fill`, and the run of its job, which nobody works on."""
    found = await fill(database, workspace_id)
    workflow_id = ids_of.enrichment_job(str(found["job_id"]))
    client = await connect(TemporalSettings(address=temporal_server), lazy=False)
    await client.start_workflow(
        "EnrichRecords",
        id=workflow_id,
        task_queue="nobody",
        search_attributes=TypedSearchAttributes(
            [SearchAttributePair(WORKSPACE_ID, str(workspace_id)), SearchAttributePair(PROCESS, "enrichment")]
        ),
    )
    return found | {"workflow_id": workflow_id}


async def call(
    client: httpx.AsyncClient, operation: Operation, values: dict[str, object], headers: dict[str, str]
) -> httpx.Response:
    return await client.request(operation.method, operation.url(values), json=operation.body, headers=headers)


async def strangers(database: Database, tenant: Tenant) -> list[dict[str, str]]:
    """Whoever may do most elsewhere: the owner of another workspace, and its key."""
    return [(await new_member(database, tenant.workspace_id, "owner")).headers, tenant.headers]


async def test_no_operation_on_another_workspace_finds_anything(app: FastAPI, database: Database, temporal_server: str):
    ours, theirs = await new_tenant(database), await new_tenant(database)
    ids = await fill_all(database, temporal_server, ours.workspace_id)
    before = await everything_of(database, ours.workspace_id)
    assert all(before[table] for table in ("enrichment_jobs", "credit_entries", "invitations", "provider_credentials"))
    wrong: list[Any] = []
    async with client_of(app) as client:
        for operation in operations(api_document()):
            if "workspace_id" not in operation.parameters:
                continue
            for headers in await strangers(database, theirs):
                answer = await call(client, operation, ids, headers)
                if answer.status_code != (403 if operation.permission == SUPERADMIN else 404):
                    wrong.append((operation.id, answer.status_code, answer.text))
    assert wrong == []
    assert await everything_of(database, ours.workspace_id) == before


async def test_no_operation_of_a_workspace_finds_what_belongs_to_another(
    app: FastAPI, database: Database, temporal_server: str
):
    ours, theirs = await new_tenant(database), await new_tenant(database)
    ids = await fill_all(database, temporal_server, ours.workspace_id)
    before = await everything_of(database, ours.workspace_id)
    wrong: list[Any] = []
    async with client_of(app) as client:
        for operation in operations(api_document()):
            if not operation.in_workspace or not operation.parameters - {"workspace_id"} - NAMES:
                continue
            for headers in await strangers(database, theirs):
                answer = await call(client, operation, ids | {"workspace_id": theirs.workspace_id}, headers)
                # A key may not do everything, whatever it is done to.
                if answer.status_code != 404 and not (headers == theirs.headers and answer.status_code == 403):
                    wrong.append((operation.id, answer.status_code, answer.text))
    assert wrong == []
    assert await everything_of(database, ours.workspace_id) == before


async def test_the_same_operations_find_all_of_it_from_inside(app: FastAPI, database: Database, temporal_server: str):
    """What the two tests above ask for is there: their 404s are not for want of a row."""
    ours = await new_tenant(database)
    ids = await fill_all(database, temporal_server, ours.workspace_id)
    owner = await new_member(database, ours.workspace_id, "owner")
    wrong: list[Any] = []
    async with client_of(app) as client:
        for operation in operations(api_document()):
            if operation.in_workspace and operation.method == "GET" and "events" not in operation.path:
                answer = await call(client, operation, ids, owner.headers)
                if answer.status_code != 200:
                    wrong.append((operation.id, answer.status_code, answer.text))
    assert wrong == []
