"""Provider credentials over HTTP: stored and replaced, never read back."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.auth.permissions import Role
from app.credentials.opening import Opener
from app.credentials.sealing import Sealed
from app.db import Sessions
from app.main import create_app
from app.resources import ApiResources
from tests.api import Tenant, client_of, new_tenant, owner_sessions, running_api, settings_for
from tests.app.credentials.sealed import KEYS, store, stored
from tests.people import SignedIn, new_member
from tests.servers import Database

SECRET = "planted-secret-9a77-tail"
BODY = {"secret": {"api_key": SECRET}}


@dataclass(frozen=True)
class Credentials:
    """A workspace and an admin of it, at the API."""

    client: httpx.AsyncClient
    tenant: Tenant
    admin: SignedIn
    owner: Sessions
    database: Database

    async def send(self, method: str, path: str = "", *, sender: SignedIn | Tenant | None = None, **more: Any) -> Any:
        url = f"{self.tenant.path}/credentials{path}"
        return await self.client.request(method, url, headers=(sender or self.admin).headers, **more)

    async def audit_log(self) -> list[tuple[str, str, Any, Any]]:
        query = text("SELECT action, target_id, before, after FROM audit_entries ORDER BY id")
        async with self.owner.unscoped() as session:
            return [tuple(row) for row in await session.execute(query)]


@pytest.fixture
async def credentials(database: Database) -> AsyncIterator[Credentials]:
    tenant = await new_tenant(database)
    admin = await new_member(database, tenant.workspace_id, "admin")
    async with owner_sessions(database) as owner, running_api(database, credentials=KEYS) as client:
        yield Credentials(client, tenant, admin, owner, database)


async def test_a_stored_credential_is_shown_masked(credentials: Credentials):
    put = await credentials.send("PUT", "/hunter", json=BODY)
    assert put.status_code == 200, put.text
    shown = put.json()["data"]
    assert shown.pop("updated_at")
    assert shown == {
        "provider": "hunter",
        "hint": "tail",
        "status": "unverified",
        "status_reason": None,
        "checked_at": None,
    }
    one, listed = await credentials.send("GET", "/hunter"), await credentials.send("GET")
    assert one.json()["data"] == put.json()["data"]
    assert listed.json()["data"] == [put.json()["data"]]
    assert listed.json()["meta"]["next_cursor"] is None
    assert "planted-secret" not in put.text + one.text + listed.text


async def test_what_is_stored_is_sealed_for_this_workspace_and_provider(credentials: Credentials):
    await credentials.send("PUT", "/hunter", json=BODY)
    row = await stored(credentials.owner, credentials.tenant.workspace_id, "hunter")
    sealed = Sealed(row["key_id"], row["wrapped_key"], row["ciphertext"])
    opened = Opener.of(KEYS).open(credentials.tenant.workspace_id, "hunter", sealed)
    assert opened.get_secret_value() == SECRET


async def test_a_new_secret_replaces_the_one_before_and_its_verdict(credentials: Credentials):
    await credentials.send("PUT", "/hunter", json=BODY)
    async with credentials.owner.unscoped() as session:
        await session.execute(
            text("UPDATE provider_credentials SET status = 'rejected', status_reason = 'payment_required'")
        )
    again = await credentials.send("PUT", "/hunter", json={"secret": {"api_key": "another-secret-next"}})
    shown = again.json()["data"]
    assert (shown["hint"], shown["status"], shown["status_reason"]) == ("next", "unverified", None)
    row = await stored(credentials.owner, credentials.tenant.workspace_id, "hunter")
    assert row["generation"] == 2


async def test_a_deleted_credential_is_gone(credentials: Credentials):
    await credentials.send("PUT", "/hunter", json=BODY)
    assert (await credentials.send("DELETE", "/hunter")).status_code == 204
    assert (await credentials.send("GET", "/hunter")).status_code == 404
    assert (await credentials.send("DELETE", "/hunter")).status_code == 404
    assert (await credentials.send("POST", "/hunter/verify")).status_code == 404


async def test_every_change_is_on_record_without_the_secret(credentials: Credentials):
    await credentials.send("PUT", "/hunter", json=BODY)
    await credentials.send("POST", "/hunter/verify?wait_seconds=0")
    await credentials.send("DELETE", "/hunter")
    state = {"hint": "tail", "status": "unverified", "status_reason": None}
    log = await credentials.audit_log()
    assert log == [
        ("credential.put", "hunter", None, state),
        ("credential.verify", "hunter", None, None),
        ("credential.delete", "hunter", state, None),
    ]


async def test_pages_hold_each_credential_once(credentials: Credentials):
    for provider in ("hunter", "apollo"):
        await credentials.send("PUT", f"/{provider}", json=BODY)
    first = (await credentials.send("GET", "?limit=1")).json()
    second = (await credentials.send("GET", f"?limit=1&cursor={first['meta']['next_cursor']}")).json()
    assert [each["provider"] for each in first["data"] + second["data"]] == ["apollo", "hunter"]
    assert second["meta"]["next_cursor"] is None


@pytest.mark.parametrize(
    ("provider", "status", "code"), [("nobody", 404, "not_found"), ("website", 409, "credential_not_taken")]
)
async def test_a_provider_that_there_is_not_or_that_takes_none_is_refused(
    credentials: Credentials, provider: str, status: int, code: str
):
    answer = await credentials.send("PUT", f"/{provider}", json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "secret"),
        ({"secret": {}}, "secret.api_key"),
        ({"secret": SECRET}, "secret"),
        ({"secret": {"api_key": 5}}, "secret.api_key"),
        ({"secret": {"api_key": "short"}}, "secret.api_key"),
        ({"secret": {"api_key": "x" * 513}}, "secret.api_key"),
        ({"secret": {"api_key": SECRET + "\r\nX-Evil: 1"}}, "secret.api_key"),
        ({"secret": {"api_key": SECRET + "\x00"}}, "secret.api_key"),
        ({"secret": {"api_key": SECRET + " "}}, "secret.api_key"),
        ({"secret": {"api_key": SECRET + "é"}}, "secret.api_key"),
        ({"secret": {"api_key": SECRET, SECRET: 1}}, "secret"),
        ({"secret": {"api_key": SECRET}, SECRET: 1}, "body"),
    ],
    ids=range(12),
)
async def test_a_bad_secret_is_refused_by_place_and_never_quoted(credentials: Credentials, body: Any, field: str):
    answer = await credentials.send("PUT", "/hunter", json=body)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["error"]["details"]] == [field]
    assert "planted-secret" not in answer.text
    assert (await credentials.send("GET")).json()["data"] == []


async def test_broken_json_is_refused_and_never_quoted(credentials: Credentials):
    answer = await credentials.send("PUT", "/hunter", content=f'{{"secret": {{"api_key": "{SECRET}", }}')
    assert answer.status_code == 422
    assert "planted-secret" not in answer.text


@pytest.mark.parametrize("role", ["viewer", "member"])
async def test_lesser_roles_may_not_even_look(credentials: Credentials, role: Role):
    member = await new_member(credentials.database, credentials.tenant.workspace_id, role)
    for method, path in (("GET", ""), ("GET", "/hunter"), ("PUT", "/hunter"), ("DELETE", "/hunter")):
        assert (await credentials.send(method, path, sender=member)).status_code == 403


async def test_no_api_key_manages_credentials(credentials: Credentials):
    for method, path in (("GET", ""), ("PUT", "/hunter"), ("DELETE", "/hunter"), ("POST", "/hunter/verify")):
        assert (await credentials.send(method, path, sender=credentials.tenant)).status_code == 403


async def test_another_workspace_has_no_such_credential(credentials: Credentials):
    await credentials.send("PUT", "/hunter", json=BODY)
    stranger = await new_member(credentials.database, (await new_tenant(credentials.database)).workspace_id, "owner")
    for method, path in (("GET", ""), ("GET", "/hunter"), ("PUT", "/hunter"), ("POST", "/hunter/verify")):
        assert (await credentials.send(method, path, sender=stranger)).status_code == 404


async def test_without_encryption_keys_nothing_is_stored(database: Database):
    tenant = await new_tenant(database)
    admin = await new_member(database, tenant.workspace_id, "admin")
    async with running_api(database) as client:
        put = await client.put(f"{tenant.path}/credentials/hunter", json=BODY, headers=admin.headers)
        verify = await client.post(f"{tenant.path}/credentials/hunter/verify", headers=admin.headers)
        listed = await client.get(f"{tenant.path}/credentials", headers=admin.headers)
    for answer in (put, verify):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "credentials_not_configured")
    assert listed.json()["data"] == []


async def test_a_check_without_a_worker_is_202_and_is_joined_by_the_next(credentials: Credentials):
    await credentials.send("PUT", "/hunter", json=BODY)
    first = await credentials.send("POST", "/hunter/verify?wait_seconds=0")
    assert first.status_code == 202
    assert first.headers["Location"] == f"{credentials.tenant.path}/credentials/hunter"
    assert (await credentials.send("POST", "/hunter/verify?wait_seconds=0.1")).status_code == 202
    async with credentials.owner.unscoped() as session:
        commands = (await session.execute(text("SELECT body FROM outbox_commands"))).scalars().all()
    assert len(commands) == 1
    assert commands[0]["argument"].keys() == {"workspace_id", "provider", "verification_id"}


async def test_a_check_that_was_lost_is_started_again(credentials: Credentials):
    await credentials.send("PUT", "/hunter", json=BODY)
    await credentials.send("POST", "/hunter/verify?wait_seconds=0")
    async with credentials.owner.unscoped() as session:
        await session.execute(text("UPDATE provider_credentials SET verification_at = now() - interval '6 minutes'"))
    await credentials.send("POST", "/hunter/verify?wait_seconds=0")
    async with credentials.owner.unscoped() as session:
        assert (await session.execute(text("SELECT count(*) FROM outbox_commands"))).scalar_one() == 2


async def test_the_same_request_with_the_same_key_gets_the_first_answer(credentials: Credentials):
    await credentials.send("PUT", "/hunter", json=BODY)
    await credentials.send("PUT", "/apollo", json=BODY)
    headers = {**credentials.admin.headers, "Idempotency-Key": str(uuid4())}
    path = f"{credentials.tenant.path}/credentials/hunter/verify?wait_seconds=0"
    first = await credentials.client.post(path, headers=headers)
    again = await credentials.client.post(path, headers=headers)
    other = await credentials.client.post(path.replace("hunter", "apollo"), headers=headers)
    assert (again.status_code, again.json()["data"]) == (first.status_code, first.json()["data"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize("seconds", ["-1", "31", "nan", "x"])
async def test_the_wait_is_bounded(credentials: Credentials, seconds: str):
    await credentials.send("PUT", "/hunter", json=BODY)
    assert (await credentials.send("POST", f"/hunter/verify?wait_seconds={seconds}")).status_code == 422


async def test_to_a_key_the_catalogue_is_that_of_its_workspace(credentials: Credentials):
    async def offered(provider: str) -> tuple[bool, int]:
        answer = await credentials.client.get("/api/v1/providers", headers=credentials.tenant.headers)
        found = next(each for each in answer.json()["data"] if each["name"] == provider)
        return found["available"], found["credit_cost"]

    assert await offered("hunter") == (False, 2)
    async with credentials.owner.unscoped() as session:
        await store(session, credentials.tenant.workspace_id, "hunter", SECRET)
    assert await offered("hunter") == (True, 0)
    async with credentials.owner.unscoped() as session:
        await session.execute(text("UPDATE provider_credentials SET status = 'rejected'"))
    assert await offered("hunter") == (False, 0)
    assert await offered("apollo") == (False, 3)


async def test_the_api_process_holds_nothing_that_opens(database: Database):
    app = create_app(settings_for(database, credentials=KEYS))
    async with client_of(app):
        resources: ApiResources = app.state.resources
        held = [getattr(resources, name) for name in ApiResources.__slots__] + list(vars(app.state)["_state"].values())
    assert not any(isinstance(each, Opener) for each in held)
