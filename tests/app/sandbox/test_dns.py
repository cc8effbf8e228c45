"""The resolver as dnspython sees it, over UDP and TCP."""

import asyncio
from collections import Counter

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.message
import dns.rcode
import dns.resolver
import pytest
from dns.asyncresolver import Resolver

from app.sandbox.server import LOOPBACK, Sandbox, SandboxOptions, serve
from tests.app.sandbox.client import Client


@pytest.fixture
def resolver(sandbox: Sandbox):
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [LOOPBACK]
    resolver.port = sandbox.dns_port
    resolver.lifetime = 2.0
    return resolver


async def answers(resolver: Resolver, name: str, kind: str):
    try:
        return [record.to_text() for record in await resolver.resolve(name, kind)]
    except dns.resolver.NoAnswer:
        return []


async def test_mail_systems_of_all_kinds_are_found(client: Client, resolver: Resolver):
    await client.set("dns", hit_rate=1.0)
    kinds = Counter()
    for n in range(80):
        records = await answers(resolver, f"company-{n}.com", "MX")
        text = " ".join(records)
        kinds["google"] += "aspmx.l.google.com" in text
        kinds["microsoft"] += f"company-{n}-com.mail.protection.outlook.com" in text
        kinds["null"] += records == ["0 ."]
        kinds["none"] += not records
    assert all(kinds.values()), kinds
    assert kinds["google"] > 10
    assert kinds["microsoft"] > 10


async def test_spf_and_dmarc_are_texts(client: Client, resolver: Resolver):
    await client.set("dns", hit_rate=1.0)
    texts = [text for n in range(20) for text in await answers(resolver, f"company-{n}.com", "TXT")]
    assert sum(text.startswith('"v=spf1') for text in texts) > 10
    policies = Counter()
    for n in range(20):
        try:
            policies[(await answers(resolver, f"_dmarc.company-{n}.com", "TXT"))[0].split(";")[1]] += 1
        except dns.resolver.NXDOMAIN:
            policies["none set"] += 1
    assert {" p=none", "none set"} <= policies.keys()


async def test_a_long_text_comes_in_several_strings_and_over_tcp(client: Client, sandbox: Sandbox, resolver: Resolver):
    await client.set("dns", hit_rate=1.0)
    for n in range(60):
        name = f"company-{n}.com"
        records = await resolver.resolve(name, "TXT", raise_on_no_answer=False)
        if any(len(record.strings) > 1 for record in records):
            break
    query = dns.message.make_query(name, "TXT")
    short = await dns.asyncquery.udp(query, LOOPBACK, port=sandbox.dns_port, timeout=2)
    assert short.flags & dns.flags.TC
    assert not short.answer
    whole = await dns.asyncquery.tcp(query, LOOPBACK, port=sandbox.dns_port, timeout=2)
    assert max(len(record.strings) for record in whole.answer[0]) > 1


async def test_a_dead_domain_does_not_exist_and_a_live_one_has_an_address(client: Client, resolver: Resolver):
    await client.set("dns", hit_rate=0.0)
    for name in ("acme.com", "_dmarc.acme.com"):
        with pytest.raises(dns.resolver.NXDOMAIN):
            await resolver.resolve(name, "MX")
    await client.set("dns", hit_rate=1.0)
    assert len(await answers(resolver, "www.acme.com", "A")) == 1
    assert await answers(resolver, "acme.com", "AAAA") == []


async def test_queries_count_under_the_registrable_name(client: Client, resolver: Resolver):
    await client.set("dns", hit_rate=1.0)
    for name, kind in (("acme.com", "MX"), ("ACME.com", "TXT"), ("www.acme.com", "A")):
        await answers(resolver, name, kind)
    calls = await client.calls("dns")
    assert calls["by_key"] == {"acme.com": calls["total"]}
    assert calls["total"] >= 3


@pytest.mark.parametrize(
    ("mode", "code"),
    [("outage", "SERVFAIL"), ("flaky", "SERVFAIL"), ("rate_limited", "REFUSED"), ("quota_exhausted", "REFUSED"),
     ("auth", "REFUSED")],
)  # fmt: skip
async def test_faults_with_an_answer_are_codes(client: Client, sandbox: Sandbox, mode: str, code: str):
    await client.fault("dns", mode, rate=1.0)
    query = dns.message.make_query("acme.com", "MX")
    for send in (dns.asyncquery.udp, dns.asyncquery.tcp):
        said = await send(query, LOOPBACK, port=sandbox.dns_port, timeout=2)
        assert dns.rcode.to_text(said.rcode()) == code


async def test_faults_without_an_answer_are_silence(client: Client, sandbox: Sandbox):
    query = dns.message.make_query("acme.com", "MX")
    for mode in ("hang", "drop_after_effect"):
        await client.fault("dns", mode)
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(query, LOOPBACK, port=sandbox.dns_port, timeout=0.05)
    with pytest.raises(EOFError):
        await dns.asyncquery.tcp(query, LOOPBACK, port=sandbox.dns_port, timeout=2)
    assert (await client.calls("dns"))["total"] == 3


async def test_a_slow_answer_comes_late_over_udp_and_tcp(client: Client, sandbox: Sandbox):
    await client.fault("dns", "slow", latency_ms=80)
    query = dns.message.make_query("acme.com", "MX")
    loop = asyncio.get_running_loop()
    for send in (dns.asyncquery.udp, dns.asyncquery.tcp):
        begun = loop.time()
        await send(query, LOOPBACK, port=sandbox.dns_port, timeout=2)
        assert loop.time() - begun >= 0.075


async def test_malformed_messages_rotate_through_forms_that_no_client_takes(client: Client, sandbox: Sandbox):
    await client.fault("dns", "malformed")
    query = dns.message.make_query("acme.com", "MX")
    for _ in range(3):
        with pytest.raises(dns.exception.DNSException):
            await dns.asyncquery.udp(query, LOOPBACK, port=sandbox.dns_port, timeout=2)


async def test_noise_is_ignored_and_the_resolver_lives_on(client: Client, sandbox: Sandbox, resolver: Resolver):
    await client.set("dns", hit_rate=1.0)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(LOOPBACK, sandbox.dns_port)
    )
    for noise in (b"", b"x", b"\xff" * 12, b"\0" * 12, b"\0" * 5 + b"\1" + b"\0" * 6 + b"\x3fabc"):
        transport.sendto(noise)
    assert len(await answers(resolver, "acme.com", "A")) == 1
    transport.close()


async def test_dns_may_have_a_port_of_its_own(unused_tcp_port: int):
    sandbox = await serve(SandboxOptions(dns_port=unused_tcp_port))
    try:
        assert sandbox.dns_port == unused_tcp_port != sandbox.http_port
        query = dns.message.make_query("acme.com", "A")
        for send in (dns.asyncquery.udp, dns.asyncquery.tcp):
            await send(query, LOOPBACK, port=sandbox.dns_port, timeout=2)
    finally:
        await sandbox.close()
