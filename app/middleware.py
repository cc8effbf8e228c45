"""Around every request: its id, its log line, its metrics, and the last resort when something broke.

Plain ASGI: Starlette's BaseHTTPMiddleware would put a task and a queue between the application and the socket.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db import new_id
from app.envelope import error_envelope, respond
from app.errors import AppError
from app.metrics import HttpMetrics

# Asked for every few seconds, by machines.
_PROBES = frozenset({"/health", "/readiness", "/metrics"})
_UNMATCHED = "unmatched"
# As proxies log it: the client went away before there was an answer.
_CLIENT_CLOSED_REQUEST = 499

# What a caller may choose as an id: nothing that would break a log line or a header.
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_log = structlog.get_logger(__name__)


class RequestMiddleware:
    """`routes` maps each endpoint to its path template, the label of its metrics."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, routes: Mapping[Callable[..., Any], str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, _request_id(Headers(scope=scope)))
        # A pipelined request starts in the context of the one before it.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=answer.request_id)
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.status = answer.status or _CLIENT_CLOSED_REQUEST
        except Exception:
            _log.exception("request failed", method=scope["method"], path=scope["path"])
            if answer.status is not None:
                # Too late for another answer: the server cuts the connection, so that it does not look complete.
                raise
            await _internal_error(scope, receive, answer.send)
        finally:
            self._record(scope, answer)

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


class _Answer:
    """What becomes of one request, watched on its way out."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._began = time.perf_counter()
        self._started: float | None = None
        self.request_id = request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._started = time.perf_counter()
            MutableHeaders(scope=message)["X-Request-Id"] = self.request_id
        await self._send(message)

    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def seconds_to_start(self) -> float:
        return self.seconds() if self._started is None else self._started - self._began


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _SANE_ID.fullmatch(given) else str(new_id())


async def _internal_error(scope: Scope, receive: Receive, send: Send) -> None:
    # Says nothing about the inside; the log line of the same request does.
    body = error_envelope(AppError.code, "Something went wrong on our side. Quote the request_id when you report it.")
    await respond(body, AppError.status)(scope, receive, send)
