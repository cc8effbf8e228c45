"""The company's own home page (docs/providers.md, websites).

The input names the host, so whatever is wrong with that host is the result `Unreachable` and says nothing about a
provider: there is none. What is ours, and an outage, is the resolver and, where one is set, the base URL.
"""

import errno
import re
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

import aiohttp
from aiohttp import hdrs
from protego import Protego
from yarl import URL

from app.deadline import Deadline
from app.provider_settings import ProviderSettings
from app.providers import normalise
from app.providers.adapters.webpage import FIELDS, Page
from app.providers.addresses import PORTS, AddressRefused, guarded_connector
from app.providers.errors import Outage
from app.providers.http import TRANSPORT_ERRORS, USER_AGENT, BodyTooLarge, new_session, read_body
from app.providers.ports import Answer, Capabilities, Found, Missed, Query, Unreachable
from app.providers.resolver import HostResolver, NameFailure, Resolver, ResolverAway

PAGE_BYTES = 5 * 1024 * 1024
REDIRECTS = 5
# What of a robots.txt is read (RFC 9309, 2.5), and the name that we have in one: that of our User-Agent.
ROBOTS_BYTES = 500 * 1024
ROBOT = USER_AGENT.partition("/")[0]

_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_PAGE_TYPES = frozenset({"", "text/html", "application/xhtml+xml"})
# The encodings of the web. Others that Python knows are no encodings of text, or slow enough to be an attack.
_CHARSETS = re.compile(r"(?i)utf-?16(le|be)?|iso-8859-\d+|windows-\d+|koi8-[ru]|gbk|gb\d+|big5|euc-\w+|shift_jis")
_NAME_SECONDS = 5.0
# This machine has run out of something: it says nothing about the host.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
# The adapter ends a visit itself, as a result; the gate's limit is for what should not happen.
_GRACE_SECONDS = 5.0


class _Unusable(Exception):
    """The host gave no page. The text says why, for people."""


class _NoConnection(_Unusable):
    """Nothing listens, or not for TLS that can be trusted."""


Read = TypeVar("Read")
# What the robots.txt of each origin says, for the time of one visit.
Rules = dict[URL, Protego]


class _Response(NamedTuple, Generic[Read]):
    """What was read of an answer, None for a redirect and where it leads."""

    content: Read | None
    location: str


