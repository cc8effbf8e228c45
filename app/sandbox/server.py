"""The running sandbox: the registry of emulators, the sockets, and the way from a request to a station."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.sandbox.apollo import Apollo, ApolloOptions
from app.sandbox.calls import Calls
from app.sandbox.clearbit_vendor import Clearbit, ClearbitOptions
from app.sandbox.companies import Companies
from app.sandbox.control import Control
from app.sandbox.dns import Dns, DnsOptions
from app.sandbox.edgar import Edgar, EdgarOptions
from app.sandbox.emulator import Answer, Emulator, Request, encode, http_answer
from app.sandbox.github import Github, GithubOptions
from app.sandbox.gleif import Gleif, GleifOptions
from app.sandbox.hunter import Hunter, HunterOptions
from app.sandbox.options import Options
from app.sandbox.peopledatalabs import PeopleDataLabs, PeopleDataLabsOptions
from app.sandbox.protocol import Doorman, HttpProtocol
from app.sandbox.rdap import Rdap, RdapOptions
from app.sandbox.resolver import DatagramResolver, StreamResolver
from app.sandbox.station import Station
from app.sandbox.website import Website, WebsiteOptions
from app.sandbox.wikidata import Wikidata, WikidataOptions

LOOPBACK = "127.0.0.1"
BACKLOG = 1024

DNS = "dns"


class Vendor(NamedTuple):
    """How an emulator is built: its class and the class of its options."""

    emulator: Callable[[Companies, Calls, Any], Emulator[Any]]
    options: Callable[..., Options]


# A new vendor is a line here. All but dns are served below their name as path prefix.
VENDORS: Mapping[str, Vendor] = {
    "hunter": Vendor(Hunter, HunterOptions),
    "apollo": Vendor(Apollo, ApolloOptions),
    "clearbit": Vendor(Clearbit, ClearbitOptions),
    "peopledatalabs": Vendor(PeopleDataLabs, PeopleDataLabsOptions),
    "website": Vendor(Website, WebsiteOptions),
    "gleif": Vendor(Gleif, GleifOptions),
    "wikidata": Vendor(Wikidata, WikidataOptions),
    "edgar": Vendor(Edgar, EdgarOptions),
    "github": Vendor(Github, GithubOptions),
    "rdap": Vendor(Rdap, RdapOptions),
    DNS: Vendor(Dns, DnsOptions),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """Ports, base latency of every provider, and the seed of the invented world.

    Port 0 is any free one for HTTP and the number of the HTTP port for DNS. Both may have the same number,
    since their TCP connections are told apart by the first byte.
    """

    http_port: int = 0
    dns_port: int = 0
    latency_ms: float = 0.0
    seed: int = 0


class Router:
    """Finds the station of a request by the first part of its path."""

    def __init__(self, stations: Mapping[str, Station[Any]], control: Control) -> None:
        self._stations = {name: station for name, station in stations.items() if name != DNS}
        self._control = control

    def __call__(self, request: Request) -> tuple[Answer, float]:
        """The answer and the seconds to wait before it goes out."""
        target = request.target
        end = target.find("/", 1)
        station = self._stations.get(target[1:end]) if end > 0 else None
        if station is not None:
            return station.receive(Request(request.method, target[end:], request.headers, request.body))
        if target.startswith("/_"):
            return self._control.handle(request), 0.0
        said = f"the sandbox has {', '.join(f'/{name}/' for name in self._stations)} and /_health"
        return http_answer(404, encode({"error": said})), 0.0


class Sandbox:
    """A running sandbox. Close it in the loop it was made in."""

    def __init__(
        self,
        http_port: int,
        dns_port: int,
        servers: list[asyncio.Server],
        datagrams: asyncio.DatagramTransport,
        connections: set[asyncio.Transport],
    ) -> None:
        self.http_port = http_port
        self.dns_port = dns_port
        self._servers = servers
        self._datagrams = datagrams
        self._connections = connections

    @property
    def url(self) -> str:
        """Where the providers' prefixes and the control interface are."""
        return f"http://{LOOPBACK}:{self.http_port}"

    async def close(self) -> None:
        """Stop listening and cut every connection, also those that wait for an answer."""
        for server in self._servers:
            server.close()
        self._datagrams.abort()
        for connection in list(self._connections):
            connection.abort()
        for server in self._servers:
            await server.wait_closed()
        # Cut transports tell their protocols in the next turn of the loop; who closes wants that behind them.
        await asyncio.sleep(0)


async def serve(options: SandboxOptions) -> Sandbox:
    """Start a sandbox in the running loop; raises OSError when a port is taken."""
    loop = asyncio.get_running_loop()
    companies = Companies(options.seed)
    stations: dict[str, Station[Any]] = {}
    for name, vendor in VENDORS.items():
        calls = Calls()
        emulator = vendor.emulator(companies, calls, vendor.options(latency_ms=options.latency_ms))
        stations[name] = Station(emulator, calls, loop.time)
    router = Router(stations, Control(stations, options.seed, loop.time))
    connections: set[asyncio.Transport] = set()

    def http() -> HttpProtocol:
        return HttpProtocol(router, connections)

    def dns() -> StreamResolver:
        return StreamResolver(stations[DNS], connections)

    server = await loop.create_server(
        lambda: Doorman(http, dns, connections), LOOPBACK, options.http_port, backlog=BACKLOG
    )
    servers = [server]
    http_port: int = server.sockets[0].getsockname()[1]
    dns_port = options.dns_port or http_port
    try:
        if dns_port != http_port:
            servers.append(await loop.create_server(dns, LOOPBACK, dns_port, backlog=BACKLOG))
        datagrams, _ = await loop.create_datagram_endpoint(
            lambda: DatagramResolver(stations[DNS]), local_addr=(LOOPBACK, dns_port)
        )
    except OSError:
        for started in servers:
            started.close()
        raise
    return Sandbox(http_port, dns_port, servers, datagrams, connections)
