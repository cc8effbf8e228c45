"""`dns` against replies that no name server should give: broken ones, and well-formed ones that say odd things.

A reply that cannot be read counts as silence, which costs its time limit: so there are fewer of these than of HTTP.
"""

import asyncio
import os
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.provider_settings import DnsSettings
from app.providers.adapters.dns import Dns
from tests.fuzz.answers import ask
from tests.providers.stubs import company

EXAMPLES = 10 * int(os.environ.get("FUZZ_EXAMPLES", "2"))

# In the form of a zone file. Some mean something, some are only long.
RECORDS = {
    "MX": ["0 .", "10 mx.acme.com.", "65535 aspmx.l.google.com.", f"1 {'a' * 63}.com.", "10 .", "10 acme.com."],
    "TXT": [
        '"v=spf1 -all"', '"v=spf1"', '"v=spf1 " "include:x.com"', '"V=SPF1 x"', '"v=DMARC1; p=none"', '"v=DMARC1"',
        '""', '"\\000\\255\\"" "v=spf1"', " ".join(f'"{"x" * 255}"' for _ in range(8)),
        '"v = DMARC1 ; p"', '"\\195\\040"',
    ],
    "A": ["127.0.0.1", "8.8.8.8"],
    "CNAME": ["other.com.", "acme.com."],
}  # fmt: skip


class OddServer(asyncio.DatagramProtocol):
    """Answers the question for the root well, and every other with `records` of a type in a reply that is `damaged`:
    so many bytes are cut off, and at each of some places is another."""

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.rcode = 0
        self.cut = 0
        self.noise: dict[int, int] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a datagram endpoint gives no other

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name, kind = query.question[0].name, query.question[0].rdtype.name
        reply = dns.message.make_response(query)
        is_root = name == dns.name.root
        records = ["a.root-servers.net."] if is_root else self.records.get(kind, [])
        for record in records:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, record))
        if not is_root:
            reply.set_rcode(self.rcode)
        wire = bytearray(reply.to_wire(max_size=65_000))
        if not is_root:
            for place, byte in self.noise.items():
                wire[place % len(wire)] = byte
            del wire[len(wire) - min(self.cut, len(wire)) :]
        if self._transport is not None:
            self._transport.sendto(bytes(wire[:60_000]), addr)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


RECORDS_OF_A_NAME = st.fixed_dictionaries(
    {}, optional={kind: st.lists(st.sampled_from(values), max_size=4) for kind, values in RECORDS.items()}
)


@settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(
    records=RECORDS_OF_A_NAME,
    rcode=st.sampled_from([0, 0, 0, 0, 1, 2, 3, 5, 9]),
    cut=st.sampled_from([0, 0, 0, 0, 1, 5, 30, 1000]),
    noise=st.just({}) | st.just({}) | st.dictionaries(st.integers(2, 80), st.integers(0, 255), max_size=3),
)
def test_whatever_a_resolver_says_is_an_answer_or_an_error(
    loop: asyncio.Runner, records: dict[str, list[str]], rcode: int, cut: int, noise: dict[int, int]
):
    async def call() -> None:
        transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
            OddServer, local_addr=("127.0.0.1", 0)
        )
        server.records, server.rcode, server.cut, server.noise = records, rcode, cut, noise
        host, port = transport.get_extra_info("sockname")
        adapter = Dns(DnsSettings(resolver=f"{host}:{port}", timeout_seconds=0.05))
        try:
            await ask(adapter, [company("acme.com")])
        finally:
            await adapter.close()
            transport.close()

    loop.run(call())
