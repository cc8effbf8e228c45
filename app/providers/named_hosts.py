"""HTTP to hosts that the input names, and not the installation: only to public addresses, and what is wrong with one
of them says nothing about a provider.

What is ours, and an outage, is a resolver that is away and a machine that has run out of sockets.
"""

import errno
from collections.abc import Callable, Mapping

import aiohttp
from yarl import URL

from app.providers import normalise
from app.providers.addresses import PORTS, AddressRefused, guarded_connector
from app.providers.errors import Outage
from app.providers.http import ANSWER_BYTES, TRANSPORT_ERRORS, BodyTooLarge, HttpAnswer, new_session, read_body
from app.providers.resolver import HostResolver, NameFailure, Resolver, ResolverAway

_NAME_SECONDS = 5.0
# This machine has run out of something: it says nothing about the host.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


class HostFailed(Exception):
    """The host gave no whole answer. The text says why, for people."""


class NamedHosts:
    """GET from any public host. `headers` go with every request; `make_connector` is how tests bring their own."""

    def __init__(
        self,
        provider: str,
        *,
        headers: Mapping[str, str],
        concurrency: int,
        make_connector: Callable[[], aiohttp.BaseConnector] | None = None,
    ) -> None:
        self._provider = provider
        self._headers = headers
        self._concurrency = concurrency
        self._make_connector = make_connector or self._connector
        self._session: aiohttp.ClientSession | None = None

    async def get(self, address: URL) -> HttpAnswer:
        """One attempt; redirects are not followed.

        Raises HostFailed for all that is wrong with the host or with its address, Outage where the resolver is away or
        this machine out of sockets.
        """
        if (
            address.scheme not in ("http", "https")
            or address.port not in PORTS
            or normalise.domain(address.raw_host) is None
        ):
            raise HostFailed("its address is not public")
        session = self._session or self._open()
        try:
            async with session.get(address, allow_redirects=False) as response:
                return HttpAnswer(response.status, response.headers, await read_body(response, ANSWER_BYTES))
        except BodyTooLarge:
            failure = HostFailed(f"the answer is larger than {ANSWER_BYTES} bytes")
        except TRANSPORT_ERRORS as error:
            failure = self._failure(error)
        raise failure

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _failure(self, error: BaseException) -> HostFailed:
        """What a transport error means. Raises Outage for one of our own making."""
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
        if isinstance(cause, ResolverAway):
            raise Outage(self._provider, str(cause)) from None
        if cause is not None and cause.errno in _OURS:
            raise Outage(self._provider, "this machine has no sockets left") from None
        match error:
            case _ if isinstance(cause, NameFailure):
                return HostFailed(str(cause))
            case _ if isinstance(cause, AddressRefused):
                return HostFailed("its address is not public")
            case aiohttp.ClientSSLError():
                return HostFailed("no TLS connection can be made")
            case aiohttp.ClientConnectorError():
                return HostFailed("no connection can be made")
            case aiohttp.ClientResponseError() | aiohttp.InvalidURL():
                return HostFailed("what it sends is not HTTP")
        return HostFailed("the connection broke")

    def _open(self) -> aiohttp.ClientSession:
        self._session = new_session(self._make_connector(), self._headers)
        return self._session

    def _connector(self) -> aiohttp.BaseConnector:
        resolver = HostResolver(Resolver(None, timeout_seconds=_NAME_SECONDS))
        return guarded_connector(resolver, limit=self._concurrency)
