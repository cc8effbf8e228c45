"""The deliverer: one POST to an address that a user names, whatever is there.

The address is checked where the socket is made (app/providers/addresses.py), at every attempt. A connection is kept for
two seconds, which serves a burst of events; a longer idle one is more likely to break under the next.
"""

import errno
from collections.abc import Callable, Mapping
from functools import partial

import aiohttp
from aiohttp import hdrs
from yarl import URL

from app.deadline import Deadline
from app.providers.addresses import PORTS, guarded_socket
from app.providers.http import HttpAnswer, new_session, retry_after
from app.providers.ports import DeliveryError, Posted
from app.providers.resolver import HostResolver, Resolver
from app.settings import WebhookSettings

USER_AGENT = "Holdfast/0.1 (webhooks)"
# What is read of an answer, and what is kept of it.
ANSWER_BYTES = 64 * 1024
KEPT_BYTES = 1024

_NAME_SECONDS = 5.0
_KEEPALIVE_SECONDS = 2.0
_GONE, _TOO_MANY, _UNAVAILABLE = 410, 429, 503


class HttpDeliverer:
    """The session opens with the first POST, so that one can be made outside an event loop."""

    def __init__(
        self, settings: WebhookSettings, *, make_connector: Callable[[], aiohttp.BaseConnector] | None = None
    ) -> None:
        self._allows_private = settings.allow_private
        self._ports = PORTS | set(settings.allowed_ports)
        self._time = Deadline(settings.timeout_seconds)
        self._make_connector = make_connector or self._connector
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        try:
            address = URL(url)
        except ValueError:
            return Posted(error="invalid_url")
        if not self._allows_private and address.scheme != "https":
            return Posted(error="address_refused")
        begun = _Begun()
        try:
            with self._time.running():
                return await self._post(address, body, headers, begun)
        except TimeoutError:
            failure: DeliveryError = "timeout"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = _failure(error)
        return Posted(begun.status, failure, bytes(begun.answer))

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, address: URL, body: bytes, headers: Mapping[str, str], begun: "_Begun") -> Posted:
        session = self._session or self._open()
        async with session.post(address, data=body, headers=headers, allow_redirects=False) as response:
            begun.status = response.status
            size = 0
            async for chunk in response.content.iter_any():
                size += len(chunk)
                begun.answer += chunk[: KEPT_BYTES - len(begun.answer)]
                if size > ANSWER_BYTES:
                    # The rest is not read: the connection is of no more use.
                    response.close()
                    return Posted(response.status, "answer_too_large", bytes(begun.answer))
        return _posted(HttpAnswer(response.status, response.headers, bytes(begun.answer)))

    def _open(self) -> aiohttp.ClientSession:
        # What nobody packed need not be unpacked: an answer is a few bytes.
        headers: dict[str, str] = {
            hdrs.USER_AGENT: USER_AGENT,
            hdrs.CONTENT_TYPE: "application/json",
            hdrs.ACCEPT_ENCODING: "identity",
        }
        self._session = new_session(self._make_connector(), headers)
        return self._session

    def _connector(self) -> aiohttp.TCPConnector:
        # How many there may be is the business of each endpoint.
        if self._allows_private:
            return aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS)
        return aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            resolver=HostResolver(Resolver(None, timeout_seconds=_NAME_SECONDS)),
            use_dns_cache=False,
            socket_factory=partial(guarded_socket, ports=self._ports),
        )


class _Begun:
    """What is known of an answer that has begun."""

    __slots__ = ("answer", "status")

    def __init__(self) -> None:
        self.status: int | None = None
        self.answer = bytearray()


def _posted(answer: HttpAnswer) -> Posted:
    status = answer.status
    if 200 <= status < 300:
        return Posted(status, None, answer.body)
    failure: DeliveryError = "status"
    if 300 <= status < 400:
        failure = "redirected"
    elif status == _GONE:
        failure = "gone"
    elif status == _TOO_MANY:
        failure = "throttled"
    wait = retry_after(answer) if status in (_TOO_MANY, _UNAVAILABLE) else None
    return Posted(status, failure, answer.body, wait)


def _failure(error: Exception) -> DeliveryError:
    match error:
        case aiohttp.InvalidURL():
            return "invalid_url"
        case aiohttp.ClientConnectorDNSError():
            return "name_not_resolved"
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return "tls_failed"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=errno.EACCES)):
            return "address_refused"
        case aiohttp.ClientConnectorError():
            return "not_connected"
        case aiohttp.ClientResponseError():
            return "not_http"
    return "answer_broken"
