"""A DNS resolver that says what a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.message
import dns.rcode
import dns.rrset

# What it says to a question: records as text, a response code, or None for silence.
Reply = list[str] | dns.rcode.Rcode | None
Rule = Callable[[str, str], Reply]


def zone(records: dict[tuple[str, str], Reply]) -> Rule:
    """Answers from a table by (name, type); a name with other types has no such record, other names do not exist."""
    names = {name for name, _ in records}

    def rule(name: str, kind: str) -> Reply:
        if name == "." and (name, kind) not in records:
            return ["a.root-servers.net."]
        return records.get((name, kind), [] if name in names else dns.rcode.NXDOMAIN)

    return rule


class ScriptedResolver(asyncio.DatagramProtocol):
    """UDP on loopback. `asked` are the questions as (name, type)."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.asked: list[tuple[str, str]] = []
        self.address = ""
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a datagram endpoint gives no other
        self.address = "{}:{}".format(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        kind = question.rdtype.name
        name = question.name.to_text().lower()
        name = name if name == "." else name.removesuffix(".")
        self.asked.append((name, kind))
        reply = self.rule(name, kind)
        if reply is None or self._transport is None:
            return
        response = dns.message.make_response(query)
        if isinstance(reply, dns.rcode.Rcode):
            response.set_rcode(reply)
        elif reply:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *reply))
        self._transport.sendto(response.to_wire(), addr)


@asynccontextmanager
async def resolving(rule: Rule) -> AsyncIterator[ScriptedResolver]:
    """A resolver for the time of a test."""
    loop = asyncio.get_running_loop()
    transport, resolver = await loop.create_datagram_endpoint(
        lambda: ScriptedResolver(rule), local_addr=("127.0.0.1", 0)
    )
    try:
        yield resolver
    finally:
        transport.close()
