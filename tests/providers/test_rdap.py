"""RDAP: the server that redirects is a provider; the registry that it leads to is a host that the input names."""

import asyncio
import errno
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from app.provider_settings import RdapSettings
from app.providers.adapters.rdap import Rdap
from app.providers.addresses import guarded_connector
from app.providers.errors import CredentialRejected, InvalidQuery, Malformed, Outage, RateLimited, Transient
from app.providers.gate import GatedSource
from app.providers.http import ANSWER_BYTES
from app.providers.ports import Answer, Found, Missed, Query, Unreachable
from app.providers.resolver import HostResolver, Resolver
from tests.providers.conftest import Control
from tests.providers.resolvers import Rule, resolving, zone
from tests.providers.sockets import TurningResolver, leading_to
from tests.providers.stubs import LastWords, Server, answer, company, serving

RDAP = "application/rdap+json"
DOMAIN: dict[str, Any] = {
    "objectClassName": "domain",
    "handle": "2336799_DOMAIN_COM-VRSN",
    "ldhName": "ACME.COM",
    "events": [
        {"eventAction": "expiration", "eventDate": "2028-09-14T04:00:00Z"},
        {"eventAction": "registration", "eventDate": "1997-09-15T04:00:00+02:00"},
    ],
    "entities": [
        {"roles": ["registrant"], "vcardArray": ["vcard", [["fn", {}, "text", "REDACTED FOR PRIVACY"]]]},
        {
            "roles": ["technical", "registrar"],
            "vcardArray": ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", "Acme Registrar Inc."]]],
        },
    ],
}
FACTS = {"domain_registered_at": "1997-09-15T02:00:00Z", "registrar": "Acme Registrar Inc."}
ACME = company("acme.com")
REGISTRY = "https://rdap.verisign.com/com/v1/domain/ACME.COM"


def domain(**changes: Any) -> bytes:
    return answer(200, json.dumps(DOMAIN | changes).encode(), RDAP)


def error(status: int, *headers: str) -> bytes:
    return answer(status, json.dumps({"errorCode": status, "title": "No"}).encode(), RDAP, *headers)


def moved(location: str, status: int = 302) -> bytes:
    return answer(status, b"", RDAP, f"Location: {location}")


# A registry on the host of the base URL, as in the sandbox.
NEARBY = moved("../registry/com/domain/ACME.COM")


@asynccontextmanager
async def rdap_at(server: Server, *, timeout_seconds: float = 5) -> AsyncIterator[Rdap]:
    rdap = Rdap(RdapSettings(base_url=f"{server.url}/rdap/", timeout_seconds=timeout_seconds))
    try:
        yield rdap
    finally:
        await rdap.close()


async def ask(*said: bytes | None, query: Query = ACME, timeout_seconds: float = 5) -> tuple[Answer, list[str]]:
    """The answer, and the targets that were asked for."""
    async with serving(*said) as server, rdap_at(server, timeout_seconds=timeout_seconds) as rdap:
        answered = await rdap.look_up(query)
    return answered, [request.split(" ")[1] for request in server.requests]


async def test_a_registrar_and_a_date_are_read_wherever_the_server_leads():
    said, targets = await ask(NEARBY, domain())
    assert isinstance(said, Found)
    assert said.values == FACTS
    assert json.loads(said.raw or b"") == DOMAIN
    assert targets == ["/rdap/domain/acme.com", "/rdap/registry/com/domain/ACME.COM"]


async def test_a_server_may_answer_itself():
    said, targets = await ask(domain())
    assert isinstance(said, Found)
    assert said.values == FACTS
    assert len(targets) == 1


async def test_it_asks_for_rdap_and_says_who_it_is():
    async with serving(domain()) as server, rdap_at(server) as rdap:
        await rdap.look_up(ACME)
    assert "Accept: application/rdap+json" in server.requests[0]
    assert "User-Agent: Holdfast/" in server.requests[0]


@pytest.mark.parametrize("host", ["shop.eu.acme.com", "acme.com"])
async def test_what_was_registered_is_asked_for(host: str):
    _, targets = await ask(domain(), query=company(host))
    assert targets == ["/rdap/domain/acme.com"]


async def test_a_public_suffix_is_a_miss_that_nobody_is_asked_for():
    assert await ask(domain(), query=company("co.uk")) == (Missed(), [])


@pytest.mark.parametrize("missing", ["events", "entities"])
async def test_a_registry_may_keep_a_part_to_itself(missing: str):
    said, _ = await ask(domain(**{missing: []}))
    assert isinstance(said, Found)
    assert len(said.values) == 1


