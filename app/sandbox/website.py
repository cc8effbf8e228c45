"""The companies' own websites, at `/website/{scheme}/{host}{path}`.

What there is to find on one: section 7 of free-sources.md of the provider facts.

Seven hosts in ten answer; the others are what a list of real leads is full of: gone (404), broken (503), slow
and then broken (1 in 100), or dead (the connection closes without an answer). A host is the same at any time.

Magic hosts: what begins with `nobots` keeps every robot out, `noholdfast` only ours.
"""

from dataclasses import dataclass
from functools import lru_cache

from app.sandbox.calls import Calls
from app.sandbox.checks import milliseconds
from app.sandbox.companies import Companies, clean_domain
from app.sandbox.emulator import ANSWERS_KEPT, DROPPED, HTML, JSON, TEXT, Answer, Request, http_answer
from app.sandbox.faults import FaultMode
from app.sandbox.options import LimitedOptions, option
from app.sandbox.website_pages import about_page, contact_page, home_page
from app.sandbox.windows import Windows

SERVER = "Server: nginx\r\n"
REDIRECTING = 0.25
"""Share of the sites that live at `www.` and send visitors of the bare domain there."""

_ROBOTS = b"User-agent: *\nDisallow: /admin/\nAllow: /\n"
_NO_ROBOTS = b"User-agent: *\nDisallow: /\n"
_NOT_US = b"User-agent: Holdfast\nDisallow: /\n\nUser-agent: *\nAllow: /\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteOptions(LimitedOptions):
    """`hit_rate` is the share of hosts that answer, `slow_ms` the wait at a slow one; limits are per host."""

    hit_rate: float = 0.7
    slow_ms: float = option(1500.0, milliseconds)


class Website:
    """The emulator of the companies' websites."""

    def __init__(self, companies: Companies, calls: Calls, options: WebsiteOptions) -> None:  # noqa: ARG002
        self._companies = companies
        self._windows = Windows()
        self._prepared = lru_cache(ANSWERS_KEPT)(self._prepare)
        self.configure(options)

    def configure(self, options: WebsiteOptions) -> None:
        """Take other options."""
        self.options = options
        self._windows.clear()
        self._prepared.cache_clear()

    def answer(self, request: Request) -> Answer:
        """What the site says."""
        answer = self._prepared(request.target)
        if request.method not in ("GET", "HEAD"):
            return _page(405, b"Method Not Allowed", TEXT)._replace(keys=answer.keys)
        limit = self.options.requests_per_minute
        if limit is not None and answer.keys:
            usage = self._windows.take(answer.keys[0], limit)
            if usage.exceeded:
                return _too_many(int(usage.resets_in) + 1)._replace(keys=answer.keys)
        return answer

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:  # noqa: ARG002
        """How sites fail. They know no keys and no quota: auth is a bot wall (403), quota a long limit."""
        if mode is FaultMode.MALFORMED:
            forms = (
                http_answer(200, b"\x00\xff\xfe<ht\x80ml>\xc3\x28" * 40, HTML, SERVER),
                http_answer(200, answer.body[: len(answer.body) // 2], HTML, SERVER),
                http_answer(200, b'{"name": 42, "html": null}', JSON, SERVER),
            )
            return forms[turn % len(forms)]
        return _FAILURES[mode]

    def _prepare(self, target: str) -> Answer:
        _, _, scheme_and_rest = target.partition("/")
        scheme, _, rest = scheme_and_rest.partition("/")
        authority, _, path = rest.partition("?")[0].partition("/")
        host = authority.lower().partition(":")[0].removesuffix(".")
        domain = clean_domain(host)
        if scheme not in ("http", "https") or not domain:
            return _page(404, b"The sandbox has sites at /website/{http|https}/{host}/{path}.", TEXT)
        answer = self._visit(host, domain, "/" + path)
        # Who asks for the rules asks for nothing yet.
        return answer if path == "robots.txt" else answer._replace(keys=(host,))

    def _visit(self, host: str, domain: str, path: str) -> Answer:
        if not self._companies.is_alive(domain, self.options.hit_rate):
            return self._unreachable(domain)
        moved = host == domain and domain.count(".") == 1
        if moved and self._companies.knows("www", domain, REDIRECTING):
            # The real address, as a real site would say it; the client's base URL leads it back here.
            location = f"Location: https://www.{domain}{path}\r\n{SERVER}"
            return http_answer(301, b"<html><body>Moved Permanently</body></html>", HTML, location)
        return self._content(domain, path)

    def _content(self, domain: str, path: str) -> Answer:
        company = self._companies.company(domain)
        draws = self._companies.draws("website", domain)
        match path:
            case "/" | "/index.html":
                return _page(200, home_page(company, draws))
            case "/about" | "/about-us":
                return _page(200, about_page(company, draws))
            case "/contact" | "/imprint":
                return _page(200, contact_page(company))
            case "/robots.txt":
                rules = _NO_ROBOTS if domain.startswith("nobots") else _ROBOTS
                return _page(200, _NOT_US if domain.startswith("noholdfast") else rules, TEXT)
            case "/.well-known/security.txt" if draws[30] & 3 == 0:
                text = f"Contact: mailto:security@{domain}\nExpires: 2027-12-31T23:59:59.000Z\n"
                return _page(200, text.encode(), TEXT)
        return _page(404, _NOT_FOUND)

    def _unreachable(self, domain: str) -> Answer:
        form = self._companies.draws("unreachable", domain)[0] % 100
        if form < 40:
            return DROPPED
        if form < 75:
            return _page(404, _NOT_FOUND)
        unavailable = _FAILURES[FaultMode.OUTAGE]
        return unavailable if form < 97 else unavailable._replace(delay=self.options.slow_ms / 1000)


def _page(status: int, body: bytes, content_type: str = HTML) -> Answer:
    return http_answer(status, body, content_type, SERVER)


def _too_many(retry_after: int) -> Answer:
    return http_answer(429, b"<html><body>Too Many Requests</body></html>", HTML, f"Retry-After: {retry_after}\r\n")


_NOT_FOUND = b"<!DOCTYPE html><html><head><title>Not found</title></head><body><h1>Not found</h1></body></html>"
_FAILURES = {
    FaultMode.OUTAGE: _page(503, b"<html><body><h1>503 Service Unavailable</h1></body></html>"),
    FaultMode.FLAKY: _page(500, b"<html><body><h1>500 Internal Server Error</h1></body></html>"),
    FaultMode.AUTH: _page(403, b"<html><body><h1>Checking your browser</h1></body></html>"),
    FaultMode.RATE_LIMITED: _too_many(7),
    FaultMode.QUOTA_EXHAUSTED: _too_many(3600),
}
