"""What hosts do that are no receivers of webhooks: each is a failed attempt, within the limits of time and size."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from app.providers.adapters.webhooks import ANSWER_BYTES, KEPT_BYTES, HttpDeliverer
from app.providers.addresses import AddressRefused, guarded_socket
from app.providers.ports import Posted
from app.settings import WebhookSettings
from tests.app.webhooks.certificates import self_signed
from tests.app.webhooks.receiver import Received, answering, misbehaving, receiving
from tests.providers.sockets import TurningResolver

SECONDS = 0.5
BODY = b'{"id":"1"}'


@pytest.fixture
async def deliverer() -> AsyncIterator[HttpDeliverer]:
    deliverer = HttpDeliverer(WebhookSettings(allow_private=True, timeout_seconds=SECONDS))
    yield deliverer
    await deliverer.close()


async def posted_to(deliverer: HttpDeliverer, behave: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> Posted:
    async with misbehaving(behave) as url:
        return await deliverer.post(url, BODY, {})


async def test_a_whole_answer_of_2xx_is_taken_and_its_beginning_kept(deliverer: HttpDeliverer):
    async with receiving() as receiver:
        receiver.answer = answering(202, "a" * 5000)
        posted = await deliverer.post(receiver.url, BODY, {"webhook-id": "1"})
    assert posted == Posted(202, None, b"a" * KEPT_BYTES)
    (received,) = receiver.received
    assert (received.body, received.headers["webhook-id"]) == (BODY, "1")
    assert received.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "error"), [(400, "status"), (404, "status"), (410, "gone"), (429, "throttled"), (500, "status")]
)
async def test_another_status_is_a_failure(deliverer: HttpDeliverer, status: int, error: str):
    async with receiving() as receiver:
        receiver.answer = answering(status, "why", **{"Retry-After": "7"})
        posted = await deliverer.post(receiver.url, BODY, {})
    assert posted == Posted(status, error, b"why", 7.0 if status == 429 else None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_wherever_it_leads(deliverer: HttpDeliverer, status: int):
    async with receiving() as receiver:
        for place in ("http://169.254.169.254/latest/meta-data", receiver.url):
            receiver.answer = answering(status, Location=place)
            assert (await deliverer.post(receiver.url, BODY, {})).error == "redirected"
    assert len(receiver.received) == 2


async def test_an_answer_that_closes_in_mid_body_is_broken(deliverer: HttpDeliverer):
    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    assert await posted_to(deliverer, half) == Posted(200, "answer_broken", b"half")


async def test_of_a_hundred_megabytes_little_is_read(deliverer: HttpDeliverer):
    sent = 0

    async def huge(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
        for _ in range(1600):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    posted = await posted_to(deliverer, huge)
    assert posted == Posted(200, "answer_too_large", b"x" * KEPT_BYTES)
    # What fits into the buffers of the sockets has gone, and no more.
    assert sent < 20 * 1024 * 1024
    assert ANSWER_BYTES == 64 * 1024


async def test_an_answer_that_comes_byte_by_byte_ends_with_the_time(deliverer: HttpDeliverer):
    async def slow(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    begun = time.monotonic()
    posted = await posted_to(deliverer, slow)
    assert (posted.status, posted.error) == (200, "timeout")
    assert SECONDS <= time.monotonic() - begun < SECONDS + 1


async def test_headers_without_an_end_are_no_http(deliverer: HttpDeliverer):
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-Padding: " + b"x" * 8000 + b"\r\n")
            await writer.drain()

    assert (await posted_to(deliverer, endless)).error in ("not_http", "timeout")


async def test_what_is_no_http_is_said_to_be_none(deliverer: HttpDeliverer):
    async def odd(writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\xffSSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()

    assert (await posted_to(deliverer, odd)).error == "not_http"


async def test_a_host_that_hangs_up_or_is_not_there_is_a_failure(deliverer: HttpDeliverer):
    async def nothing(_: asyncio.StreamWriter) -> None:
        return

    assert (await posted_to(deliverer, nothing)).error == "answer_broken"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert await deliverer.post(f"http://127.0.0.1:{port}", BODY, {}) == Posted(error="not_connected")
    assert await deliverer.post("http://", BODY, {}) == Posted(error="invalid_url")


async def test_a_certificate_that_nobody_vouches_for_is_refused(deliverer: HttpDeliverer, tmp_path: Path):
    async def never(_: asyncio.StreamWriter) -> None:
        pytest.fail("a request went over a connection that nobody vouches for")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    async with misbehaving(never, tls=context) as url:
        assert await deliverer.post(url, BODY, {}) == Posted(error="tls_failed")


async def test_a_connection_that_broke_is_not_used_for_a_second_request(deliverer: HttpDeliverer):
    """At least once is the business of whoever schedules attempts, each of which is one request."""
    async with receiving() as receiver:

        async def hangs_up(_: Received) -> web.Response:
            raise web.HTTPInternalServerError

        for _ in range(3):
            receiver.answer = hangs_up
            await deliverer.post(receiver.url, BODY, {})
        assert len(receiver.received) == 3


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.100.100.200", "::1", "::ffff:127.0.0.1", "fd00::1"]
)
async def test_a_name_that_leads_inside_is_refused_where_the_socket_is_made(address: str):
    """The first answer is public, and each attempt asks anew."""
    resolver = TurningResolver([address])

    def connector() -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            resolver=resolver, use_dns_cache=False, socket_factory=partial(guarded_socket, ports={443, 8443})
        )

    deliverer = HttpDeliverer(WebhookSettings(timeout_seconds=SECONDS), make_connector=connector)
    try:
        for _ in range(2):
            assert await deliverer.post("https://hooks.example.com/", BODY, {}) == Posted(error="address_refused")
    finally:
        await deliverer.close()
    assert len(resolver.asked) == 2


def test_a_port_that_is_allowed_is_connected_to_at_public_addresses_alone():
    def made(address: str, port: int) -> None:
        info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))
        guarded_socket(info, ports={443, 8443}).close()

    made("8.8.8.8", 8443)
    for address, port in (("127.0.0.1", 8443), ("8.8.8.8", 8080)):
        with pytest.raises(AddressRefused):
            made(address, port)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/",
        "https://8.8.8.8:8080/",
        "https://2130706433/",
        "ftp://example.com/",
        "file:///etc/passwd",
    ],
)
async def test_without_the_setting_only_public_addresses_ports_of_the_web_and_tls_are_spoken_to(url: str):
    deliverer = HttpDeliverer(WebhookSettings(timeout_seconds=SECONDS))
    try:
        assert (await deliverer.post(url, BODY, {})).error in ("address_refused", "name_not_resolved", "invalid_url")
    finally:
        await deliverer.close()
