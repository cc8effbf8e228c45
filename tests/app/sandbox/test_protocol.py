"""HTTP as bytes: what aiohttp never sends, and the order of answers."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator

import aiohttp
import pytest

from app.sandbox.server import LOOPBACK, Sandbox, SandboxOptions, serve
from tests.app.sandbox.client import Client

FIND = "GET /hunter/v2/companies/find?domain={} HTTP/1.1\r\nHost: x\r\nX-API-KEY: key\r\n\r\n"


@contextlib.asynccontextmanager
async def connected(sandbox: Sandbox) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(LOOPBACK, sandbox.http_port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def rest(reader: asyncio.StreamReader) -> str:
    return (await asyncio.wait_for(reader.read(), 3)).decode()


async def test_pipelined_requests_are_answered_in_order_though_the_first_is_slow(sandbox: Sandbox, client: Client):
    await client.set("hunter", latency_ms=80, hit_rate=1.0)
    fast = "GET /_health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with connected(sandbox) as (reader, writer):
        writer.write((FIND.format("acme.com") + fast).encode())
        said = await rest(reader)
    assert said.count("HTTP/1.1 200") == 2
    assert said.index("acme.com") < said.index('"status":"ok"')


async def test_a_connection_is_kept_until_one_side_says_close(sandbox: Sandbox):
    async with connected(sandbox) as (reader, writer):
        for _ in range(3):
            writer.write(b"HEAD /_nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            assert "Connection: close" not in head
        writer.write(b"HEAD /_nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert "Connection: close" in await rest(reader)


async def test_a_chunked_body_in_small_pieces_is_read_whole(sandbox: Sandbox):
    head = "PUT /_options/hunter HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    body = ('b\r\n{"hit_rate"\r\n', "6\r\n: 0.5}\r\n", "0\r\n\r\n")
    async with connected(sandbox) as (reader, writer):
        for piece in (head[:20], head[20:], *body):
            writer.write(piece.encode())
            await asyncio.sleep(0.005)
        said = await rest(reader)
    assert said.startswith("HTTP/1.1 200")
    assert '"hit_rate":0.5' in said


@pytest.mark.parametrize("sent", ["NONSENSE\r\n\r\n", "GET / HTTP/1.1\r\nbroken header\r\n\r\n"])
async def test_what_is_not_http_is_refused_and_cut(sandbox: Sandbox, sent: str):
    async with connected(sandbox) as (reader, writer):
        writer.write(sent.encode())
        assert (await rest(reader)).startswith("HTTP/1.1 400")


async def test_a_body_that_is_too_large_is_refused(client: Client):
    async with client.raw.put("/_options/hunter", data=io.BytesIO(b"x" * (5 * 1024 * 1024))) as answer:
        assert answer.status == 413


async def test_closing_the_sandbox_cuts_connections_that_wait():
    sandbox = await serve(SandboxOptions())
    async with aiohttp.ClientSession(sandbox.url) as session:
        await Client(session).fault("hunter", "hang")
    async with connected(sandbox) as (reader, writer):
        writer.write(FIND.format("acme.com").encode())
        await asyncio.sleep(0.05)
        await asyncio.wait_for(sandbox.close(), 1)
        with contextlib.suppress(ConnectionError):
            assert await rest(reader) == ""
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(LOOPBACK, sandbox.http_port)
