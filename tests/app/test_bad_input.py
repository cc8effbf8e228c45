"""Bad input of every kind to every operation that takes a body: a 4xx that says where, and nothing is changed."""

import asyncio
import json
import unicodedata
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.deps import JSON_LIMIT_BYTES
from app.local.ports import LOOPBACK
from app.main import create_app
from tests.api import Tenant, new_tenant, running_api, serving, settings_for
from tests.contents import everything_of, fill
from tests.openapi import SIGNED, api_document, operations
from tests.people import SignedIn, join, new_person
from tests.servers import Database, PostgresServer

SECRETS = {"token", "refresh_token", "current_password"}
JSON = {"Content-Type": "application/json"}
# So that no operation answers that it is not set up.
CONFIGURED: dict[str, object] = {
    "credentials": {"keys": {"test": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},
    "providers": {"stripe": {"api_key": "sk_test_holdfast"}},
}


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@dataclass(frozen=True)
class Owner:
    """Who may do everything, in a workspace with one of everything."""

    person: SignedIn
    tenant: Tenant
    ids: dict[str, object]


@pytest.fixture
async def owner(database: Database) -> Owner:
    tenant, person = await new_tenant(database), await new_person(database, superadmin=True)
    await join(database, person, tenant.workspace_id, "owner")
    return Owner(person, tenant, await fill(database, tenant.workspace_id))


def changed(example: dict[str, Any], value: Any) -> bytes:
    """The example with its first member replaced."""
    return json.dumps(example | {next(iter(example)): value}).encode()


# What is sent for a good body → what it is answered with.
BAD_BODIES: dict[str, tuple[Any, dict[str, str], int]] = {
    "nothing": (lambda _: b"", JSON, 422),
    "truncated": (lambda example: json.dumps(example).encode()[:-1], JSON, 422),
    "no JSON": (lambda _: b"name=Acme&email=a%40example.com", JSON, 422),
    "no UTF-8": (lambda _: b'{"name": "\xff\xfe"}', JSON, 422),
    "UTF-16": (lambda example: json.dumps(example).encode("utf-16"), JSON, 422),
    "a list": (lambda example: json.dumps([example]).encode(), JSON, 422),
    "null": (lambda _: b"null", JSON, 422),
    "an unknown member": (lambda example: json.dumps({**example, "surprise": 1}).encode(), JSON, 422),
    "another type": (lambda example: changed(example, {"a": [1]}), JSON, 422),
    "not a number": (lambda example: changed(example, float("nan")), JSON, 422),
    "a NUL": (lambda example: changed(example, "a\0b"), JSON, 422),
    "half a character": (lambda example: changed(example, "a\ud800b"), JSON, 422),
    "very deep": (lambda _: b"[" * 100_000, JSON, 422),
    "a form": (lambda _: b"name=Acme", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "XML": (lambda _: b"<name>Acme</name>", {"Content-Type": "application/xml"}, 415),
    "compressed": (lambda _: b"\x1f\x8b", JSON | {"Content-Encoding": "gzip"}, 415),
    "too large": (lambda _: b'{"name": "' + b"a" * JSON_LIMIT_BYTES + b'"}', JSON, 413),
}


@pytest.mark.parametrize("kind", BAD_BODIES)
async def test_no_operation_takes_a_bad_body(database: Database, owner: Owner, kind: str):
    make, headers, status = BAD_BODIES[kind]
    before = await everything_of(database, owner.tenant.workspace_id)
    wrong: list[Any] = []
    async with running_api(database, **CONFIGURED) as client:
        for operation in operations(api_document()):
            # What nobody has signed is not even read.
            if operation.body is None or operation.id in SIGNED:
                continue
            url = operation.url(owner.ids)
            content = make(operation.body)
            answer = await client.request(
                operation.method, url, content=content, headers=owner.person.headers | headers
            )
            body = answer.json()
            if kind == "a NUL" and next(iter(operation.body)) in SECRETS:
                # Compared and never kept: the answer is that to any other wrong one.
                assert answer.status_code in (401, 404, 409, 422), operation.id
                continue
            if (
                answer.status_code != status
                or not body["error"]["message"]
                or (status == 422) > bool(body["error"]["details"])
            ):
                wrong.append((operation.id, answer.status_code, answer.text[:300]))
    assert wrong == []
    assert await everything_of(database, owner.tenant.workspace_id) == before


@pytest.mark.parametrize(
    "name",
    ["", " \t ", "a\0b", "a\nb", "a\x1b[31mb", "a\x7fb", "a\u202eb", "a\ufeffb", "a\u2028b", "a\ud800b", "a" * 10_001],
    ids=ascii,
)
async def test_no_name_holds_what_would_break_or_hide_a_line(database: Database, owner: Owner, name: str):
    wrong: list[Any] = []
    async with running_api(database) as client:
        for operation in operations(api_document()):
            if "name" not in (operation.body or {}):
                continue
            content = json.dumps(operation.body | {"name": name}).encode()
            answer = await client.request(
                operation.method, operation.url(owner.ids), content=content, headers=owner.person.headers | JSON
            )
            # Half a character is no text at all: the body is refused as a whole.
            fields = {each["field"] for each in (answer.json()["error"] or {"details": []})["details"]}
            if answer.status_code != 422 or fields not in ({"name"}, {"body"}):
                wrong.append((operation.id, answer.status_code, answer.text[:300]))
    assert wrong == []


@pytest.mark.parametrize(
    "name",
    [
        "Zoe\u0308 A\u030angstro\u0308m",
        "\u0634\u0631\u06a9\u062a\u200c\u0647\u0627",
        "\U0001f469\u200d\U0001f680",
        "O'Neill & <Sons>",
    ],
    ids=ascii,
)
async def test_a_name_in_any_script_is_kept_as_given_in_nfc(database: Database, name: str):
    person = await new_person(database)
    async with running_api(database) as client:
        answer = await client.post("/api/v1/workspaces", json={"name": name}, headers=person.headers)
        assert answer.status_code == 201, answer.text
        kept = await client.get(f"/api/v1/workspaces/{answer.json()['data']['id']}", headers=person.headers)
    assert kept.json()["data"]["name"] == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "odd", ["none", "0", "%00", "..%2f..", "a" * 5000, "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10%0a", "%ff"]
)
async def test_an_id_of_no_form_is_of_nothing(database: Database, owner: Owner, odd: str):
    wrong: list[Any] = []
    async with running_api(database, **CONFIGURED) as client:
        for operation in operations(api_document()):
            for parameter in operation.parameters:
                answer = await client.request(
                    operation.method,
                    operation.url(owner.ids | {parameter: odd}),
                    json=operation.body,
                    headers=owner.person.headers,
                )
                if answer.status_code != 404:
                    wrong.append((operation.id, parameter, answer.status_code, answer.text[:300]))
    assert wrong == []


async def test_a_chunked_body_without_end_is_cut_off_at_the_limit_over_a_socket(database: Database, owner: Owner):
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    async with serving(create_app(settings_for(database))) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        token = owner.person.access_token
        head = "PATCH /api/v1/auth/me HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        sent = 0
        try:
            async for chunk in endless():
                writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                await writer.drain()
                sent += len(chunk)
                if sent > 4 * JSON_LIMIT_BYTES or reader.at_eof():
                    break
        except ConnectionError:
            pass
        writer.close()
    # What is in flight in the buffers of two sockets comes on top of the limit.
    assert JSON_LIMIT_BYTES < sent <= 4 * JSON_LIMIT_BYTES


async def test_a_hundred_megabytes_of_a_stranger_are_not_taken_over_a_socket(database: Database, owner: Owner):
    async with serving(create_app(settings_for(database))) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        head = f"POST {owner.tenant.path}/enrichment/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: {100 * 1024**2}\r\n"
        writer.write(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        sent = 0
        try:
            while sent < 100 * 1024**2:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        except ConnectionError:
            pass
        writer.close()
    assert sent < 20 * 1024**2