class Website:
    """Companies by domain: the page at ``https://<domain>/``, or at ``http://`` where no TLS connection can be made.

    No page is asked for that the robots.txt of its host keeps us out of, by our name or as anybody (RFC 9309). It is
    one page a visit, so that no delay between pages matters.

    With a base URL the page is fetched from ``{base_url}/{scheme}/{host}{path}``, redirects likewise, and no other host
    than that of the base URL is ever connected to.
    """

    name = "website"
    capabilities = Capabilities(
        fields={"company": FIELDS},
        needs={"company": (frozenset({"domain"}),)},
        requires_credential=False,
        asks_named_hosts=True,
    )

    def __init__(
        self, settings: ProviderSettings, *, make_connector: Callable[[], aiohttp.BaseConnector] | None = None
    ) -> None:
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds + _GRACE_SECONDS
        self._visit_time = Deadline(settings.timeout_seconds)
        self._base_url = settings.base_url.rstrip("/") if settings.base_url else None
        self._concurrency = settings.concurrency
        self._make_connector = make_connector or self._connector
        self._session: aiohttp.ClientSession | None = None

    async def look_up(self, query: Query) -> Answer:
        """Visit the home page and read it.

        Found, Missed for a page that says nothing, Unreachable for all that is wrong with the host. Raises Outage where
        the resolver or the base URL is away, or this machine out of sockets.
        """
        domain = query.subject["domain"]
        try:
            with self._visit_time.running():
                page = await self._visit(domain)
        except TimeoutError:
            return Unreachable(f"no page within {self._visit_time.seconds:g} s")
        except _Unusable as reason:
            return Unreachable(str(reason))
        values, confidences = page.company()
        # Not the page as `raw`: it is public, as large as a thousand answers, and not about this company alone.
        return Found(values, confidences=confidences) if values else Missed()

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _visit(self, domain: str) -> Page:
        rules: Rules = {}
        try:
            return await self._page(URL(f"https://{domain}/", encoded=True), rules)
        except _NoConnection:
            return await self._page(URL(f"http://{domain}/", encoded=True), rules)

    async def _page(self, address: URL, rules: Rules) -> Page:
        for _ in range(REDIRECTS + 1):
            await self._ask_leave(address, rules)
            html, location = await self._get(address, _html)
            if html is not None:
                return Page(html, address)
            address = _joined(address, location)
        raise _Unusable(f"more than {REDIRECTS} redirects")

    async def _ask_leave(self, address: URL, rules: Rules) -> None:
        """Raises _Unusable where the robots.txt of the host keeps us from this page, or cannot be had."""
        _require_public(address)
        origin = address.origin()
        if origin not in rules:
            rules[origin] = await self._robots(origin / "robots.txt", rules)
        if not rules[origin].can_fetch(str(address), ROBOT):
            raise _Unusable("its robots.txt keeps us out")

    async def _robots(self, address: URL, rules: Rules) -> Protego:
        for _ in range(REDIRECTS + 1):
            found, location = await self._get(address, _robots)
            if found is not None:
                if address.raw_path == "/robots.txt":
                    rules[address.origin()] = found
                return found
            address = _joined(address, location)
        return Protego.parse("")

    async def _get(self, address: URL, read: Callable[[aiohttp.ClientResponse], Awaitable[Read]]) -> _Response[Read]:
        _require_public(address)
        target = address
        if self._base_url is not None:
            target = URL(f"{self._base_url}/{address.scheme}/{address.raw_host}{address.raw_path_qs}", encoded=True)
        session = self._session or self._open()
        try:
            async with session.get(target, allow_redirects=False) as response:
                if response.status in _REDIRECT_STATUSES and (location := response.headers.get(hdrs.LOCATION)):
                    return _Response(None, location)
                return _Response(await read(response), "")
        except BodyTooLarge:
            reason = _Unusable(f"the page is larger than {PAGE_BYTES} bytes")
        except TRANSPORT_ERRORS as error:
            reason = self._unusable(error)
        raise reason

    def _unusable(self, error: BaseException) -> _Unusable:
        """What a transport error means. Raises Outage for one of our own making."""
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
        if isinstance(cause, ResolverAway):
            raise Outage(self.name, str(cause)) from None
        if cause is not None and cause.errno in _OURS:
            raise Outage(self.name, "this machine has no sockets left") from None
        if cause is not None and self._base_url is not None:
            raise Outage(self.name, "no connection to the base URL can be made") from None
        match error:
            case _ if isinstance(cause, NameFailure):
                return _Unusable(str(cause))
            case _ if isinstance(cause, AddressRefused):
                return _Unusable("its address is not public")
            case aiohttp.ClientSSLError():
                return _NoConnection("no TLS connection can be made")
            case aiohttp.ClientConnectorError():
                return _NoConnection("no connection can be made")
            case aiohttp.ClientResponseError() | aiohttp.InvalidURL():
                return _Unusable("what it sends is not HTTP")
        return _Unusable("the connection broke")

    def _open(self) -> aiohttp.ClientSession:
        self._session = new_session(self._make_connector(), {hdrs.ACCEPT: "text/html,application/xhtml+xml"})
        return self._session

    def _connector(self) -> aiohttp.BaseConnector:
        if self._base_url is not None:
            return aiohttp.TCPConnector(limit=self._concurrency)
        resolver = HostResolver(Resolver(None, timeout_seconds=_NAME_SECONDS))
        return guarded_connector(resolver, limit=self._concurrency)


def _require_public(address: URL) -> None:
    """The same rule as where the socket is made, told apart from it because a base URL makes other sockets. Raises
    _Unusable."""
    if (
        address.scheme not in ("http", "https")
        or address.port not in PORTS
        or normalise.domain(address.raw_host) is None
    ):
        raise _Unusable("it leads to an address that is not public")


def _joined(address: URL, location: str) -> URL:
    """Where a redirect leads. Raises _Unusable."""
    try:
        return address.join(URL(location)).with_fragment(None)
    except ValueError:
        raise _Unusable("it redirects to what is no address") from None


async def _robots(response: aiohttp.ClientResponse) -> Protego:
    """The rules in a robots.txt, none where there is no such file. Raises _Unusable where the host does not work."""
    if response.status >= 500:
        raise _Unusable(f"its robots.txt cannot be had (status {response.status})")
    text = b""
    if 200 <= response.status < 300:
        async for chunk in response.content.iter_any():
            text += chunk
            if len(text) >= ROBOTS_BYTES:
                break
    return Protego.parse(text[:ROBOTS_BYTES].decode("utf-8-sig", "replace"))


async def _html(response: aiohttp.ClientResponse) -> bytes | str:
    """The page, decoded where its header names an encoding: the page's own declaration is the parser's business."""
    if response.status != 200:
        raise _Unusable(f"status {response.status}")
    content_type = response.headers.get(hdrs.CONTENT_TYPE, "")
    if content_type.partition(";")[0].strip().lower() not in _PAGE_TYPES:
        raise _Unusable("it is no web page")
    body = await read_body(response, PAGE_BYTES)
    charset = response.charset or ""
    if _CHARSETS.fullmatch(charset):
        try:
            return body.decode(charset, "replace")
        except LookupError:
            return body
    return body
