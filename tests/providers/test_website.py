"""A visit to a company's home page: whatever is wrong with the host is a result; what is ours is an outage."""

import asyncio
import errno
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from app.provider_settings import ProviderSettings
from app.providers.adapters import website as module
from app.providers.adapters.website import Website
from app.providers.addresses import guarded_connector
from app.providers.errors import Outage
from app.providers.ports import Answer, Found, Missed, Unreachable
from app.providers.resolver import HostResolver, Resolver
from tests.providers.resolvers import Rule, resolving, zone
from tests.providers.sockets import TurningResolver, leading_to
from tests.providers.stubs import LastWords, Server, answer, company, serving

HTML = "text/html; charset=utf-8"
PAGE = answer(200, b'<meta property="og:site_name" content="Acme">', HTML)
ACME = company("acme.com")
NO_RULES = answer(404)


def moved(location: str, status: int = 301) -> bytes:
    return answer(status, b"", HTML, f"Location: {location}")


@asynccontextmanager
async def website_at(server: Server, timeout_seconds: float = 5) -> AsyncIterator[Website]:
    website = Website(ProviderSettings(base_url=f"{server.url}/website/", timeout_seconds=timeout_seconds))
    try:
        yield website
    finally:
        await website.close()


async def visit(*answers: bytes | None, timeout_seconds: float = 5) -> tuple[Answer, list[str]]:
    """The answer, and the targets that were asked for."""
    async with serving(*answers, robots=NO_RULES) as server, website_at(server, timeout_seconds) as website:
        said = await website.look_up(ACME)
    return said, _targets(server)


async def visit_under(robots: bytes, *answers: bytes) -> tuple[Answer, list[str]]:
    """The same at a site with such a robots.txt."""
    async with serving(*answers, robots=robots) as server, website_at(server) as website:
        said = await website.look_up(ACME)
    return said, _targets(server)


def _targets(server: Server) -> list[str]:
    return [request.split(" ")[1] for request in server.requests]


def rules(text: str, content_type: str = "text/plain") -> bytes:
    return answer(200, text.encode(), content_type)


def name_in(said: Answer) -> object:
    assert isinstance(said, Found), said
    return said.values["name"]


async def test_the_home_page_is_fetched_below_the_base_url_by_scheme_and_host():
    said, targets = await visit(PAGE)
    assert said == Found({"name": "Acme", "website": "https://acme.com"}, confidences={"name": 0.7, "website": 1.0})
    assert targets == ["/website/https/acme.com/"]


async def test_it_says_who_it_is():
    async with serving(PAGE, robots=NO_RULES) as server, website_at(server) as website:
        await website.look_up(ACME)
    assert "User-Agent: Holdfast/" in server.requests[0]


@pytest.mark.parametrize(
    "text",
    [
        "User-agent: *\nDisallow: /",
        "User-agent: Holdfast\nDisallow: /\n\nUser-agent: *\nAllow: /",
        "user-agent: holdfast\nuser-agent: other\ndisallow: /$",
        "\ufeffUser-agent: *\r\nDisallow: /\r\n",
    ],
)
async def test_a_site_that_keeps_robots_out_is_not_visited(text: str):
    said, targets = await visit_under(rules(text), PAGE)
    assert said == Unreachable("its robots.txt keeps us out")
    assert targets == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "User-agent: *\nDisallow: /admin/",
        "User-agent: *\nDisallow:",
        "User-agent: *\nDisallow: /\n\nUser-agent: Holdfast\nAllow: /",
        "User-agent: SomebodyElse\nDisallow: /",
        "User-agent: *\nDisallow: /\nAllow: /$",
        "User-agent: *\nCrawl-delay: 86400",
        "<!DOCTYPE html><html><title>Not found</title>",
        "\x00\ufffd" * 100,
        "User-agent: *\nDisallow: /x\n" + "# filler\n" * 60_000 + "User-agent: Holdfast\nDisallow: /",
    ],
    ids=["empty", "elsewhere", "nothing", "us not", "others", "the home page", "delay", "html", "garbage", "too long"],
)
async def test_a_site_that_lets_us_in_is_visited(text: str):
    said, _ = await visit_under(rules(text), PAGE)
    assert name_in(said) == "Acme"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429])
async def test_a_site_without_rules_lets_everybody_in(status: int):
    said, _ = await visit_under(answer(status, b"User-agent: *\nDisallow: /"), PAGE)
    assert name_in(said) == "Acme"


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_site_whose_rules_cannot_be_had_is_not_visited(status: int):
    said, targets = await visit_under(answer(status), PAGE)
    assert said == Unreachable(f"its robots.txt cannot be had (status {status})")
    assert targets == []


