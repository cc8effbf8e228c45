"""Where a user's input must not lead, whatever the spelling and the detour."""

import socket

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from app.providers.addresses import AddressRefused, guarded_connector, guarded_socket, is_public
from app.providers.http import new_session
from tests.providers.sockets import TurningResolver, leading_to
from tests.providers.stubs import answer, serving

PRIVATE = [
    "0.0.0.0",  # noqa: S104 - an address among others
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.8.8.8",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # v4-compatible
    "::ffff:127.0.0.1",  # v4-mapped
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b::808:808",
    "64:ff9b:1::7f00:1",  # local NAT64
    "100::1",
    "2001::1",  # Teredo
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.215.14",
    "172.15.0.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_special_address_is_refused_where_the_socket_is_made(address: str):
    assert not is_public(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(AddressRefused):
        guarded_socket((family, socket.SOCK_STREAM, 0, "", (address, 443)))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_plain_global_address_gets_a_socket(address: str):
    assert is_public(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    guarded_socket((family, socket.SOCK_STREAM, 0, "", (address, 443))).close()


@pytest.mark.parametrize("port", [22, 25, 3306, 8080, 65535])
def test_other_ports_than_those_of_the_web_are_refused(port: int):
    with pytest.raises(AddressRefused):
        guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", port)))


@pytest.mark.parametrize("written", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", ""])
def test_what_is_no_canonical_address_is_not_judged(written: str):
    with pytest.raises(ValueError, match="does not appear to be"):
        is_public(written)


async def refused_by(resolver: AbstractResolver, url: str) -> OSError:
    async with new_session(guarded_connector(resolver, limit=10), {}) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as raised:
            await session.get(url, allow_redirects=True)
    return raised.value.os_error


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"])
async def test_a_literal_address_that_no_resolver_is_asked_about_is_refused(host: str):
    resolver = TurningResolver(["8.8.8.8"])
    assert isinstance(await refused_by(resolver, f"http://{host}/"), AddressRefused)
    assert resolver.asked == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:10.0.0.1", "2001:0:7f00:1::"]
)
async def test_a_name_that_resolves_to_a_special_address_is_refused(address: str):
    assert isinstance(await refused_by(TurningResolver([address]), "http://rebound.com/"), AddressRefused)


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0177.0.0.1"])
async def test_an_odd_spelling_of_an_address_is_refused(host: str):
    async with new_session(guarded_connector(TurningResolver(["127.0.0.1"]), limit=10), {}) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://{host}/")


async def test_a_hexadecimal_address_is_a_name_and_refused_for_what_it_resolves_to():
    assert isinstance(await refused_by(TurningResolver(["127.0.0.1"]), "http://0x7f000001/"), AddressRefused)


async def test_a_name_with_only_special_addresses_is_refused_for_all_of_them():
    refused = await refused_by(TurningResolver(["127.0.0.1", "::1", "10.0.0.1"]), "http://rebound.com/")
    assert refused.errno == AddressRefused().errno


async def test_a_name_is_resolved_and_checked_again_for_every_connection():
    """Rebinding: what was public at the first look is not at the second."""
    made: list[object] = []
    resolver = TurningResolver(["8.8.8.8"], ["127.0.0.1"])
    async with serving(answer(302, b"", "text/html", "Location: http://rebound.com/secret")) as server:
        connector = guarded_connector(resolver, limit=10, socket_factory=leading_to(server, made))
        async with new_session(connector, {}) as session:
            with pytest.raises(aiohttp.ClientConnectorError) as raised:
                await session.get("http://rebound.com/")
    assert isinstance(raised.value.os_error, AddressRefused)
    assert made == ["8.8.8.8", "127.0.0.1"]
    assert len(server.requests) == 1


async def test_a_redirect_to_a_literal_address_is_refused():
    made: list[object] = []
    async with serving(answer(302, b"", "text/html", "Location: http://169.254.169.254/latest/meta-data")) as server:
        connector = guarded_connector(TurningResolver(["8.8.8.8"]), limit=10, socket_factory=leading_to(server, made))
        async with new_session(connector, {}) as session:
            with pytest.raises(aiohttp.ClientConnectorError) as raised:
                await session.get("http://moved.com/")
    assert isinstance(raised.value.os_error, AddressRefused)
    assert made == ["8.8.8.8", "169.254.169.254"]
    assert len(server.requests) == 1
