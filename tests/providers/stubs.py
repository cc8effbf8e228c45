"""What provider tests stand on: a clock to turn, an adapter to script, a server that says what it is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from app.providers.circuit_rows import CircuitRow
from app.providers.ports import Answer, Capabilities, Found, Query

FOUND = Found({"name": "Acme"})


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def circuit_row(provider: str = "scripted", **stored: Any) -> CircuitRow:
    """A circuit as it is stored: closed, but for what is said."""
    now = datetime.now(UTC)
    return CircuitRow(
        **{
            **dict.fromkeys(each.name for each in fields(CircuitRow)),
            "provider": provider,
            "state": "closed",
            "version": 1,
            "changed_at": now,
            "cause": {},
            "probes": 0,
            "is_ours": False,
            "is_held": False,
            "is_disabled": False,
            "is_announced": True,
            **stored,
        }
    )


class ScriptedAdapter:
    """An adapter whose calls do what the test says: `behave` gets the query and answers, raises or waits."""

    name = "scripted"
    capabilities = Capabilities(
        {"company": ("name",)}, {"company": (frozenset({"domain"}),)}, requires_credential=False
    )
    credit_cost = 1
    timeout_seconds = 5.0

    def __init__(self, behave: Callable[[Query], Awaitable[Answer]] | None = None) -> None:
        self.behave = behave
        self.calls = 0
        self.closed = False

    async def look_up(self, query: Query) -> Answer:
        self.calls += 1
        return await self.behave(query) if self.behave else FOUND

    async def close(self) -> None:
        self.closed = True


def company(domain: str) -> Query:
    return Query("company", f"domain:{domain}", {"domain": domain})


def person(**subject: str) -> Query:
    return Query("person", " ".join(subject.values()), subject)


@dataclass
class Server:
    """A listening server. `requests` are the heads it got and `bodies` what came with each, `open` its connections at
    this moment."""

    port: int
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    open: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def answer(status: int, body: bytes = b"", content_type: str = "application/json", *headers: str) -> bytes:
    """An HTTP answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", f"Content-Type: {content_type}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class LastWords(bytes):
    """Sent before hanging up."""


@asynccontextmanager
async def serving(*answers: bytes | None, robots: bytes | None = None) -> AsyncIterator[Server]:
    """A server that gives these answers in turn, the last of them for ever; None leaves the request unanswered. Where
    there are `robots`, they are the answer to whoever asks for a robots.txt, which is not recorded."""
    script = iter(answers)
    server = Server(0)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.open += 1
        try:
            while head := await _head(reader):
                if robots is not None and head.split(" ", 2)[1].endswith("/robots.txt"):
                    writer.write(robots)
                    continue
                server.requests.append(head)
                server.bodies.append(await reader.readexactly(_body_length(head)))
                said = next(script, answers[-1])
                if said is None:
                    await reader.read()  # until the client hangs up
                    return
                writer.write(said)
                await writer.drain()
                if isinstance(said, LastWords):
                    return
        except ConnectionError:
            return
        finally:
            server.open -= 1
            writer.close()

    listening = await asyncio.start_server(converse, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await until(lambda: server.open == 0)


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return ""


def _body_length(head: str) -> int:
    lengths = [line.partition(":")[2] for line in head.lower().splitlines() if line.startswith("content-length:")]
    return int(lengths[0]) if lengths else 0


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something holds; the test's own time limit is the patience."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)
