"""HTTP/1.1 on the wire, on httptools with nothing in between: a layer more would show in measurements."""

import asyncio
from collections import deque
from collections.abc import Callable

import httptools

from app.sandbox.emulator import TEXT, Answer, Fate, Request, http_answer

BODY_LIMIT = 4 * 1024 * 1024
HEAD_LIMIT = 64 * 1024

Route = Callable[[Request], tuple[Answer, float]]
"""Takes a request with its whole target; returns the answer and the seconds to wait before it goes out."""


class _Turn:
    """A place in the order of a connection's answers: empty until its answer is due."""

    __slots__ = ("closes", "payload")

    def __init__(self) -> None:
        self.payload: bytes | None = None
        self.closes = False


class HttpProtocol(asyncio.Protocol):
    """One connection. Answers go out in the order of the requests, also when an earlier one waits."""

    __slots__ = (
        "_body", "_connections", "_head_size", "_headers", "_loop",
        "_parser", "_route", "_transport", "_turns", "_url",
    )  # fmt: skip

    def __init__(self, route: Route, connections: set[asyncio.Transport]) -> None:
        self._route = route
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._turns: deque[_Turn] = deque()
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = b""
        self._head_size = 0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = transport  # type: ignore[assignment] # a stream server gives no other
        self._connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The client is gone; answers still due find a closing transport."""
        self._connections.discard(self._transport)

    def pause_writing(self) -> None:
        """A client that does not read is not listened to either."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Some bytes of requests."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            # An error in an emulator is a bug here, not a fault that was asked for: say so where it is seen.
            self._loop.call_exception_handler(
                {"message": "an emulator failed", "exception": error.__context__ or error}
            )
            self._refuse(500, b"the sandbox itself failed")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400, b"not an HTTP/1.1 request")

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._url = b""
        self._headers = {}
        self._body = b""
        self._head_size = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._head_size += len(name) + len(value)
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """A piece of the body, chunked or not."""
        if len(self._body) <= BODY_LIMIT:
            self._body += body

    def on_message_complete(self) -> None:
        """The request is whole: answer it."""
        transport = self._transport
        if transport.is_closing():
            return None
        if len(self._body) > BODY_LIMIT:
            return self._refuse(413, b"the body is too large")
        if self._head_size + len(self._url) > HEAD_LIMIT:
            return self._refuse(431, b"the head is too large")
        parser = self._parser
        method = parser.get_method().decode("latin-1")
        request = Request(method, self._url.decode("latin-1"), self._headers, self._body)
        answer, delay = self._route(request)
        closes = not parser.should_keep_alive() or parser.get_http_version() != "1.1"
        turns = self._turns
        if not turns and not delay and answer.fate is Fate.SENT:
            transport.write(_payload(answer, method, closes))
            if closes:
                transport.close()
            return None
        turn = _Turn()
        turns.append(turn)
        if answer.fate is Fate.SENT:
            self._loop.call_later(delay, self._due, turn, _payload(answer, method, closes), closes)
        elif answer.fate is Fate.DROPPED:
            self._loop.call_later(delay, self._due, turn, b"", True)
        elif answer.fate is Fate.TRUNCATED:
            half = _payload(answer, method, closes)[: -(len(answer.body) // 2) - 1]
            self._loop.call_later(delay, self._due, turn, half, True)
        # A withheld answer keeps its place for ever, and with it whatever the client asks after it.
        return None

    def _due(self, turn: _Turn, payload: bytes, closes: bool) -> None:
        turn.payload, turn.closes = payload, closes
        turns, transport = self._turns, self._transport
        while turns and turns[0].payload is not None and not transport.is_closing():
            first = turns.popleft()
            transport.write(first.payload or b"")
            if first.closes:
                transport.close()

    def _refuse(self, status: int, said: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(_payload(http_answer(status, said, TEXT), "GET", closes=True))
            self._transport.close()


def _payload(answer: Answer, method: str, closes: bool) -> bytes:
    end = b"Connection: close\r\n\r\n" if closes else b"\r\n"
    return answer.head + end if method == "HEAD" else answer.head + end + answer.body


class Doorman(asyncio.Protocol):
    """Lets DNS and HTTP share a TCP port: DNS begins with the length of a message, HTTP with a letter."""

    def __init__(
        self,
        http: Callable[[], asyncio.Protocol],
        dns: Callable[[], asyncio.Protocol],
        connections: set[asyncio.Transport],
    ) -> None:
        self._http = http
        self._dns = dns
        self._connections = connections
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is at the door."""
        self._transport = transport  # type: ignore[assignment] # a stream server gives no other
        self._connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """It left without a word."""
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """The first bytes say who."""
        protocol = self._dns() if data[0] < 0x20 else self._http()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)
