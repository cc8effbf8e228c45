"""A receiver of webhooks on loopback, which answers as a test tells it."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from app.local.ports import LOOPBACK


@dataclass(frozen=True, slots=True)
class Received:
    """A POST as it came; `at` by this machine's monotonic clock."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = orjson.loads(self.body)
        return event


async def taken(_: Received) -> web.Response:
    return web.Response(text="ok")


def answering(status: int, text: str = "", **headers: str) -> Callable[[Received], Awaitable[web.Response]]:
    async def answer(_: Received) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return answer


@dataclass
class Receiver:
    """`received` are all POSTs in the order in which they came; `answer` says what each gets."""

    url: str
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Awaitable[web.StreamResponse]] = taken

    def counts(self) -> Counter[str]:
        """How often each event came."""
        return Counter(each.event_id for each in self.received)

    async def until(self, count: int, *, seconds: float = 60) -> list[Received]:
        """What came, once it is so many POSTs."""
        async with asyncio.timeout(seconds):
            while len(self.received) < count:
                await asyncio.sleep(0.01)
        return self.received


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    async def handle(request: web.Request) -> web.StreamResponse:
        at = time.monotonic()
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.path, headers, await request.read(), at)
        receiver.received.append(received)
        return await receiver.answer(received)

    application = web.Application()
    application.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    receiver = Receiver(f"http://{LOOPBACK}:{runner.addresses[0][1]}")
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def misbehaving(
    behave: Callable[[asyncio.StreamWriter], Awaitable[None]], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """The address of a server that reads a request and then does what `behave` says, byte by byte."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behave(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=tls)
    try:
        scheme = "https" if tls else "http"
        yield f"{scheme}://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
