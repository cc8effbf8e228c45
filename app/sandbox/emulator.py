"""What an emulator is: what an unharmed vendor would say to a request, and how it words its failures.

An emulator decides nothing else. What is counted, charged, delayed or lost is the station's business
(`station.py`), so a new vendor is one file with these methods and one line in the registry of `server.py`.
"""

from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qsl

import orjson

from app.sandbox.calls import Charge
from app.sandbox.faults import FaultMode
from app.sandbox.options import Options

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

ANSWERS_KEPT = 16_384
"""Prepared answers an emulator keeps: some 40 MB at most, more than any hot set of a test."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Fate(Enum):
    """What becomes of an answer on the wire."""

    SENT = "sent"
    DROPPED = "dropped"
    """The connection is closed without an answer."""
    WITHHELD = "withheld"
    """The connection stays open and nothing comes."""
    TRUNCATED = "truncated"
    """Half of the body goes out, and the connection is closed."""


class Request(NamedTuple):
    """An HTTP request. `target` is path and query below the prefix, header names are lower case."""

    method: str
    target: str
    headers: Mapping[bytes, bytes]
    body: bytes


class Answer(NamedTuple):
    """What goes back, with the keys it was asked for, what each costs and the vendor's own delay in seconds.

    `head` is the status line and the header lines of an HTTP answer without the blank line, since the
    connection decides what follows them; a DNS answer has none.
    """

    body: bytes
    head: bytes = b""
    keys: tuple[str, ...] = ()
    charges: tuple[Charge, ...] = ()
    delay: float = 0.0
    fate: Fate = Fate.SENT


DROPPED = Answer(b"", fate=Fate.DROPPED)
WITHHELD = Answer(b"", fate=Fate.WITHHELD)

RequestT_contra = TypeVar("RequestT_contra", contravariant=True)


class Emulator(Protocol[RequestT_contra]):
    """A vendor. The type parameter is its kind of request: `Request` for those that speak HTTP."""

    @property
    def options(self) -> Options:
        """The options in force."""

    def configure(self, options: Any) -> None:
        """Take other options, of the class that `options` has, and forget prepared answers."""

    def answer(self, request: RequestT_contra) -> Answer:
        """What the vendor would say."""

    def failure(self, mode: FaultMode, turn: int, request: RequestT_contra, answer: Answer) -> Answer:
        """How the vendor words a fault that is an answer at all.

        `turn` counts hits from 0, `answer` is what would have been said.
        """


def http_answer(
    status: int,
    body: bytes,
    content_type: str = JSON,
    headers: str = "",
    *,
    keys: tuple[str, ...] = (),
    charges: tuple[Charge, ...] = (),
) -> Answer:
    """An HTTP answer; `headers` are further header lines, each with its line end."""
    phrase = _PHRASES.get(status, "Unnamed")
    entity = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    head = f"HTTP/1.1 {status} {phrase}\r\n{entity}{headers}"
    return Answer(body, head.encode("latin-1"), keys, charges)


def encode(value: object) -> bytes:
    """JSON as the vendors write it: compact, UTF-8."""
    return orjson.dumps(value)


def path_and_query(target: str) -> tuple[str, dict[str, str]]:
    """The path and the query parameters, the last of a name winning."""
    path, _, query = target.partition("?")
    return path, dict(parse_qsl(query, keep_blank_values=True)) if query else {}


def bearer(headers: Mapping[bytes, bytes]) -> str:
    """The token of an `Authorization: Bearer` header, empty without one."""
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
