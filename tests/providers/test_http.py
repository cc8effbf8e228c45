"""What can go wrong below an answer, caused on real sockets."""

import asyncio
import gzip
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.providers import http
from app.providers.errors import Malformed, Outage, ProviderError, Transient
from app.providers.http import HttpAnswer, VendorClient, retry_after, status_failure
from tests.providers.stubs import LastWords, answer, serving, until

KEY = "planted-secret-77ab"
PERSON = "ana@acme.com"


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[VendorClient]:
    client = VendorClient("vendor", url, headers={"X-API-KEY": KEY}, concurrency=10)
    try:
        yield client
    finally:
        await client.close()


async def ask(url: str) -> HttpAnswer:
    async with client_of(url) as client:
        return await client.request("GET", "/find", {"email": PERSON})


async def test_an_answer_comes_back_whole_and_the_key_goes_in_a_header():
    async with serving(answer(404, b'{"a": 1}')) as server:
        said = await ask(server.url)
    assert (said.status, said.body) == (404, b'{"a": 1}')
    assert "GET /find?email=ana@acme.com HTTP/1.1" in server.requests[0]
    assert f"x-api-key: {KEY}".lower() in server.requests[0].lower()
    assert KEY not in server.requests[0].splitlines()[0]
    assert "User-Agent: Holdfast/" in server.requests[0]


async def test_connections_are_used_again_and_closed_with_the_client():
    async with serving(answer(200, b"{}")) as server:
        async with client_of(server.url) as client:
            for _ in range(3):
                await client.request("GET", "/find", {})
            assert server.open == 1
        await until(lambda: server.open == 0)


async def test_a_vendor_that_refuses_connections_is_an_outage():
    async with serving(LastWords()) as server:
        pass
    with pytest.raises(Outage, match="no connection"):
        await ask(server.url)


async def test_a_host_that_does_not_resolve_is_an_outage():
    with pytest.raises(Outage, match="does not resolve"):
        await ask("http://nowhere.invalid")


async def test_a_host_that_speaks_no_tls_where_tls_is_due_is_an_outage():
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200))
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Outage, match="TLS"):
            await ask(f"https://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_connection_that_breaks_is_transient_and_the_request_is_not_repeated(said: bytes):
    async with serving(LastWords(said)) as server:
        with pytest.raises(Transient):
            await ask(server.url)
    assert len(server.requests) == 1


async def test_a_request_whose_reused_connection_breaks_is_not_repeated():
    """aiohttp would send a GET once more by itself, and a vendor that charges would charge twice."""
    async with serving(answer(200, b"{}"), LastWords()) as server, client_of(server.url) as client:
        await client.request("GET", "/find", {})
        with pytest.raises(Transient):
            await client.request("GET", "/find", {})
    assert len(server.requests) == 2


@pytest.mark.parametrize("said", [b"SMTP ready\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
async def test_what_is_no_http_is_malformed(said: bytes):
    async with serving(LastWords(said)) as server:
        with pytest.raises(Malformed):
            await ask(server.url)


async def test_a_redirect_is_an_answer_like_any_other():
    async with serving(answer(302, b"", "text/html", "Location: http://127.0.0.1:1/")) as server:
        assert (await ask(server.url)).status == 302


async def test_a_compressed_answer_is_unpacked():
    packed = gzip.compress(b'{"a": 1}')
    async with serving(answer(200, packed, "application/json", "Content-Encoding: gzip")) as server:
        assert (await ask(server.url)).body == b'{"a": 1}'


@pytest.mark.parametrize(
    "said",
    [
        lambda size: answer(200, b"x" * (size + 1)),
        lambda size: answer(200, gzip.compress(b"x" * (size * 4)), "text/plain", "Content-Encoding: gzip"),
        lambda size: LastWords(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (size + 1)),
    ],
    ids=["by its length", "by what comes out of the packing", "without a length"],
)
async def test_an_answer_that_is_too_large_is_malformed(said: Callable[[int], bytes]):
    async with serving(said(http.ANSWER_BYTES)) as server:
        with pytest.raises(Malformed, match="larger than"):
            await ask(server.url)


async def test_cancellation_leaves_no_open_connection():
    async with serving(None) as server, client_of(server.url) as client:
        call = asyncio.create_task(client.request("GET", "/find", {}))
        await until(lambda: bool(server.requests))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: server.open == 0)


@pytest.mark.parametrize("said", [b"", b"SMTP ready\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"])
async def test_no_error_shows_the_key_or_the_person(said: bytes):
    async with serving(LastWords(said)) as server:
        with pytest.raises(ProviderError) as raised:
            await ask(server.url)
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + repr(raised.value.__context__)
    assert KEY not in shown
    assert PERSON not in shown


async def test_a_proxy_in_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(answer(200, b"{}")) as server:
        assert (await ask(server.url)).status == 200


def with_header(value: str) -> HttpAnswer:
    return HttpAnswer(429, {"Retry-After": value}, b"")


def test_retry_after_reads_seconds_and_dates_and_nothing_else():
    assert retry_after(with_header("7")) == 7
    assert retry_after(with_header(" 0 ")) == 0
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert retry_after(with_header(later)) == pytest.approx(90, abs=3)
    assert retry_after(with_header("Sat, 01 Jan 2000 00:00:00 GMT")) == 0
    for useless in ("", "soon", "-1", "1.5e3", "١٢"):
        assert retry_after(with_header(useless)) is None
    assert retry_after(HttpAnswer(429, {}, b"")) is None


def test_a_status_without_a_meaning_of_its_own_is_read_by_its_class():
    def read(status: int) -> ProviderError:
        return status_failure("vendor", HttpAnswer(status, {"Retry-After": "3"}, b""))

    assert type(read(503)) is Outage
    assert read(503).retry_after == 3
    assert {type(read(status)) for status in (500, 502, 504, 599)} == {Transient}
    assert {type(read(status)) for status in (302, 418)} == {Malformed}
