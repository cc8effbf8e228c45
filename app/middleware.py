"""Around every request: its id, its client, its log line, its metrics, what every answer carries, and the last resort
when something broke.

Plain ASGI: Starlette's BaseHTTPMiddleware would put a task and a queue between the application and the socket.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db import new_id
from app.deadline import Deadline
from app.envelope import error_envelope, respond
from app.errors import AppError, RequestTimeout
from app.forwarded import Client, TrustedProxies
from app.metrics import HttpMetrics
from app.ratelimit import Usage

# Asked for every few seconds, by machines.
_PROBES = frozenset({"/health", "/readiness", "/metrics"})
_UNMATCHED = "unmatched"
# As proxies log it: the client went away before there was an answer.
_CLIENT_CLOSED_REQUEST = 499

# What is still taken of a body that was refused: who sends the rest learns of the answer, where a closed connection
# would throw it away. No more than that, or a stranger could send for ever.
_LINGER_BYTES = 2 * 1024**2
_LINGER_SECONDS = 2

# How long a body may keep us waiting in all: so long, and a second more for each of so many bytes that came. Who sends
# a byte now and then would else hold a connection for as long as they like.
_PATIENCE_SECONDS = 15.0
_LEAST_BYTES_A_SECOND = 1024

# What a caller may choose as an id: nothing that would break a log line or a header.
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_FEATURES = ("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "microphone", "payment", "usb")
_HEADERS = Headers(
    {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _FEATURES),
    }
).raw
# A page of ours says itself what it loads and how long it keeps.
_DEFAULT_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
# Two years. Without TLS browsers ignore the header.
_HSTS = "max-age=63072000; includeSubDomains"

_log = structlog.get_logger(__name__)


class RequestMiddleware:
    """`routes` maps each endpoint to its path template, the label of its metrics."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: HttpMetrics,
        routes: Mapping[Callable[..., Any], str],
        proxies: TrustedProxies,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes
        self._proxies = proxies
        self._patience = Deadline(patience_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client = self._client(scope, headers)
        body = _Body(receive, self._patience) if _has_body(headers) else None
        answer = _Answer(receive, send, _request_id(headers), client, body)
        scope["state"] = {
            **scope.get("state", {}),
            "client_address": client.address,
            "rate_limits": answer.rate_limits,
        }
        # A pipelined request starts in the context of the one before it.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=answer.request_id, client_address=client.address)
        try:
            await self._app(scope, answer.receive, answer.send)
        except ClientDisconnect:
            answer.status = answer.status or _CLIENT_CLOSED_REQUEST
        finally:
            self._record(scope, answer)

    def _client(self, scope: Scope, headers: Headers) -> Client:
        peer = scope["client"][0] if scope.get("client") else None
        forwarded_for, forwarded_proto = (
            ",".join(headers.getlist(name)) for name in ("x-forwarded-for", "x-forwarded-proto")
        )
        return self._proxies.client(peer, scope["scheme"], forwarded_for, forwarded_proto)

    def _record(self, scope: Scope, answer: "_Answer") -> None:
        status = answer.status or _CLIENT_CLOSED_REQUEST
        route = self._routes.get(scope.get("endpoint", None), _UNMATCHED)
        self._metrics.record(scope["method"], route, status, answer.seconds_to_start())
        log = _log.debug if scope["path"] in _PROBES else _log.info
        log(
            "request",
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=status,
            seconds=round(answer.seconds(), 6),
        )


class LastResort:
    """The answer to what nobody foresaw. Inside of CORS, so that a page may read that too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            raise
        except Exception:
            _log.exception("request failed", method=scope["method"], path=scope["path"])
            if started:
                # Too late for another answer: the server cuts the connection, so that it does not look complete.
                raise
            await _internal_error(scope, receive, send)


class _Body:
    """The body of a request on its way in. The time that we take over it is ours, and counts for nothing."""

    def __init__(self, receive: Receive, patience: Deadline) -> None:
        self._receive = receive
        self._patience = patience
        self._waited = 0.0
        self._bytes = 0

    async def receive(self) -> Message:
        """Raises RequestTimeout where nothing comes, or too little."""
        began = time.perf_counter()
        try:
            with self._patience.running():
                message = await self._receive()
        except TimeoutError:
            raise _too_slow() from None
        self._waited += time.perf_counter() - began
        self._bytes += len(message.get("body", b""))
        if self._waited > self._patience.seconds + self._bytes / _LEAST_BYTES_A_SECOND:
            raise _too_slow()
        return message


class _Answer:
    """What becomes of one request, watched on its way out. `body` is None where there is none to come."""

    def __init__(self, receive: Receive, send: Send, request_id: str, client: Client, body: _Body | None) -> None:
        self._receive = receive
        self._send = send
        self._client = client
        # Until the last of it was read.
        self._body = body
        self._closing = False
        self._began = time.perf_counter()
        self._started: float | None = None
        self.request_id = request_id
        self.rate_limits: list[Usage] = []
        self.status: int | None = None

    async def receive(self) -> Message:
        if self._body is None:
            return await self._receive()
        try:
            message = await self._body.receive()
        except RequestTimeout:
            if self._started is None:
                raise
            # Whoever waits for the end of the connection while an answer goes out has it.
            message = {"type": "http.disconnect"}
        self._note(message)
        return message

    def _note(self, message: Message) -> None:
        if not message.get("more_body", False):
            self._body = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._started = time.perf_counter()
            self._complete(MutableHeaders(scope=message))
        elif self._closing and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _linger(self) -> None:
        taken = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while self._body is not None and taken < _LINGER_BYTES:
                    message = await self._receive()
                    taken += len(message.get("body", b""))
                    self._note(message)

    def _complete(self, headers: MutableHeaders) -> None:
        headers["X-Request-Id"] = self.request_id
        headers.raw.extend(_HEADERS)
        for name, value in _DEFAULT_HEADERS.items():
            headers.setdefault(name, value)
        if self._body is not None:
            # Else the server takes in all of a body that was refused, however long, for the next request's sake.
            headers["Connection"] = "close"
            self._closing = True
        if self._client.tls:
            headers["Strict-Transport-Security"] = _HSTS
        if self.rate_limits:
            headers["RateLimit-Policy"] = ", ".join(usage.policy for usage in self.rate_limits)
            headers["RateLimit"] = ", ".join(usage.state for usage in self.rate_limits)

    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def seconds_to_start(self) -> float:
        return self.seconds() if self._started is None else self._started - self._began


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _too_slow() -> RequestTimeout:
    return RequestTimeout("The body of the request did not arrive in time; send it again.")


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if given and _SANE_ID.fullmatch(given) else str(new_id())


async def _internal_error(scope: Scope, receive: Receive, send: Send) -> None:
    # Says nothing about the inside; the log line of the same request does.
    body = error_envelope(AppError.code, "Something went wrong on our side. Quote the request_id when you report it.")
    await respond(body, AppError.status)(scope, receive, send)