async def test_each_host_on_the_way_is_asked_for_its_rules_once():
    seen: list[str] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            target = head.decode().split(" ")[1]
            seen.append(target)
            if "www.acme.com" in target:
                writer.write(rules("User-agent: *\nDisallow: /de/") if target.endswith(".txt") else moved("/de/"))
            else:
                writer.write(moved("https://www.acme.com" + target.removeprefix("/website/https/acme.com")))

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as listening:
        server = Server(listening.sockets[0].getsockname()[1])
        async with website_at(server) as website:
            assert await website.look_up(ACME) == Unreachable("its robots.txt keeps us out")
    assert seen == [
        "/website/https/acme.com/robots.txt",
        "/website/https/www.acme.com/robots.txt",
        "/website/https/acme.com/",
        "/website/https/www.acme.com/",
    ]


async def test_rules_behind_redirects_without_end_are_none():
    said, _ = await visit_under(moved("/robots.txt"), PAGE)
    assert name_in(said) == "Acme"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_below_the_base_url(status: int):
    said, targets = await visit(moved("https://www.acme.com/de/?a=1%202#top", status), PAGE)
    assert name_in(said) == "Acme"
    assert targets[1] == "/website/https/www.acme.com/de/?a=1%202"


async def test_a_relative_redirect_is_read_from_the_real_address():
    _, targets = await visit(moved("/en/"), moved("home"), PAGE)
    assert targets[1:] == ["/website/https/acme.com/en/", "/website/https/acme.com/en/home"]


async def test_the_page_belongs_to_where_the_redirects_led():
    said, _ = await visit(moved("http://acme.io/"), PAGE)
    assert isinstance(said, Found)
    assert said.values["website"] == "http://acme.io"


async def test_five_redirects_are_followed_and_no_more():
    said, targets = await visit(*[moved("/next")] * 5, PAGE)
    assert name_in(said) == "Acme"
    said, targets = await visit(moved("/round"))
    assert said == Unreachable("more than 5 redirects")
    assert len(targets) == 6


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://127.1/",
        "http://localhost/",
        "http://db.internal/",
        "https://acme.com:8080/",
        "ftp://acme.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ],
)
async def test_a_redirect_to_what_is_not_public_is_not_followed(location: str):
    said, targets = await visit(moved(location), PAGE)
    assert isinstance(said, Unreachable)
    assert len(targets) == 1


@pytest.mark.parametrize("location", ["http://[", "http://a:b:c/"])
async def test_a_redirect_to_nonsense_is_unreachable(location: str):
    assert isinstance((await visit(moved(location)))[0], Unreachable)


@pytest.mark.parametrize("status", [202, 400, 401, 403, 404, 410, 429, 500, 502, 503])
async def test_a_status_that_is_no_page_is_unreachable(status: int):
    assert (await visit(answer(status, b"<title>Acme</title>", HTML)))[0] == Unreachable(f"status {status}")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"SMTP ready\r\n\r\n"])
async def test_a_connection_that_breaks_is_unreachable(said: bytes):
    assert isinstance((await visit(LastWords(said)))[0], Unreachable)


async def test_a_site_that_does_not_answer_is_unreachable_in_its_time():
    assert (await visit(None, timeout_seconds=0.05))[0] == Unreachable("no page within 0.05 s")


@pytest.mark.parametrize("content_type", ["application/pdf", "image/png", "application/json", "text/plain"])
async def test_what_is_no_web_page_is_unreachable(content_type: str):
    assert (await visit(answer(200, b"<title>Acme</title>", content_type)))[0] == Unreachable("it is no web page")


@pytest.mark.parametrize(
    "said",
    [
        answer(200, b"x" * (module.PAGE_BYTES + 1), HTML),
        answer(200, gzip.compress(b"x" * (module.PAGE_BYTES + 1)), HTML, "Content-Encoding: gzip"),
        LastWords(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + b"x" * (module.PAGE_BYTES + 1)),
    ],
    ids=["by its length", "by what comes out of the packing", "without a length"],
)
async def test_a_page_that_is_too_large_is_unreachable(said: bytes):
    answered, _ = await visit(said)
    assert isinstance(answered, Unreachable)
    assert "larger" in answered.reason


async def test_a_page_that_says_nothing_is_a_miss():
    assert (await visit(answer(200, b"<p>Hello</p>", HTML)))[0] == Missed()