async def test_a_domain_of_which_nothing_is_told_is_a_miss():
    assert (await ask(domain(events=None, entities=None)))[0] == Missed()


async def test_only_what_is_asked_for_is_read():
    query = Query("company", "domain:acme.com", {"domain": "acme.com"}, fields={"registrar"})
    said, _ = await ask(domain(), query=query)
    assert isinstance(said, Found)
    assert said.values.keys() == {"registrar"}


async def test_unknown_to_its_registry_is_a_miss():
    assert (await ask(NEARBY, error(404)))[0] == Missed()


@pytest.mark.parametrize("said", [error(404), answer(404, b"<html></html>", "text/html"), answer(404)])
async def test_unknown_to_the_server_that_redirects_is_no_miss(said: bytes):
    assert (await ask(said))[0] == Unreachable("no registry of its top-level domain is known")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (error(400), InvalidQuery),
        (error(403), CredentialRejected),
        (error(429, "Retry-After: 7"), RateLimited),
        (error(500), Transient),
        (error(503), Outage),
        (answer(200, b"<html></html>", "text/html"), Malformed),
        (domain(objectClassName="entity"), Malformed),
        (domain(ldhName="OTHER.COM"), Malformed),
        (domain(events={"0": None}), Malformed),
        (answer(204), Malformed),
    ],
)
async def test_what_is_wrong_with_the_server_is_wrong_with_the_provider(said: bytes, kind: type[Exception]):
    with pytest.raises(kind):
        await ask(said)


@pytest.mark.parametrize(
    "said",
    [
        *(error(status) for status in (401, 403, 410, 500, 502, 503)),
        answer(200, b"<html></html>", "text/html"),
        domain(entities="none"),
        domain(ldhName="OTHER.COM"),
        LastWords(b""),
        LastWords(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
        LastWords(b"SMTP ready\r\n\r\n"),
    ],
)
async def test_what_is_wrong_with_the_registry_is_a_result(said: bytes):
    assert isinstance((await ask(NEARBY, said))[0], Unreachable)


async def test_a_name_that_the_registry_refuses_is_wrong():
    with pytest.raises(InvalidQuery):
        await ask(NEARBY, error(400))


async def test_a_server_that_does_not_answer_fails_and_a_registry_that_does_not_is_a_result():
    with pytest.raises(Transient):
        await ask(None, timeout_seconds=0.05)
    said, _ = await ask(NEARBY, None, timeout_seconds=0.05)
    assert said == Unreachable("the registry does not answer within 0.05 s")


@pytest.mark.parametrize(
    ("hint", "seconds"), [("Retry-After: 7", 7), ("Retry-After: 86400", 60), ("X-Nothing: 1", None)]
)
async def test_one_registry_holds_up_the_others_for_a_minute_at_most(hint: str, seconds: float | None):
    with pytest.raises(RateLimited) as limited:
        await ask(NEARBY, error(429, hint))
    assert limited.value.retry_after == seconds


async def test_three_redirects_are_followed_and_no_more():
    said, targets = await ask(NEARBY, moved("/a", 301), moved("/b", 307), domain())
    assert isinstance(said, Found)
    assert targets[2:] == ["/a", "/b"]
    said, targets = await ask(moved("/round"))
    assert said == Unreachable("the registry cannot be asked: more than 3 redirects")
    assert len(targets) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/domain/acme.com",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://2130706433/",
        "http://db.internal/",
        "https://rdap.verisign.com:8080/",
        "ftp://rdap.verisign.com/",
        "http://[",
    ],
)
async def test_a_redirect_to_what_is_not_public_is_not_followed(location: str):
    said, targets = await ask(moved(location), domain())
    assert isinstance(said, Unreachable)
    assert len(targets) == 1


async def test_a_redirect_to_nowhere_is_a_result():
    assert isinstance((await ask(answer(302)))[0], Unreachable)


