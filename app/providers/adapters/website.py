"""The company's own home page (docs/providers.md, websites).

The input names the host, so whatever is wrong with that host is the result `Unreachable` and says nothing about a
provider: there is none. What is ours, and an outage, is the resolver and, where one is set, the base URL.
"""

import errno
import re
from collections.abc import Callable
from typing import NamedTuple

import aiohttp
from aiohttp import hdrs
from yarl import URL

from app.deadline import Deadline
from app.providers import normalise
from app.providers.adapters.webpage import FIELDS, Page
from app.providers.addresses import PORTS, AddressRefused, guarded_connector
from app.providers.errors import Outage
from app.providers.http import TRANSPORT_ERRORS, BodyTooLarge, new_session, read_body
from app.providers.ports import Answer, Capabilities, Found, Missed, Query, Unreachable
from app.providers.resolver import HostResolver, NameFailure, Resolver, ResolverAway
from app.settings import ProviderSettings

PAGE_BYTES = 5 * 1024 * 1024
REDIRECTS = 5

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


class _Response(NamedTuple):
    page: Page | None
    location: str


class Website:
    """Companies by domain: the page at ``https://<domain>/``, or at ``http://`` where no TLS connection can be made.

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
        return Found(values, confidences=confidences) if values else Missed()

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _visit(self, domain: str) -> Page:
        try:
            return await self._follow(URL(f"https://{domain}/", encoded=True))
        except _NoConnection:
            return await self._follow(URL(f"http://{domain}/", encoded=True))

    async def _follow(self, address: URL) -> Page:
        for _ in range(REDIRECTS + 1):
            response = await self._get(address)
            if response.page is not None:
                return response.page
            try:
                address = address.join(URL(response.location)).with_fragment(None)
            except ValueError:
                raise _Unusable("it redirects to what is no address") from None
        raise _Unusable(f"more than {REDIRECTS} redirects")

    async def _get(self, address: URL) -> _Response:
        # The same rule as where the socket is made, told apart from it because a base URL makes other sockets.
        if (
            address.scheme not in ("http", "https")
            or address.port not in PORTS
            or normalise.domain(address.raw_host) is None
        ):
            raise _Unusable("it leads to an address that is not public")
        target = address
        if self._base_url is not None:
            target = URL(f"{self._base_url}/{address.scheme}/{address.raw_host}{address.raw_path_qs}", encoded=True)
        session = self._session or self._open()
        try:
            async with session.get(target, allow_redirects=False) as response:
                if response.status in _REDIRECT_STATUSES and (location := response.headers.get(hdrs.LOCATION)):
                    return _Response(None, location)
                return _Response(Page(await _html(response), address), "")
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
