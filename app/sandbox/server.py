"""The running sandbox: the registry of emulators, the sockets, and the way from a request to a station."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
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
from app.sandbox.station import LastingStation, Station
from app.sandbox.stripe import Stripe
from app.sandbox.stripe_options import StripeOptions
from app.sandbox.website import Website, WebsiteOptions
from app.sandbox.wikidata import Wikidata, WikidataOptions

LOOPBACK = "127.0.0.1"
BACKLOG = 1024

DNS = "dns"
STRIPE = "stripe"


class Vendor(NamedTuple):
    """How an emulator is built: its class, the class of its options and that of its station."""

    emulator: Callable[[Companies, Calls, Any], Emulator[Any]]
    options: Callable[..., Options]
    station: Callable[[Emulator[Any], Calls, Callable[[], float]], Station[Any]] = Station


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
    STRIPE: Vendor(Stripe, StripeOptions, LastingStation),
    DNS: Vendor(Dns, DnsOptions),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """Ports, base latency of every provider, and the seed of the invented world.

    Port 0 is any free one for HTTP and the number of the HTTP port for DNS. Both may have the same number,
    since their TCP connections are told apart by the first byte. `state` is the file in which Stripe is kept across
    restarts, and `stripe_webhook` the address and the secret of an endpoint that gets all its events.
    """

    http_port: int = 0
    dns_port: int = 0
    latency_ms: float = 0.0
    seed: int = 0
    state: Path | None = None
    stripe_webhook: tuple[str, str] | None = None


class Router:
    """Finds the station of a request by the first part of its path."""

    def __init__(self, stations: Mapping[str, Station[Any]], control: Control, stripe: Stripe) -> None:
        self._stations = {name: station for name, station in stations.items() if name != DNS}
        self._control = control
        self._stripe = stripe

    def __call__(self, request: Request) -> tuple[Answer, float]:
        """The answer and the seconds to wait before it goes out."""
        target = request.target
        end = target.find("/", 1)
        station = self._stations.get(target[1:end]) if end > 0 else None
        if station is not None:
            return station.receive(Request(request.method, target[end:], request.headers, request.body))
        if target.startswith("/_stripe"):
            return self._stripe.control(request), 0.0
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
        stripe: Stripe,
    ) -> None:
        self.http_port = http_port
        self.dns_port = dns_port
        self._servers = servers
        self._datagrams = datagrams
        self._connections = connections
        self._stripe = stripe

    @property
    def url(self) -> str:
        """Where the providers' prefixes and the control interface are."""
        return f"http://{LOOPBACK}:{self.http_port}"

    async def close(self) -> None:
        """Stop listening and cut every connection, also those that wait for an answer."""
        for server in self._servers:
            server.close()
        await self._stripe.close()
        self._datagrams.abort()
        for connection in list(self._connections):
            connection.abort()
        for server in self._servers:
            await server.wait_closed()
        # Cut transports tell their protocols in the next turn of the loop; who closes wants that behind them.
        await asyncio.sleep(0)


async def serve(options: SandboxOptions) -> Sandbox:
    """Start a sandbox in the running loop; raises OSError when a port is taken, ValueError for a wrong state file."""
    loop = asyncio.get_running_loop()
    companies = Companies(options.seed)
    stations: dict[str, Station[Any]] = {}
    emulators: dict[str, Emulator[Any]] = {}
    for name, vendor in VENDORS.items():
        calls = Calls()
        emulators[name] = vendor.emulator(companies, calls, vendor.options(latency_ms=options.latency_ms))
        stations[name] = vendor.station(emulators[name], calls, loop.time)
    stripe = emulators[STRIPE]
    if not isinstance(stripe, Stripe):
        raise TypeError("the emulator of Stripe is another one")
    router = Router(stations, Control(stations, options.seed, loop.time), stripe)
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
    sandbox = Sandbox(http_port, dns_port, servers, datagrams, connections, stripe)
    try:
        stripe.start(f"{sandbox.url}/{STRIPE}", options.state, options.stripe_webhook)
    except ValueError:
        await sandbox.close()
        raise
    return sandbox
