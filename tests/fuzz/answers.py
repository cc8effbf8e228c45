"""Answers that no vendor's document shows: what is made of a documented one, and what an adapter says to it.

`mutated` makes the bodies, `Vendor` sends them over a real socket, and `ask` holds what comes out of an adapter against
the one promise that all of them make: an Answer with values that can be stored, or a ProviderError, in time.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import orjson
from aiohttp import web
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from app.providers.errors import ProviderError
from app.providers.gate import Adapter, BulkAdapter
from app.providers.ports import Answer, Found, Missed, Pending, Query, Unreachable

Json = Any

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
HTML = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body><h1>502</h1></body></html>"

# Longer than any field; a body of it stays below what an adapter takes.
_HUGE = "x" * 200_000
_DEPTHS = (40, 900, 100_000)

# What may stand anywhere, as text: not all of it is JSON.
_ODD = (
    *(
        orjson.dumps(value)
        for value in (
            None, True, False, 0, -1, 7, 1.5, -1e308, "", " ", "0", "true", "text", "\x00", "\u202e\ufeff", "é" * 300,
            _HUGE, "2026-13-45", "http://[", "//", "@", "a@b@c", "xn--", "+", "1e400", "-1", [], {}, [None], [[]], [{}],
            {"": None}, {"value": {"value": []}}, [1, "a", None, {}], list(range(2000)),
        )
    ),
    b"NaN", b"Infinity", b"1e999", b"9" * 400, b'"\\ud800"', b'"\xff"', b"'a'",
    *(b"[" * depth + b"]" * depth for depth in _DEPTHS),
    *(b'{"a":' * depth + b"1" + b"}" * depth for depth in _DEPTHS),
)  # fmt: skip
_BODIES = (
    b"", b" ", b"null", b"true", b"0", b'""', b'"text"', b"[]", b"{}", b"[[]]", b"[null]", b"{}{}", b"{", b"\xff\xfe",
    b"\xef\xbb\xbf{}", b"\x00" * 50, HTML, b"Service unavailable", b"[" * 100_000, b'{"a":' * 100_000,
)  # fmt: skip
_NOISE = (b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\x00", b"\n", b'"', b",", b"}", b"\\u0000", b"\\ud800")


# By their numbers: hypothesis writes out what it samples from, and these are long.
_odd = st.integers(0, len(_ODD) - 1).map(lambda number: orjson.Fragment(_ODD[number]))
_body = st.integers(0, len(_BODIES) - 1).map(lambda number: _BODIES[number])


def mutated(document: Json) -> SearchStrategy[bytes]:
    """Bodies made of a documented answer: the answer itself, with keys that are missing, null, unknown or there twice,
    with values of other types, huge, nested without end or no text at all; cut off, spoiled bytes, HTML, nothing."""
    text = orjson.dumps(document)
    keys = sorted({key for holder, key in _places(document) if isinstance(holder, dict)})
    bodies = [
        st.just(text),
        _rebuilt(text),
        _rebuilt(text),  # twice: most that can go wrong is here
        st.integers(0, len(text) - 1).map(lambda end: text[:end]),
        st.builds(_spoiled, st.just(text), st.integers(0, len(text)), st.sampled_from(_NOISE)),
        _body,
    ]
    if keys:
        bodies.append(st.builds(_with_twin, st.just(text), st.sampled_from(keys), _odd))
    return st.one_of(bodies)


@st.composite
def _rebuilt(draw: st.DrawFn, text: bytes) -> bytes:
    document = orjson.loads(text)
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(document))
        if not places:
            return _dumped(draw(_odd))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(("drop", "null", "odd", "odd", "wrap", "unwrap", "more"))):
            case "drop":
                del holder[key]
            case "null":
                holder[key] = None
            case "odd":
                holder[key] = draw(_odd)
            case "wrap":
                holder[key] = draw(st.sampled_from(([holder[key]], {"value": holder[key]})))
            case "unwrap":
                holder[key] = _unwrapped(holder[key])
            case _ if isinstance(holder, dict):
                holder[f"new_{key}"] = draw(_odd)
            case _:
                holder.append(draw(_odd))
    return _dumped(document)


def _places(value: Json) -> Iterator[tuple[Any, Any]]:
    """Every place in a document: what holds it, and its key or index there."""
    if isinstance(value, dict):
        members: Iterator[tuple[Any, Json]] = iter(value.items())
    elif isinstance(value, list):
        members = enumerate(value[:20])
    else:
        return
    for key, inner in members:
        yield value, key
        yield from _places(inner)


def _unwrapped(value: Json) -> Json:
    """A value as a vendor might write it who changed his mind: a number as text, one thing instead of several."""
    match value:
        case bool() | None:
            return str(value).lower()
        case int() | float():
            return str(value)
        case str():
            return len(value)
        case [first, *_]:
            return first
        case dict() if value:
            return next(iter(value.values()))
    return "nothing"


def _dumped(value: Json) -> bytes:
    return orjson.dumps(value)


def _spoiled(text: bytes, at: int, noise: bytes) -> bytes:
    return text[:at] + noise + text[at:]


def _with_twin(text: bytes, key: str, value: Json) -> bytes:
    name = _dumped(key)
    return text.replace(name + b":", name + b":" + _dumped(value) + b"," + name + b":", 1)


class Said(NamedTuple):
    """An HTTP answer."""

    body: bytes
    status: int = 200
    content_type: str = JSON_TYPE

    def __repr__(self) -> str:
        return f"Said({self.body[:2000]!r}, {self.status}, {self.content_type!r})"


@dataclass
class Vendor:
    """A server on loopback. `said` are its answers by how the path of a request ends; it knows no other path."""

    url: str
    said: Mapping[str, Said] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        """What is said at this path."""
        await request.read()
        path = max((end for end in self.said if request.path.endswith(end)), key=len, default=None)
        said = Said(b"{}", 404) if path is None else self.said[path]
        headers = {"Content-Type": said.content_type} if said.content_type else {}
        return web.Response(body=said.body, status=said.status, headers=headers)


SomeVendor = TypeVar("SomeVendor", bound=Vendor)


@asynccontextmanager
async def vendor(kind: type[SomeVendor] = Vendor) -> AsyncIterator[SomeVendor]:
    """A running vendor."""
    running = kind("")
    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", running.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    running.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield running
    finally:
        await runner.cleanup()


async def ask(adapter: Adapter, queries: Sequence[Query]) -> Sequence[Answer | ProviderError]:
    """What an adapter says to one query, or to several in one call. Any other exception than a ProviderError, an answer
    that cannot be stored, and one that comes too late is a failure of the test."""
    said: Sequence[Answer | ProviderError]
    async with asyncio.timeout(adapter.timeout_seconds):
        try:
            if len(queries) == 1:
                said = [await adapter.look_up(queries[0])]
            else:
                assert isinstance(adapter, BulkAdapter)
                said = await adapter.look_up_many(queries)
        except ProviderError as error:
            said = [error] * len(queries)
    assert len(said) == len(queries)
    for query, each in zip(queries, said, strict=True):
        _check(adapter, query, each)
    return said


def _check(adapter: Adapter, query: Query, said: Answer | ProviderError) -> None:
    assert isinstance(said, Found | Missed | Pending | Unreachable | ProviderError), said
    if isinstance(said, ProviderError):
        assert said.provider == adapter.name
        assert len(str(said)) < 300
    if isinstance(said, Pending):
        assert said.handle
        assert 0 <= said.retry_after < 86_400
    if isinstance(said, Found):
        assert said.values
        assert said.raw is None or isinstance(said.raw, bytes)
        assert said.values.keys() <= set(adapter.capabilities.fields[query.entity])
        assert query.fields is None or said.values.keys() <= set(query.fields)
        assert said.confidences.keys() <= said.values.keys()
        assert all(0 <= each <= 1 for each in (said.confidence, *said.confidences.values()))
        assert not any(value is None or value in ("", []) for value in said.values.values())
        stored = json.dumps(said.values, ensure_ascii=False, allow_nan=False)
        assert "\\u0000" not in stored
        stored.encode()  # no lone surrogate
