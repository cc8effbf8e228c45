"""RDAP: a server that redirects to the registry of a domain, and the registries (free-sources.md of the provider facts,
section 2). The server is at `/rdap/domain/{name}`, the registries below `/rdap/registry/{suffix}/`.

Open questions of the documents are options: `form` (a redirector, as rdap.org is, or a server that answers itself) and
`unknown_form` (how a redirector says that it knows no registry). `registries` are up, or down: they hang up.

A domain that is in use has been registered; so have many of the others. Not emulated: name servers, the contacts of
registrants, which are mostly withheld, and searches.
"""

from dataclasses import dataclass
from functools import lru_cache

from app.sandbox.calls import Calls
from app.sandbox.checks import one_of
from app.sandbox.companies import SECOND_LEVEL, Companies, clean_domain, pick
from app.sandbox.emulator import ANSWERS_KEPT, DROPPED, HTML, Answer, Request, encode, http_answer
from app.sandbox.faults import FaultMode
from app.sandbox.options import LimitedOptions, option
from app.sandbox.windows import Windows

RDAP = "application/rdap+json"
# Top-level domains without a registry that speaks RDAP: in the world there are some among those of countries.
WITHOUT_REGISTRY = frozenset({"de", "eu", "io"})
RETRY_S = 7

_REGISTRARS = (("Sandbox Names Inc.", "9990"), ("Example Registrar LLC", "9991"), ("Invented Domains Ltd", "9992"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RdapOptions(LimitedOptions):
    """`hit_rate` is the share of names that are registered. The limit is that of the redirector, for all callers."""

    hit_rate: float = 0.9
    form: str = option("redirect", one_of("redirect", "direct"))
    unknown_form: str = option("json", one_of("json", "html", "empty"))
    registries: str = option("up", one_of("up", "down"))


class Rdap:
    """The emulator of rdap.org and of the registries."""

    def __init__(self, companies: Companies, calls: Calls, options: RdapOptions) -> None:  # noqa: ARG002
        self._companies = companies
        self._windows = Windows()
        self._prepared = lru_cache(ANSWERS_KEPT)(self._prepare)
        self.configure(options)

    def configure(self, options: RdapOptions) -> None:
        """Take other options."""
        self.options = options
        self._windows.clear()
        self._prepared.cache_clear()

    def answer(self, request: Request) -> Answer:
        """What the server or a registry says."""
        if request.method not in ("GET", "HEAD"):
            return _error(405, "Method Not Allowed")
        answer = self._prepared(request.target.partition("?")[0])
        limit = self.options.requests_per_minute
        if limit is None or not answer.keys:
            return answer
        usage = self._windows.take("", limit)
        return _too_many(int(usage.resets_in) + 1)._replace(keys=answer.keys) if usage.exceeded else answer

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:  # noqa: ARG002
        """How it fails. It knows no keys and no quota: auth is a refusal of the address, quota a long limit."""
        forms = _FAILURES.get(mode) or (
            http_answer(200, _CHALLENGE_PAGE, HTML),
            http_answer(200, encode(self._record("company.com"))[:200], RDAP),
            http_answer(200, b'{"objectClassName":"domain","ldhName":7,"events":"none","entities":{"0":[]}}', RDAP),
        )
        return forms[turn % len(forms)]

    def _prepare(self, path: str) -> Answer:
        match path.split("/")[1:]:
            case ["domain", name]:
                domain = clean_domain(name)
                if not domain:
                    return _error(400, "Bad Request")
                return self._find(domain)._replace(keys=(domain,))
            case ["registry", suffix, "domain", name] if name.lower().endswith(f".{suffix}"):
                if self.options.registries == "down":
                    return DROPPED
                # No key: it is the second request for the same domain.
                return self._registered(clean_domain(name))
        return _error(404, "Not Found")

    def _find(self, domain: str) -> Answer:
        suffix = domain.rpartition(".")[2]
        if suffix in WITHOUT_REGISTRY:
            form = self.options.unknown_form
            return _error(404, "Not Found") if form == "json" else http_answer(404, _UNKNOWN[form], HTML)
        if self.options.form == "direct":
            return self._registered(domain)
        # A relative reference, since an emulator does not know where it is served.
        location = f"Location: ../registry/{suffix}/domain/{domain.upper()}\r\n"
        return http_answer(302, b"", RDAP, location)

    def _registered(self, domain: str) -> Answer:
        # Subdomains are not registered with a registry.
        depth = 2 if domain.split(".")[-2] in SECOND_LEVEL and domain.count(".") > 1 else 1
        if domain.count(".") != depth or not self._companies.is_alive(domain, self.options.hit_rate):
            return _error(404, "Object not found")
        return http_answer(200, encode(self._record(domain)), RDAP)

    def _record(self, domain: str) -> dict[str, object]:
        draws = self._companies.draws("rdap", domain)
        name, number = pick(draws[0], _REGISTRARS)
        year = max(1995, self._companies.company(domain).founded_year)
        day = f"{1 + draws[1] % 12:02d}-{1 + draws[2] % 28:02d}T{draws[3] % 24:02d}:{draws[4] % 60:02d}:00"
        return {
            "objectClassName": "domain",
            "handle": f"{draws[5]}_DOMAIN_{domain.rpartition('.')[2].upper()}-SBX",
            "ldhName": domain.upper(),
            "status": ["client transfer prohibited"],
            "events": [
                {"eventAction": "registration", "eventDate": f"{year}-{day}Z"},
                {"eventAction": "expiration", "eventDate": f"2027-{day}Z"},
                {"eventAction": "last update of RDAP database", "eventDate": "2026-11-21T00:00:00Z"},
            ],
            "entities": [
                {
                    "objectClassName": "entity",
                    "handle": number,
                    "roles": ["registrar"],
                    "publicIds": [{"type": "IANA Registrar ID", "identifier": number}],
                    "vcardArray": ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", name]]],
                    "entities": [{"objectClassName": "entity", "roles": ["abuse"]}],
                }
            ],
            "secureDNS": {"delegationSigned": draws[6] & 3 == 0},
            "rdapConformance": ["rdap_level_0"],
            "notices": [{"title": "Terms of Use", "description": ["Invented data of a sandbox."]}],
        }


def _error(status: int, title: str, headers: str = "") -> Answer:
    return http_answer(status, encode({"errorCode": status, "title": title, "description": [title]}), RDAP, headers)


def _too_many(retry_after: int) -> Answer:
    return _error(429, "Too Many Requests", f"Retry-After: {retry_after}\r\n")


_CHALLENGE_PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
_UNKNOWN = {"html": b"<html><body><h1>404 Not Found</h1></body></html>", "empty": b""}
_FAILURES = {
    FaultMode.RATE_LIMITED: (_too_many(RETRY_S),),
    FaultMode.QUOTA_EXHAUSTED: (_too_many(3600),),
    FaultMode.AUTH: (http_answer(403, b"<html><body><h1>403 Forbidden</h1></body></html>", HTML),),
    FaultMode.FLAKY: (_error(500, "Internal Server Error"),),
    FaultMode.OUTAGE: (
        http_answer(503, b"<html><body><h1>503 Service Unavailable</h1></body></html>", HTML),
        _error(503, "Service Unavailable"),
    ),
}
