"""What DNS says of a domain's mail; and whether it is the name that is broken, or the resolver."""

import dns.rcode
import dns.rdatatype
import pytest

from app.provider_settings import DnsSettings
from app.providers.adapters.dns import Dns
from app.providers.errors import Outage
from app.providers.ports import COMPANY_FIELDS, Answer, Found, Unreachable
from app.providers.resolver import HostResolver, NameAbsent, NameFailure, Resolver, ResolverAway
from tests.providers.resolvers import Reply, Rule, resolving, zone
from tests.providers.stubs import company


async def ask(rule: Rule, domain: str = "acme.com") -> Answer:
    async with resolving(rule) as resolver:
        adapter = Dns(DnsSettings(resolver=resolver.address, timeout_seconds=0.1))
        return await adapter.look_up(company(domain))


async def mail_provider(*exchangers: str) -> object:
    found = await ask(zone({("acme.com", "MX"): list(exchangers)}))
    assert isinstance(found, Found)
    return found.values.get("mail_provider")


@pytest.mark.parametrize(
    ("exchanger", "provider"),
    [
        ("1 ASPMX.L.GOOGLE.COM.", "Google Workspace"),
        ("1 mx.googlemail.com.", "Google Workspace"),
        ("0 acme-com.mail.protection.outlook.com.", "Microsoft 365"),
        ("10 mxa-1.gslb.pphosted.com.", "Proofpoint"),
        ("10 us-smtp-inbound-1.mimecast.com.", "Mimecast"),
        ("10 mx.zoho.com.", "Zoho"),
        ("10 in1-smtp.messagingengine.com.", "Fastmail"),
        ("10 mail.protonmail.ch.", "Proton"),
        ("10 mail.acme.com.", "self-hosted"),
        ("10 acme.com.", "self-hosted"),
        ("0 .", "none"),
        ("10 mx.notgoogle.com.", None),
        ("10 mx.example.net.", None),
    ],
)
async def test_the_mail_provider_is_known_by_the_end_of_its_name(exchanger: str, provider: str | None):
    assert await mail_provider(exchanger) == provider


async def test_the_most_preferred_exchanger_counts():
    assert await mail_provider("20 mx.zoho.com.", "5 aspmx.l.google.com.", "10 mail.acme.com.") == "Google Workspace"


async def test_a_domain_without_mail_still_has_facts():
    assert await ask(zone({("acme.com", "A"): ["192.0.2.1"]})) == Found({"has_spf": False, "has_dmarc": False})


@pytest.mark.parametrize(
    ("texts", "has_spf"),
    [
        (['"v=spf1 -all"'], True),
        (['"V=SPF1 mx -all"', '"google-site-verification=x"'], True),
        (['"v=sp" "f1 include:_spf.google.com" " ~all"'], True),
        (['"v=spf1"'], True),
        (['"v=spf1 -all"', '"v=spf1 mx -all"'], False),
        (['"v=spf10 -all"'], False),
        (['"spf2.0/pra"'], False),
    ],
)
async def test_spf_is_one_record_that_says_so(texts: list[str], has_spf: bool):
    found = await ask(zone({("acme.com", "TXT"): list(texts)}))
    assert isinstance(found, Found)
    assert found.values["has_spf"] is has_spf


@pytest.mark.parametrize(
    ("at", "text", "has_dmarc"),
    [
        ("_dmarc.shop.acme.com", '"v=DMARC1; p=none"', True),
        ("_dmarc.acme.com", '"v=DMARC1;p=reject"', True),
        ("_dmarc.com", '"v=DMARC1; p=none"', False),
        ("_dmarc.acme.com", '"v=spf1 -all"', False),
    ],
)
async def test_dmarc_of_a_parent_holds_for_a_subdomain(at: str, text: str, has_dmarc: bool):
    found = await ask(zone({("shop.acme.com", "MX"): [], (at, "TXT"): [text]}), "shop.acme.com")
    assert isinstance(found, Found)
    assert found.values["has_dmarc"] is has_dmarc


