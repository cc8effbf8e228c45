"""Names and sockets as a test wants them, for what connects to hosts that the input names: there is no network here."""

import socket
from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from app.providers.addresses import guarded_socket
from tests.providers.stubs import Server


class TurningResolver(AbstractResolver):
    """Says these addresses in turn, the last for ever, to whatever is asked: how a name is rebound."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


class PlayedSocket(socket.socket):
    """A socket that leads to a server of the test, whatever address it is connected to. Port 0 refuses."""

    port = 0

    def connect(self, _: object) -> None:
        if not self.port:
            raise ConnectionRefusedError(111, "nothing listens")
        super().connect(("127.0.0.1", self.port))


def leading_to(
    server: Server, made: list[object], *, tls: bool = True
) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    """A factory of played sockets for addresses that pass the guard; `made` gets every address that was to be connected
    to. Without `tls` nothing listens on port 443."""

    def factory(info: aiohttp.AddrInfoType) -> socket.socket:
        made.append(info[4][0])
        guarded_socket(info).close()
        played = PlayedSocket(*info[:3])
        played.port = server.port if tls or info[4][1] != 443 else 0
        return played

    return factory
