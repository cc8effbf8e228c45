"""Bodies: nothing of one is read before the caller was let in, and never more than the limit."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.deps import BODY_ERRORS, JSON_LIMIT_BYTES, UPLOAD_LIMIT_BYTES, body_stream, json_body, json_request
from app.envelope import Envelope, envelope, errors
from app.idempotency.headers import IdempotencyKey
from app.local.ports import LOOPBACK
from app.main import create_app
from tests.api import Tenant, client_of, new_tenant, serving, settings_for
from tests.servers import Database, PostgresServer


class Row(BaseModel):
    domain: str = Field(max_length=20)


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_credits: int = Field(default=0, ge=0)


class Job(BaseModel):
    model_config = ConfigDict(extra="forbid")

    records: list[Row]
    options: Options = Options()


class Accepted(BaseModel):
    size: int


Writer = Annotated[Caller, caller("enrichment:write")]

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/things")


@router.post("", openapi_extra=json_request(Job), responses=errors(*BODY_ERRORS))
async def start(
    _: Writer, job: Annotated[Job, json_body(Job)], idempotency_key: IdempotencyKey = None
) -> Envelope[Accepted]:
    assert idempotency_key is None or idempotency_key
    return envelope(Accepted(size=len(job.records)))


@router.post("/upload")
async def upload(_: Writer, request: Request) -> Envelope[Accepted]:
    sizes = [len(chunk) async for chunk in body_stream(request, UPLOAD_LIMIT_BYTES)]
    return envelope(Accepted(size=sum(sizes)))


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
def app(database: Database) -> FastAPI:
    app = create_app(settings_for(database))
    app.include_router(router)
    return app


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    return await new_tenant(database)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


def details(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] == "invalid_request"
    return {each["field"]: each["message"] for each in answer.json()["error"]["details"]}


async def test_a_good_body_arrives(client: httpx.AsyncClient, tenant: Tenant):
    answer = await client.post(
        f"{tenant.path}/things", json={"records": [{"domain": "a.example"}]}, headers=tenant.headers
    )
    assert answer.json()["data"] == {"size": 1}


async def test_garbage_without_a_key_is_unauthenticated_and_with_one_invalid(client: httpx.AsyncClient, tenant: Tenant):
    garbage = {"content": b'{"records": [', "headers": {"Content-Type": "application/json"}}
    answer = await client.post(f"{tenant.path}/things", **garbage)  # type: ignore[arg-type]
    assert answer.status_code == 401
    garbage["headers"] |= tenant.headers  # type: ignore[operator]
    assert details(await client.post(f"{tenant.path}/things", **garbage)).keys() == {"body"}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"records": [{"domain": "a"}] * 3 + [{"domain": 7}]}, "records[3].domain"),
        ({"records": [{}]}, "records[0].domain"),
        ({"records": []} | {"options": {"max_credits": -1}}, "options.max_credits"),
        ({"records": []} | {"options": {"colour": 1}}, "options.colour"),
        ({}, "records"),
        ([], "body"),
        (None, "body"),
    ],
)
async def test_a_mistake_is_named_by_its_path(client: httpx.AsyncClient, tenant: Tenant, body: Any, field: str):
    answer = await client.post(f"{tenant.path}/things", json=body, headers=tenant.headers)
    assert details(answer).keys() == {field}


async def test_an_answer_never_repeats_a_secret_from_the_request(client: httpx.AsyncClient, tenant: Tenant):
    body = {"records": [{"domain": tenant.api_key}], tenant.api_key: {"password": tenant.api_key}}
    answer = await client.post(f"{tenant.path}/things", json=body, headers=tenant.headers)
    assert len(details(answer)) == 2
    assert tenant.api_key not in answer.text


async def test_no_more_than_a_hundred_mistakes_are_listed(client: httpx.AsyncClient, tenant: Tenant):
    answer = await client.post(f"{tenant.path}/things", json={"records": [{}] * 300}, headers=tenant.headers)
    assert len(details(answer)) == 100


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/csv"}, {"Content-Type": "application/json", "Content-Encoding": "gzip"}],
    ids=["another type", "compressed"],
)
async def test_a_form_of_body_that_is_not_taken_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, headers: dict[str, str]
):
    answer = await client.post(f"{tenant.path}/things", content=b"{}", headers=tenant.headers | headers)
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "\x7f"])
async def test_an_odd_idempotency_key_is_refused(client: httpx.AsyncClient, tenant: Tenant, key: str):
    headers = tenant.headers | {"Idempotency-Key": key}
    answer = await client.post(f"{tenant.path}/things", json={"records": []}, headers=headers)
    assert details(answer).keys() == {"Idempotency-Key"}


async def test_json_of_a_declared_length_above_the_limit_is_refused_unread(app: FastAPI, tenant: Tenant):
    messages = await answer_unread(app, tenant.path + "/things", tenant.headers, JSON_LIMIT_BYTES + 1)
    assert messages[0]["status"] == 413
    assert json.loads(messages[1]["body"])["error"]["code"] == "payload_too_large"


async def test_json_of_no_declared_length_is_refused_once_it_passes_the_limit(
    client: httpx.AsyncClient, tenant: Tenant
):
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 3 * JSON_LIMIT_BYTES:
            sent += 1_000_000
            yield b" " * 1_000_000

    headers = tenant.headers | {"Content-Type": "application/json"}
    answer = await client.post(f"{tenant.path}/things", content=endless(), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/things", "/things/upload"])
async def test_a_stranger_is_refused_before_size_and_before_a_byte_is_read(app: FastAPI, tenant: Tenant, path: str):
    messages = await answer_unread(app, tenant.path + path, {}, UPLOAD_LIMIT_BYTES + 1)
    assert messages[0]["status"] == 401
    assert json.loads(messages[1]["body"])["error"]["code"] == "unauthenticated"


async def answer_unread(app: FastAPI, path: str, headers: dict[str, str], length: int) -> list[dict[str, Any]]:
    """What `app` answers to a POST when whoever reads its body before that fails."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        assert sent, "the body was read"
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers |= {"content-length": str(length), "content-type": "application/json"}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    return sent


async def test_an_upload_of_a_stranger_is_refused_over_a_socket_before_it_is_sent(app: FastAPI, tenant: Tenant):
    async with serving(app) as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        head = f"POST {tenant.path}/things/upload HTTP/1.1\r\nHost: x\r\nContent-Length: {100 * 1024**2}\r\n"
        writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
        # Not one byte of the body follows. Asking for it would be "100 Continue".
        status = await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert status.startswith(b"HTTP/1.1 401 ")


async def test_an_upload_up_to_the_limit_arrives_over_a_socket(app: FastAPI, tenant: Tenant):
    async def content(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 1024**2):
            yield bytes(1024**2)

    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", timeout=30) as client:
        url = f"{tenant.path}/things/upload"
        exact = await client.post(url, content=content(UPLOAD_LIMIT_BYTES), headers=tenant.headers)
        assert exact.json()["data"] == {"size": UPLOAD_LIMIT_BYTES}
        over = await client.post(url, content=content(UPLOAD_LIMIT_BYTES + 1024**2), headers=tenant.headers)
        assert over.status_code == 413
