"""DNS through one recursive resolver, with the one distinction that matters here: is the name broken, or the resolver?

DNS says both with SERVFAIL or with silence. So when a name gets no answer the resolver is asked for the root, which
every working one knows: whatever it says to that, other than SERVFAIL and REFUSED, the name was broken. What this
cannot tell is a resolver that fails for some questions at random; such a name counts as broken.

Replies that are malformed or answer another question are dropped unread, as RFC 5452 wants it against forgery, and so
look like silence. dnspython costs about 0.3 ms of CPU a query, a quarter of it for building and parsing messages.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
from aiohttp.abc import AbstractResolver, ResolveResult
from dns.rdata import Rdata

_ROOT_SECONDS = 1.0
_SICK = frozenset({dns.rcode.SERVFAIL, dns.rcode.REFUSED})


class NameFailure(OSError):
    """A name cannot be resolved, through no fault of the resolver. The text says why, for people."""


class NameAbsent(NameFailure):
    """The name does not exist (NXDOMAIN)."""

    def __init__(self) -> None:
        super().__init__("the domain does not exist")


class ResolverAway(OSError):
    """The resolver does not answer, or refuses to work: it says nothing about the name."""

    def __init__(self) -> None:
        super().__init__("the resolver does not answer")


class Resolver:
    """Asks the resolver at ``host:port`` (an address, not a name), or those of the system.

    Raises ValueError for another form of address.
    """

    def __init__(self, address: str | None, *, timeout_seconds: float) -> None:
        self._address = _host_and_port(address) if address is not None else None
        self._timeout_seconds = timeout_seconds
        self._opened: dns.asyncresolver.Resolver | None = None

    async def records(self, name: str, kind: dns.rdatatype.RdataType) -> Sequence[Any]:
        """The records of one kind at an absolute name, empty where there are none.

        Raises NameAbsent, NameFailure or ResolverAway, after `timeout_seconds` and a second more at the latest.
        """
        try:
            return await self._ask(dns.name.from_text(name), kind)
        except dns.resolver.NXDOMAIN:
            raise NameAbsent from None
        except dns.exception.Timeout:
            reason = "its name servers do not answer"
        except dns.resolver.NoNameservers:
            reason = "its name servers fail"
        except dns.exception.DNSException:
            raise NameFailure("the domain is no name of the DNS") from None
        if await self._is_well():
            raise NameFailure(reason)
        raise ResolverAway

    async def _ask(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType, lifetime: float | None = None
    ) -> Sequence[Rdata]:
        resolver = self._opened or self._open()
        answer = await resolver.resolve(name, kind, search=False, raise_on_no_answer=False, lifetime=lifetime)
        return tuple(answer.rrset or ())

    def _open(self) -> dns.asyncresolver.Resolver:
        if self._address is None:
            try:
                resolver = dns.asyncresolver.Resolver()
            except dns.resolver.NoResolverConfiguration:
                raise ResolverAway from None
        else:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers, resolver.port = [self._address[0]], self._address[1]
        resolver.lifetime = self._timeout_seconds
        self._opened = resolver
        return resolver

    async def _is_well(self) -> bool:
        try:
            await self._ask(dns.name.root, dns.rdatatype.NS, lifetime=min(_ROOT_SECONDS, self._timeout_seconds))
        except dns.resolver.NoNameservers as failure:
            # (server, over TCP, port, error, response) of each attempt.
            responses = [each[4] for each in failure.kwargs["errors"]]
            return any(response is not None and response.rcode() not in _SICK for response in responses)
        except dns.resolver.NXDOMAIN:
            return True
        except dns.exception.DNSException:
            return False
        return True


class HostResolver(AbstractResolver):
    """Resolves hosts for aiohttp without its threads, of which a few dead domains would hold all for seconds, and
    without ``/etc/hosts``, which names nothing that is public."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The IPv4 addresses before the IPv6 ones. Raises NameFailure or ResolverAway."""
        found = await asyncio.gather(
            *(
                self._resolver.records(host, kind)
                for kind, of in ((dns.rdatatype.A, socket.AF_INET), (dns.rdatatype.AAAA, socket.AF_INET6))
                if family in (socket.AF_UNSPEC, of)
            ),
            return_exceptions=True,
        )
        addresses = [each.address for records in found if not isinstance(records, BaseException) for each in records]
        if addresses:
            return [_result(host, port, address) for address in addresses]
        for failure in found:
            if isinstance(failure, BaseException):
                raise failure
        raise NameFailure("the domain has no address")

    async def close(self) -> None:
        """Nothing is held open."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be an address and a port, such as 127.0.0.1:53")
    return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), int(port)
