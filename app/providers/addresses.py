"""Which addresses a user's input may lead to, checked where the socket is made.

A check of the URL or of what the name resolves to comes too early: aiohttp asks no resolver for a literal address, a
redirect names another host, and a name may resolve to something else the next time. The maker of the socket sees the
final address of every attempt and every hop.
"""

import errno
import socket
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import aiohttp
from aiohttp.abc import AbstractResolver

PORTS = frozenset({80, 443})

# `ipaddress.is_global` is not enough: on 3.11 it is true of 64:ff9b::7f00:1, 2002:7f00:1::, ::127.0.0.1, fec0::1 and
# 224.0.0.1. These are the special-purpose registries of IANA, all that is not plain global unicast.
_REFUSED_V4 = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; metadata services at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public number that Azure uses for its host's metadata
        "169.254.0.0/16",  # link-local; metadata services at 169.254.169.254
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Outside of it lie loopback, v4-mapped and v4-compatible addresses, NAT64 (64:ff9b::/96), unique-local, link-local,
# site-local and multicast.
_GLOBAL_UNICAST_V6 = ip_network("2000::/3")
_REFUSED_V6 = tuple(
    ip_network(network)
    for network in (
        "2001::/23",  # IETF protocols, Teredo (2001::/32) among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)


class AddressRefused(PermissionError):
    """The address or the port is none that a user's input may lead to. `errno` is EACCES."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the address is not public")


def is_public(address: str | IPv4Address | IPv6Address) -> bool:
    """Whether an address is plain global unicast, without another address embedded in it.

    Raises ValueError for what is no canonical address, such as ``127.1`` or ``0x7f000001``.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _REFUSED_V4)
    return ip.scope_id is None and ip in _GLOBAL_UNICAST_V6 and not any(ip in network for network in _REFUSED_V6)


def guarded_socket(info: aiohttp.AddrInfoType, ports: Collection[int] = PORTS) -> socket.socket:
    """A socket for an address that may be connected to, at one of `ports`. Raises AddressRefused for the others."""
    family, kind, protocol, _, target = info
    host, port = target[0], target[1]
    if port not in ports or not isinstance(host, str) or not is_public(host):
        raise AddressRefused
    return socket.socket(family, kind, protocol)


def guarded_connector(
    resolver: AbstractResolver,
    *,
    limit: int,
    socket_factory: Callable[[aiohttp.AddrInfoType], socket.socket] = guarded_socket,
) -> aiohttp.TCPConnector:
    """A connector for hosts that a user's input names. It keeps no connection for later, since nobody asks a host for
    more than its rules and a page, and no answer of the resolver: each connection is made to an address that was just
    checked."""
    return aiohttp.TCPConnector(
        resolver=resolver, use_dns_cache=False, socket_factory=socket_factory, limit=limit, force_close=True
    )