class TestRegistriesElsewhere:
    """The server leads to a host by its name: it is resolved, and its address looked at."""

    async def look_up(
        self, resolver: AbstractResolver, *said: bytes | None, made: list[object] | None = None, tls: bool = True
    ) -> Answer:
        async with serving(moved(REGISTRY.replace("https", "http"))) as server, serving(*said) as registry:

            def connector() -> aiohttp.BaseConnector:
                factory = leading_to(registry, [] if made is None else made, tls=tls)
                return guarded_connector(resolver, limit=10, socket_factory=factory)

            rdap = Rdap(RdapSettings(base_url=server.url, timeout_seconds=5), make_connector=connector)
            try:
                return await rdap.look_up(ACME)
            finally:
                await rdap.close()

    async def test_a_registry_is_asked_where_the_server_leads(self):
        made: list[object] = []
        said = await self.look_up(TurningResolver(["8.8.8.8"]), domain(), made=made)
        assert isinstance(said, Found)
        assert said.values == FACTS
        assert made == ["8.8.8.8"]

    async def test_a_registry_with_a_private_address_is_not_connected_to(self):
        made: list[object] = []
        said = await self.look_up(TurningResolver(["10.0.0.1"]), domain(), made=made)
        assert said == Unreachable("the registry cannot be asked: its address is not public")
        assert made == ["10.0.0.1"]

    async def test_one_that_moves_to_a_private_address_in_the_next_hop_is_not_followed(self):
        resolver = TurningResolver(["8.8.8.8"], ["127.0.0.1"])
        said = await self.look_up(resolver, moved("http://rdap.example.com/x"), domain())
        assert said == Unreachable("the registry cannot be asked: its address is not public")

    async def test_where_nothing_listens_it_is_a_result(self):
        said = await self.look_up(TurningResolver(["8.8.8.8"]), moved(REGISTRY), tls=False)
        assert said == Unreachable("the registry cannot be asked: no connection can be made")

    async def test_more_than_anybody_needs_is_not_read(self):
        said = await self.look_up(TurningResolver(["8.8.8.8"]), answer(200, b"x" * (ANSWER_BYTES + 1), RDAP))
        assert isinstance(said, Unreachable)
        assert "larger" in said.reason

    async def resolved(self, rule: Rule) -> Answer:
        async with resolving(rule) as server:
            return await self.look_up(HostResolver(Resolver(server.address, timeout_seconds=0.1)), domain())

    async def test_a_registry_that_does_not_exist_is_a_result(self):
        assert isinstance(await self.resolved(zone({})), Unreachable)

    async def test_a_resolver_that_is_away_is_an_outage(self):
        with pytest.raises(Outage, match="resolver"):
            await self.resolved(lambda *_: None)

    async def test_a_machine_without_sockets_says_nothing_about_the_registry(self):
        def out_of_sockets(_: aiohttp.AddrInfoType) -> socket.socket:
            raise OSError(errno.EMFILE, "out of sockets")

        def connector() -> aiohttp.BaseConnector:
            return guarded_connector(TurningResolver(["8.8.8.8"]), limit=10, socket_factory=out_of_sockets)

        async with serving(moved(REGISTRY)) as server:
            rdap = Rdap(RdapSettings(base_url=server.url), make_connector=connector)
            with pytest.raises(Outage, match="this machine"):
                await rdap.look_up(ACME)
            await rdap.close()


class TestInTheSandbox:
    @pytest.mark.parametrize("form", ["json", "html", "empty"])
    async def test_a_suffix_without_a_registry_is_told_in_any_form(
        self, sources: dict[str, GatedSource], control: Control, form: str
    ):
        await control("PUT", "/_options/rdap", unknown_form=form)
        assert isinstance(await sources["rdap"].look_up(company("company-1.de")), Unreachable)

    async def test_both_forms_of_a_server_say_the_same(self, sources: dict[str, GatedSource], control: Control):
        await control("PUT", "/_options/rdap", hit_rate=1)
        redirected = await sources["rdap"].look_up(company("company-1.com"))
        await control("PUT", "/_options/rdap", form="direct")
        assert redirected == await sources["rdap"].look_up(company("company-1.com"))
        assert isinstance(redirected, Found)

    async def test_a_hundred_dead_registries_open_no_circuit(self, sources: dict[str, GatedSource], control: Control):
        await control("PUT", "/_options/rdap", registries="down")
        rdap = sources["rdap"]
        said = await asyncio.gather(*(rdap.look_up(company(f"dead-{n}.com")) for n in range(100)))
        assert {type(each) for each in said} == {Unreachable}
        assert rdap.circuit().state == "closed"

    async def test_a_spent_window_says_when_it_is_over(self, sources: dict[str, GatedSource], control: Control):
        await control("PUT", "/_options/rdap", requests_per_minute=1)
        await sources["rdap"].look_up(company("company-1.com"))
        with pytest.raises(RateLimited) as limited:
            await sources["rdap"].look_up(company("company-2.com"))
        assert 55 < (limited.value.retry_after or 0) <= 61
