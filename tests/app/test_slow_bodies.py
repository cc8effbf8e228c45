"""Clients that send a body slowly, or not at all, on a real server: they are answered, and their connection ends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from app.local.ports import LOOPBACK
from app.main import create_app
from app.middleware import RequestMiddleware
from tests.api import Tenant, new_tenant, serving, settings_for
from tests.servers import Database, PostgresServer

PATIENCE = 0.5


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@asynccontextmanager
async def impatient(database: Database) -> AsyncIterator[int]:
    """The API, which waits for a body as long as these tests can; its port."""
    app = create_app(settings_for(database))
    for middleware in app.user_middleware:
        if middleware.cls is RequestMiddleware:
            middleware.kwargs["patience_seconds"] = PATIENCE
    async with serving(app) as port:
        yield port


class Connection:
    """One request whose body comes when the test says so."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()

    async def answer(self) -> tuple[bytes, dict[str, str], dict[str, Any]]:
        """Status line, headers and body, as soon as they are there."""
        async with asyncio.timeout(10):
            status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).rstrip().split(b"\r\n")
            headers = dict(line.decode().lower().split(": ", 1) for line in lines)
            body = await self._reader.readexactly(int(headers["content-length"]))
        return status, headers, json.loads(body)

    async def drip(self, content: bytes) -> None:
        """Send this again and again, each time well within what one wait may take; until it is cancelled."""
        while True:
            await self.send(content)
            await asyncio.sleep(PATIENCE / 10)

    async def ended(self) -> None:
        """Until the server has closed the connection."""
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                await self._reader.read()


@asynccontextmanager
async def post(port: int, tenant: Tenant, *, length: int, authorised: bool = True) -> AsyncIterator[Connection]:
    """Begin to start a job with a body of that length."""
    lines = [
        f"POST {tenant.path}/enrichment/jobs HTTP/1.1",
        "Host: holdfast.test",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *(f"{name}: {value}" for name, value in tenant.headers.items() if authorised),
    ]
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        yield Connection(reader, writer)
    finally:
        writer.close()


async def test_a_body_that_never_comes_is_answered_and_the_connection_closed(database: Database) -> None:
    tenant = await new_tenant(database)
    async with impatient(database) as port, post(port, tenant, length=1000) as connection:
        began = time.monotonic()
        status, headers, body = await connection.answer()
        took = time.monotonic() - began
        await connection.ended()
    assert status.startswith(b"HTTP/1.1 408 ")
    assert headers["connection"] == "close"
    assert body["error"]["code"] == "request_timeout"
    assert PATIENCE <= took < PATIENCE + 4


async def test_a_client_that_drips_is_not_waited_for_either(database: Database) -> None:
    tenant = await new_tenant(database)
    async with impatient(database) as port, post(port, tenant, length=100_000) as connection:
        dripping = asyncio.create_task(connection.drip(b" "))
        status, _, _ = await connection.answer()
        await connection.ended()
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
    assert status.startswith(b"HTTP/1.1 408 ")


async def test_a_slow_line_has_the_time_that_its_bytes_take(database: Database) -> None:
    tenant = await new_tenant(database)
    chunks = 30
    async with impatient(database) as port, post(port, tenant, length=chunks * 1000) as connection:
        for _ in range(chunks):
            # 20 kB/s, for three times as long as nothing at all may take.
            await connection.send(b" " * 1000)
            await asyncio.sleep(PATIENCE / 10)
        status, _, _ = await connection.answer()
    assert status.startswith(b"HTTP/1.1 422 ")


async def test_a_stranger_is_refused_before_a_byte_of_the_body_is_waited_for(database: Database) -> None:
    tenant = await new_tenant(database)
    async with impatient(database) as port, post(port, tenant, length=1000, authorised=False) as connection:
        status, headers, _ = await connection.answer()
    assert status.startswith(b"HTTP/1.1 401 ")
    assert headers["connection"] == "close"