@pytest.mark.parametrize(
    ("charset", "encoded"),
    [
        ("iso-8859-1", "Münch".encode("latin-1")),
        ("windows-1252", "Münch".encode("cp1252")),
        ("utf-8", "Münch".encode()),
        ("no-such-thing", "Münch".encode()),
        ("punycode", "Münch".encode()),
        ("windows-9999", "Münch".encode()),
    ],
)
async def test_the_encoding_in_the_header_is_used_where_it_is_one_of_the_webs(charset: str, encoded: bytes):
    page = b'<meta property="og:site_name" content="' + encoded + b'">'
    said, _ = await visit(answer(200, page, f"text/html; charset={charset}"))
    assert name_in(said) == "Münch"


async def test_a_base_url_that_is_away_is_an_outage():
    async with serving(PAGE) as server:
        pass
    async with website_at(server) as website:
        with pytest.raises(Outage):
            await website.look_up(ACME)


class TestWithoutABaseUrl:
    @asynccontextmanager
    async def website(
        self, resolver: AbstractResolver, server: Server | None = None, made: list[object] | None = None
    ) -> AsyncIterator[Website]:
        def connector() -> aiohttp.BaseConnector:
            if server is None:
                return guarded_connector(resolver, limit=10)
            factory = leading_to(server, [] if made is None else made, tls=False)
            return guarded_connector(resolver, limit=10, socket_factory=factory)

        website = Website(ProviderSettings(timeout_seconds=5), make_connector=connector)
        try:
            yield website
        finally:
            await website.close()

    async def test_a_site_without_tls_is_visited_without_it(self):
        made: list[object] = []
        async with (
            serving(PAGE, robots=NO_RULES) as server,
            self.website(TurningResolver(["8.8.8.8"]), server, made) as website,
        ):
            said = await website.look_up(ACME)
        assert isinstance(said, Found)
        assert said.values["website"] == "http://acme.com"
        assert made == ["8.8.8.8"] * 3  # for the rules with TLS and without it, and for the page

    async def test_a_domain_that_resolves_to_a_private_address_is_never_connected_to(self):
        async with (
            serving(PAGE, robots=NO_RULES) as server,
            self.website(TurningResolver(["127.0.0.1", "::1"]), server) as website,
        ):
            assert await website.look_up(ACME) == Unreachable("its address is not public")
        assert server.requests == []

    async def test_a_domain_rebound_between_two_hops_is_not_followed(self):
        resolver = TurningResolver(*[["8.8.8.8"]] * 3, ["10.0.0.1"])
        made: list[object] = []
        async with serving(moved("/again"), robots=NO_RULES) as server, self.website(resolver, server, made) as website:
            assert await website.look_up(ACME) == Unreachable("its address is not public")
        assert made == [*["8.8.8.8"] * 3, "10.0.0.1"]
        assert len(server.requests) == 1

    async def look_up_with(self, rule: Rule) -> Answer:
        async with resolving(rule) as server:
            resolver = HostResolver(Resolver(server.address, timeout_seconds=0.1))
            async with self.website(resolver) as website:
                return await website.look_up(ACME)

    async def test_a_domain_that_does_not_exist_is_unreachable(self):
        assert await self.look_up_with(zone({})) == Unreachable("the domain does not exist")

    async def test_a_domain_without_an_address_is_unreachable(self):
        said = await self.look_up_with(zone({("acme.com", "MX"): ["0 ."]}))
        assert said == Unreachable("the domain has no address")

    async def test_a_resolver_that_is_away_is_an_outage(self):
        with pytest.raises(Outage, match="resolver"):
            await self.look_up_with(lambda *_: None)

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.EADDRNOTAVAIL])
    async def test_a_machine_without_sockets_says_nothing_about_the_host(self, number: int):
        def out_of_sockets(_: aiohttp.AddrInfoType) -> socket.socket:
            raise OSError(number, "out of sockets")

        def connector() -> aiohttp.BaseConnector:
            return guarded_connector(TurningResolver(["8.8.8.8"]), limit=10, socket_factory=out_of_sockets)

        website = Website(ProviderSettings(), make_connector=connector)
        with pytest.raises(Outage, match="this machine"):
            await website.look_up(ACME)
        await website.close()

    async def test_a_domain_that_is_an_address_is_asked_of_nobody(self):
        resolver = TurningResolver(["8.8.8.8"])
        async with self.website(resolver) as website:
            assert isinstance(await website.look_up(company("127.0.0.1")), Unreachable)
        assert resolver.asked == []
