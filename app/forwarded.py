"""Who sent a request, when proxies stand in between: only what proxies say that the settings name is believed."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Client(NamedTuple):
    """`address` is None where the peer has none (a Unix socket). `tls`: the request came to us, or to our proxies, by
    TLS."""

    address: str | None
    tls: bool


class TrustedProxies:
    """The proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises ValueError for what is neither an address nor a network."""
        self._networks: Sequence[Network] = tuple(ip_network(each) for each in networks)

    def client(self, peer: str | None, scheme: str, forwarded_for: str, forwarded_proto: str) -> Client:
        """Who sent a request that came from `peer`.

        X-Forwarded-For is read from its right end, where the proxy next to us wrote, as long as the one before is
        trusted. What follows an entry that is no address was written by whoever wanted to be believed.
        """
        address = _address(peer or "")
        if address is None or not self._trusts(address):
            return Client(_text(address), scheme == "https")
        proto = forwarded_proto.rpartition(",")[2].strip().lower()
        for entry in reversed(forwarded_for.split(",")):
            before = _address(entry)
            if before is None:
                break
            address = before
            if not self._trusts(address):
                break
        return Client(_text(address), (proto or scheme) == "https")

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)


@lru_cache(maxsize=1024)
def _address(text: str) -> Address | None:
    """Also with a port, as some proxies write it. An IPv4 address inside of an IPv6 one is itself."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
