"""HTTP to providers: the one maker of aiohttp sessions, and the one reading of what can go wrong below an answer.

A request is made exactly once. aiohttp would repeat a GET whose connection broke, which buys a second time what the
vendor may have sold already; retries belong to Temporal.

Measured per call against a local server (66 µs in all, 13 of them `json.loads`): aiohttp's own timers cost 6 µs, its
cookie jar, `params=`, decompression and header options cost nothing that can be seen. So the timers are off, the gate
bounds every call, and the rest is plain. A session per adapter costs the same as a shared one and keeps keys apart.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlencode

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession, hdrs
from yarl import URL

from app.providers.errors import Malformed, Outage, ProviderError, Refusal, Transient

USER_AGENT = "Holdfast/0.1 (enrichment of business records)"
# What a vendor may send: a hundred times the largest answer that their documents show.
ANSWER_BYTES = 4 * 1024 * 1024

# What aiohttp raises for a request that did not get a whole answer.
TRANSPORT_ERRORS = (aiohttp.ClientError, OSError, TimeoutError)

_NO_TIMERS = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class HttpAnswer(NamedTuple):
    """A whole answer. Header names are matched in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BodyTooLarge(Exception):
    """More came than was allowed; the rest was not read."""


class VendorClient:
    """HTTP to one vendor's API. `headers` go with every request and may hold the key; nothing else shows them.

    The session opens with the first call, so that a client can be made outside an event loop.
    """

    def __init__(self, provider: str, base_url: str, *, headers: Mapping[str, str], concurrency: int) -> None:
        self.provider = provider
        self._base_url = base_url.rstrip("/")
        self._headers = headers
        self._concurrency = concurrency
        self._session: ClientSession | None = None

    async def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> HttpAnswer:
        """One attempt. `path` begins with a slash and is put after the base URL; redirects are not followed. `headers`
        replace those of the same name that go with every request, which say what a `body` is.

        Raises Outage where the vendor cannot be reached, Transient where the connection breaks before the answer is
        whole, Malformed for what is no HTTP or larger than ANSWER_BYTES.
        """
        session = self._session or self._open()
        address = URL(f"{self._base_url}{path}?{urlencode(params, safe='@:')}", encoded=True)
        return await exchange(session, self.provider, method, address, headers, body)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> ClientSession:
        connector = aiohttp.TCPConnector(limit=self._concurrency)
        self._session = new_session(connector, {hdrs.ACCEPT: "application/json", **self._headers})
        return self._session


async def exchange(
    session: ClientSession,
    provider: str,
    method: str,
    address: URL,
    headers: Mapping[str, str] | None = None,
    body: bytes | str | None = None,
    *,
    limit: int = ANSWER_BYTES,
) -> HttpAnswer:
    """One attempt, without following redirects. `headers` replace those of the same name of the session.

    Raises Outage where the vendor cannot be reached, Transient where the connection breaks before the answer is whole,
    Malformed for what is no HTTP or larger than `limit` bytes.
    """
    failure: ProviderError
    try:
        async with session.request(method, address, headers=headers, data=body, allow_redirects=False) as response:
            return HttpAnswer(response.status, response.headers, await read_body(response, limit))
    except BodyTooLarge:
        failure = Malformed(provider, f"the answer is larger than {limit} bytes")
    except TRANSPORT_ERRORS as error:
        failure = transport_failure(provider, error)
    # Raised here and not above: an aiohttp error shows the request with its headers and must not be the context.
    raise failure


def new_session(connector: aiohttp.BaseConnector, headers: Mapping[str, str]) -> ClientSession:
    """A session that keeps no cookies, reads no proxy or password from the environment, never repeats a request and
    has no time limit of its own: the caller bounds each call. It owns the connector."""
    return ClientSession(
        connector=connector,
        headers={hdrs.USER_AGENT: USER_AGENT, **headers},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        timeout=_NO_TIMERS,
        middlewares=(_once,),
    )


async def read_body(response: ClientResponse, limit: int) -> bytes:
    """The body, decompressed. Raises BodyTooLarge past `limit` bytes, having read little more than that."""
    length = response.content_length
    if length is not None and length > limit:
        raise BodyTooLarge
    if length is not None and hdrs.CONTENT_ENCODING not in response.headers:
        return await response.read()
    # No length, or one that says nothing about what comes out of the decompressor.
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def transport_failure(provider: str, error: BaseException) -> ProviderError:
    """What an aiohttp error means of a vendor's host. Its text is never passed on: it may hold the URL with a person's
    address, or the headers with the key."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Outage(provider, "the host name does not resolve")
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return Outage(provider, "no TLS connection can be made")
        case aiohttp.ClientConnectorError():
            return Outage(provider, "no connection can be made")
        case aiohttp.ClientResponseError():
            return Malformed(provider, "the answer is not HTTP")
        case aiohttp.ClientPayloadError():
            return Transient(provider, "the answer broke off")
    return Transient(provider, "the connection broke before an answer came")


def user_agent(contact: str) -> str:
    """USER_AGENT with the mail address of whom to write to, which public sources ask for."""
    return f"{USER_AGENT.removesuffix(')')}; {contact})"


def status_failure(provider: str, answer: HttpAnswer) -> ProviderError:
    """What a status means that the vendor's documents give no meaning of its own: 503 is an outage, another 5xx a
    failed call, anything else an answer that cannot be read."""
    if answer.status >= 500:
        kind: type[Refusal] = Outage if answer.status == 503 else Transient
        return kind(provider, f"status {answer.status}", retry_after=retry_after(answer))
    return Malformed(provider, f"status {answer.status} means nothing here")


def is_json(answer: HttpAnswer) -> bool:
    """Whether the answer says of itself that it is JSON."""
    return "json" in answer.headers.get(hdrs.CONTENT_TYPE, "").lower()


def retry_after(answer: HttpAnswer) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date (RFC 9110); None where it is of no use."""
    value = answer.headers.get(hdrs.RETRY_AFTER, "").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    with suppress(ValueError, TypeError):
        until = parsedate_to_datetime(value)
        return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None


def seconds_until(answer: HttpAnswer, moment: datetime) -> float | None:
    """Seconds from the answer to a moment that it names, by the vendor's own clock where it tells the time (the Date
    of RFC 9110) and else by ours; None where the moment is over."""
    now = datetime.now(UTC)
    with suppress(ValueError, TypeError):
        told = parsedate_to_datetime(answer.headers.get(hdrs.DATE, ""))
        now = told.replace(tzinfo=told.tzinfo or UTC)
    left = (moment - now).total_seconds()
    return left if left > 0 else None


class _BrokenConnection(aiohttp.ClientError):
    """A connection that broke, in a class that aiohttp does not answer with a second request."""


async def _once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp does not repeat it
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenConnection from error
