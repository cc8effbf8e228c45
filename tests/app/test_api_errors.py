"""Every answer that is an error is in the envelope, says what it may and not more."""

import uuid
from collections.abc import Iterator

import httpx
import pytest
from fastapi import APIRouter

from app.errors import Unavailable
from app.main import create_app
from tests.api import Tenant, client_of, new_tenant, running_api, settings_for
from tests.servers import Database, PostgresServer


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


def assert_error(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"success", "data", "error", "meta"}
    assert body["success"] is False
    assert body["data"] is None
    assert body["error"].keys() == {"code", "message", "details"}
    assert body["error"]["code"] == code
    assert body["error"]["message"]
    assert body["meta"]["request_id"] == answer.headers["X-Request-Id"]
    assert body["meta"]["timestamp"].endswith("Z")
    return body["error"]


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/v1/nothing", "/api/v1/providers/"])
async def test_an_unknown_path_is_not_found(database: Database, path: str):
    async with running_api(database) as client:
        assert_error(await client.get(path), 404, "not_found")


async def test_a_method_that_a_path_lacks_is_refused_with_those_that_it_has(database: Database):
    async with running_api(database) as client:
        answer = await client.delete("/api/v1/providers")
    assert_error(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer hf_live_" + "a" * 43},
        {"Authorization": "Basic aGY6bGl2ZQ=="},
        {"Authorization": "hf_live_" + "a" * 43},
        {"X-Api-Key": "hf_live_" + "a" * 43},
    ],
    ids=["none", "empty", "blank", "garbled", "unknown", "basic", "no scheme", "another header"],
)
async def test_a_request_without_a_good_key_is_unauthenticated(database: Database, headers: dict[str, str]):
    async with running_api(database) as client:
        for path in ("/api/v1/providers", f"/api/v1/workspaces/{uuid.uuid4()}/credits"):
            answer = await client.get(path, headers=headers)
            assert_error(answer, 401, "unauthenticated")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("other", ["88546885-0c93-4ff5-83cb-4668e10a710d", "not-a-uuid", "%00", "1"])
async def test_another_workspace_is_not_found(database: Database, other: str):
    tenant = await new_tenant(database)
    async with running_api(database) as client:
        answer = await client.get(f"/api/v1/workspaces/{other}/credits", headers=tenant.headers)
    assert_error(answer, 404, "not_found")


async def test_a_workspace_that_exists_but_is_not_the_keys_is_not_found(database: Database):
    ours, theirs = await new_tenant(database), await new_tenant(database)
    async with running_api(database) as client:
        assert_error(await client.get(f"{theirs.path}/credits", headers=ours.headers), 404, "not_found")


async def test_a_key_without_the_scope_is_forbidden(database: Database):
    tenant = await new_tenant(database, scopes=("enrichment:read",))
    async with running_api(database) as client:
        error = assert_error(await client.get(f"{tenant.path}/credits", headers=tenant.headers), 403, "forbidden")
        assert_error(await client.get("/api/v1/providers", headers=tenant.headers), 403, "forbidden")
    assert "credits:read" in str(error["message"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=eyJiZWZvcmVfc2VxIjoiMSJ9", "cursor"),  # {"before_seq":"1"}
        ("cursor=eyJiZWZvcmVfc2VxIjo5MjIzMzcyMDM2ODU0Nzc1ODA4fQ", "cursor"),  # 2**63: no bigint
        ("cursor=eyJhZnRlciI6MX0", "cursor"),  # {"after":1}: another list's
    ],
)
async def test_a_bad_query_names_the_parameter(database: Database, query: str, field: str):
    tenant = await new_tenant(database)
    async with running_api(database) as client:
        answer = await client.get(f"{tenant.path}/credits/entries?{query}", headers=tenant.headers)
    error = assert_error(answer, 422, "invalid_request")
    assert [each["field"] for each in error["details"]] == [field]  # type: ignore[attr-defined]


async def test_a_bad_query_of_a_stranger_is_unauthenticated(database: Database):
    tenant = await new_tenant(database)
    async with running_api(database) as client:
        assert_error(await client.get(f"{tenant.path}/credits/entries?limit=0"), 401, "unauthenticated")


@pytest.fixture
def failing() -> APIRouter:
    router = APIRouter()

    @router.get("/crash")
    async def crash() -> None:
        raise ZeroDivisionError("the colour of the vault is blue")

    @router.get("/unavailable")
    async def unavailable() -> None:
        raise Unavailable("The vault is closed.", retry_after=1.2)

    return router


async def test_a_crash_says_nothing_and_its_log_line_says_all(
    database: Database, failing: APIRouter, capsys: pytest.CaptureFixture[str]
):
    app = create_app(settings_for(database))
    app.include_router(failing)
    async with client_of(app) as client:
        answer = await client.get("/crash", headers={"X-Request-Id": "request-of-this-test"})
    error = assert_error(answer, 500, "internal_error")
    assert "vault" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert error["details"] == []
    lines = [line for line in capsys.readouterr().out.splitlines() if "request-of-this-test" in line]
    assert any("the colour of the vault is blue" in line and "Traceback" in line for line in lines)


async def test_unavailable_says_when_to_try_again_in_whole_seconds(database: Database, failing: APIRouter):
    app = create_app(settings_for(database))
    app.include_router(failing)
    async with client_of(app) as client:
        answer = await client.get("/unavailable")
    assert_error(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "2"


async def test_a_database_that_is_away_is_unavailable(database: Database):
    tenant = Tenant(uuid.uuid4(), uuid.uuid4(), "hf_live_" + "a" * 43)
    async with running_api(database, database_url="postgresql://holdfast_app@127.0.0.1:1/none") as client:
        answer = await client.get(f"{tenant.path}/credits", headers=tenant.headers)
    assert_error(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("01a1fd81-8aa0-7614-8207-767dfd1bbdfc", True),
        ("client:42.a_b", True),
        ("", False),
        ("with space", False),
        ("x" * 129, False),
        ('{"event":"forged"}', False),
    ],
)
async def test_a_sane_request_id_is_kept_and_any_other_replaced(database: Database, given: str, kept: bool):
    async with running_api(database) as client:
        answer = await client.get("/nothing", headers={"X-Request-Id": given})
    assert (answer.headers["X-Request-Id"] == given) is kept
    assert_error(answer, 404, "not_found")


async def test_a_request_without_an_id_gets_a_uuid_of_version_7(database: Database):
    async with running_api(database) as client:
        answer = await client.get("/api/v1/openapi.json")
    assert uuid.UUID(answer.headers["X-Request-Id"]).version == 7
