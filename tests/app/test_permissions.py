"""Every operation names the permission that it needs, and is refused to whoever lacks it: nobody else."""

from collections.abc import Iterator
from typing import Any, get_args
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.dependencies import SIGNED_IN, SUPERADMIN
from app.auth.permissions import ROLES, Permission, Role
from app.db import new_id
from app.main import create_app
from tests.api import client_of, new_tenant, settings_for
from tests.openapi import OPEN, PROBES, SIGNED, Operation, api_document, operations
from tests.people import new_member, new_person
from tests.servers import Database, PostgresServer

# The least role that may do it, and whether an API key ever may: written down here once more, on purpose.
RULES: dict[Permission, tuple[Role, bool]] = {
    "workspace:read": ("viewer", True),
    "members:read": ("viewer", True),
    "credits:read": ("viewer", True),
    "providers:read": ("viewer", True),
    "enrichment:read": ("viewer", True),
    "enrichment:write": ("member", True),
    "runs:read": ("viewer", True),
    "dead_letters:read": ("viewer", True),
    "dead_letters:write": ("member", True),
    "workspace:write": ("admin", False),
    "members:write": ("admin", False),
    "invitations:read": ("admin", False),
    "invitations:write": ("admin", False),
    "api_keys:read": ("admin", False),
    "api_keys:write": ("admin", False),
    "credentials:read": ("admin", False),
    "credentials:write": ("admin", False),
    "audit_log:read": ("admin", True),
    "erasures:read": ("admin", True),
    "erasures:write": ("admin", True),
    "webhooks:read": ("admin", True),
    "webhooks:write": ("admin", True),
    "billing:read": ("admin", True),
    "billing:write": ("owner", True),
    "workspace:delete": ("owner", False),
}

# Nothing has these ids: who is let in gets a 404, or a 422 for want of a body, and changes nothing.
NOBODY: dict[str, object] = {"provider": "hunter", "name": "hunter"}


class Ids(dict[str, object]):
    """An id of nothing for each parameter that is not given."""

    def __missing__(self, name: str) -> object:
        return NOBODY.get(name, new_id())


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
def app(database: Database) -> FastAPI:
    return create_app(settings_for(database))


def in_order() -> list[Operation]:
    """What ends a workspace or a sign-in comes last."""
    return sorted(operations(api_document()), key=lambda each: (each.method == "DELETE", -len(each.parameters)))


async def status(client: httpx.AsyncClient, operation: Operation, headers: dict[str, str], workspace_id: UUID) -> int:
    url = operation.url(Ids(workspace_id=workspace_id))
    answer = await client.request(operation.method, url, headers=headers)
    assert str(answer.status_code) in operation.statuses, (operation.id, answer.status_code, answer.text)
    return answer.status_code


# They show addresses of pages on which plans are bought and cancelled by whoever has the address.
USED_WHERE_SEEN = {"get_checkout_session", "get_portal_session"}


def test_every_permission_has_a_rule():
    assert RULES.keys() == set(get_args(Permission))


def test_every_operation_names_a_permission_or_is_known_to_be_open():
    for operation in operations(api_document()):
        if operation.permission is None:
            assert operation.id in PROBES | OPEN | SIGNED, operation.id
            assert operation.path.startswith("/api/v1/auth/") == (operation.id in OPEN)
        elif operation.permission in (SIGNED_IN, SUPERADMIN):
            assert not operation.in_workspace, operation.id
            assert operation.path.startswith("/api/v1/admin/") == (operation.permission == SUPERADMIN), operation.id
        else:
            assert operation.permission in RULES, operation.id
            reads = operation.permission.endswith(":read")
            assert reads == (operation.method == "GET" and operation.id not in USED_WHERE_SEEN), operation.id


def test_what_is_open_is_there():
    assert {each.id for each in operations(api_document()) if each.permission is None} == PROBES | OPEN | SIGNED


async def test_a_stranger_is_refused_everywhere_else(app: FastAPI, database: Database):
    tenant = await new_tenant(database)
    async with client_of(app) as client:
        for operation in in_order():
            if operation.permission is not None:
                assert await status(client, operation, {}, tenant.workspace_id) == 401, operation.id


async def test_each_role_may_do_what_its_permissions_say_and_nothing_else(app: FastAPI, database: Database):
    tenant = await new_tenant(database)
    people = {role: await new_member(database, tenant.workspace_id, role) for role in ROLES}
    wrong: list[Any] = []
    async with client_of(app) as client:
        for operation in in_order():
            if not operation.in_workspace:
                continue
            least, _ = RULES[operation.permission]  # type: ignore[index]
            # From the least on: the owner's call may be the one that ends the workspace.
            for role, person in people.items():
                refused = await status(client, operation, person.headers, tenant.workspace_id) == 403
                if refused != (ROLES.index(role) < ROLES.index(least)):
                    wrong.append((operation.id, role))
    assert wrong == []


async def test_a_key_may_do_what_its_scope_says_and_nothing_else(app: FastAPI, database: Database):
    wrong: list[Any] = []
    async with client_of(app) as client:
        for permission, (_, ever) in RULES.items():
            # Also scopes that no key is ever given: a mistake in that table must not open anything.
            with_it = await new_tenant(database, scopes=[permission], credit=0)
            without = await new_tenant(database, scopes=RULES.keys() - {permission}, credit=0)
            for operation in in_order():
                if operation.permission == permission:
                    for key, allowed in ((with_it, ever), (without, False)):
                        refused = await status(client, operation, key.headers, key.workspace_id) == 403
                        if refused == allowed:
                            wrong.append((operation.id, allowed))
    assert wrong == []


async def test_what_a_person_does_for_themself_no_key_can(app: FastAPI, database: Database):
    tenant = await new_tenant(database)
    async with client_of(app) as client:
        for operation in in_order():
            if operation.permission != SIGNED_IN:
                continue
            person = await new_person(database)
            assert await status(client, operation, tenant.headers, tenant.workspace_id) == 403, operation.id
            assert await status(client, operation, person.headers, tenant.workspace_id) not in (401, 403), operation.id


async def test_what_is_for_the_platforms_staff_is_for_nobody_else(app: FastAPI, database: Database):
    tenant = await new_tenant(database)
    owner = await new_member(database, tenant.workspace_id, "owner")
    superadmin = await new_person(database, superadmin=True)
    async with client_of(app) as client:
        for operation in in_order():
            if operation.permission == SUPERADMIN:
                for headers in (tenant.headers, owner.headers):
                    assert await status(client, operation, headers, tenant.workspace_id) == 403, operation.id
                found = await status(client, operation, superadmin.headers, tenant.workspace_id)
                assert found not in (401, 403), operation.id