async def test_a_domain_that_does_not_exist_is_unreachable_after_one_query():
    async with resolving(zone({})) as resolver:
        adapter = Dns(DnsSettings(resolver=resolver.address))
        assert await adapter.look_up(company("gone.com")) == Unreachable("the domain does not exist")
        assert resolver.asked == [("gone.com", "MX")]


def broken_name(reply: Reply) -> Rule:
    """A resolver that knows the root, and has this to say of everything else."""
    return lambda name, _: ["a.root-servers.net."] if name == "." else reply


@pytest.mark.parametrize("reply", [None, dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_a_name_whose_servers_fail_is_unreachable_while_the_resolver_works(reply: Reply):
    answer = await ask(broken_name(reply))
    assert isinstance(answer, Unreachable)
    assert "name servers" in answer.reason


@pytest.mark.parametrize("reply", [None, dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_a_resolver_that_fails_for_the_root_too_is_an_outage(reply: Reply):
    with pytest.raises(Outage, match="resolver"):
        await ask(lambda *_: reply)


async def test_a_resolver_that_finds_the_root_an_odd_question_is_alive():
    def rule(name: str, _: str) -> Reply:
        return dns.rcode.FORMERR if name == "." else dns.rcode.SERVFAIL

    assert isinstance(await ask(rule), Unreachable)


async def test_a_resolver_that_is_not_there_is_an_outage():
    async with resolving(zone({})) as resolver:
        address = resolver.address
    with pytest.raises(Outage):
        await Dns(DnsSettings(resolver=address, timeout_seconds=0.05)).look_up(company("acme.com"))


@pytest.mark.parametrize("domain", ["a..com", f"{'a' * 64}.com", f"{'a.' * 130}com"])
async def test_a_name_that_dns_cannot_hold_is_unreachable(domain: str):
    assert isinstance(await ask(zone({}), domain), Unreachable)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost:53", "127.0.0.1:dns", "127.0.0.1:70000", ":53"])
def test_a_resolver_is_an_address_and_a_port(address: str):
    with pytest.raises(ValueError):  # noqa: PT011 - ipaddress words its own
        Resolver(address, timeout_seconds=1)


def test_a_resolver_may_have_an_ipv6_address():
    Resolver("[::1]:53", timeout_seconds=1)


def test_it_fills_only_canonical_fields():
    assert set(Dns.capabilities.fields["company"]) <= set(COMPANY_FIELDS)


class TestHostResolver:
    async def resolve(self, rule: Rule) -> list[str]:
        async with resolving(rule) as server:
            resolver = HostResolver(Resolver(server.address, timeout_seconds=0.1))
            results = await resolver.resolve("acme.com", 443)
            await resolver.close()
        assert {each["port"] for each in results} <= {443}
        return [each["host"] for each in results]

    async def test_a_host_has_addresses_of_both_families(self):
        rule = zone({("acme.com", "A"): ["192.0.2.1", "192.0.2.2"], ("acme.com", "AAAA"): ["2001:db8::1"]})
        assert sorted(await self.resolve(rule)) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]

    async def test_one_family_is_enough(self):
        rule = zone({("acme.com", "A"): ["192.0.2.1"], ("acme.com", "AAAA"): dns.rcode.SERVFAIL})
        assert await self.resolve(rule) == ["192.0.2.1"]

    async def test_a_host_that_does_not_exist_says_so(self):
        with pytest.raises(NameAbsent):
            await self.resolve(zone({}))

    async def test_a_host_without_an_address_says_so(self):
        with pytest.raises(NameFailure, match="no address"):
            await self.resolve(zone({("acme.com", "MX"): ["0 ."]}))

    async def test_a_resolver_that_is_away_is_told_apart(self):
        with pytest.raises(ResolverAway):
            await self.resolve(lambda *_: None)


async def test_a_kind_without_records_is_empty_and_no_error():
    async with resolving(zone({("acme.com", "A"): ["192.0.2.1"]})) as server:
        resolver = Resolver(server.address, timeout_seconds=0.1)
        assert await resolver.records("acme.com.", dns.rdatatype.MX) == ()
