"""Wikidata's query service: items by their official website (section 4 of free-sources.md of the provider facts).

No SPARQL is evaluated: the addresses in the query's `VALUES` and the properties that it names decide what is told, in
the result format of SPARQL 1.1 with the variables `site`, `item`, `property`, `value` and what belongs to these. Each
item has its website in one spelling, and is found by that one only.

Magic values. Domains: `twin…` is the website of two items, `human…` that of a person.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from app.sandbox.calls import Calls
from app.sandbox.checks import share
from app.sandbox.companies import Companies, Company, Draws, clean_domain, keep, pick
from app.sandbox.emulator import ANSWERS_KEPT, HTML, TEXT, Answer, Request, encode, http_answer, path_and_query
from app.sandbox.faults import FaultMode
from app.sandbox.options import LimitedOptions, option
from app.sandbox.registers import cik, lei
from app.sandbox.windows import Windows

RESULTS = "application/sparql-results+json;charset=utf-8"
ENTITY = "http://www.wikidata.org/entity/"
FORMS = ("https://www.{}/", "https://www.{}", "https://{}/", "https://{}", "http://www.{}/", "http://{}")
EXCHANGES = ("New York Stock Exchange", "Nasdaq")
US_DOLLAR = "Q4917"
EURO = "Q4916"
# Programs that have not been told to say who they are.
ANONYMOUS = (b"python", b"curl", b"java", b"go-http")

_ADDRESS = re.compile(r"<(https?://[^<>\s]+)>")
_PROPERTY = re.compile(r"\bwd:(P\d+)\b")

Term = dict[str, str]
Row = dict[str, Term]


@dataclass(frozen=True, slots=True, kw_only=True)
class WikidataOptions(LimitedOptions):
    """`unknown_rate` is the share of statements whose value is not known: a blank node stands in its place."""

    hit_rate: float = 0.35
    unknown_rate: float = option(0.05, share)


class Wikidata:
    """The emulator of Wikidata's query service."""

    def __init__(self, companies: Companies, calls: Calls, options: WikidataOptions) -> None:  # noqa: ARG002
        self._companies = companies
        self._windows = Windows()
        self._rows = lru_cache(ANSWERS_KEPT)(self._rows_of)
        self.configure(options)

    def configure(self, options: WikidataOptions) -> None:
        """Take other options."""
        self.options = options
        self._windows.clear()
        self._rows.cache_clear()

    def answer(self, request: Request) -> Answer:
        """What the query service says."""
        path, parameters = path_and_query(request.target)
        if path != "/sparql" or request.method not in ("GET", "POST", "HEAD"):
            return http_answer(404, b"<html><body>404 Not Found</body></html>", HTML)
        if request.body:
            parameters |= dict(parse_qsl(request.body.decode("utf-8", "replace")))
        query = parameters.get("query", "")
        sites = _ADDRESS.findall(query)
        domains = dict.fromkeys(filter(None, map(clean_domain, sites)))
        keys = tuple(domains)
        agent = request.headers.get(b"user-agent", b"")
        if not agent or agent.lower().startswith(ANONYMOUS):
            return _FORBIDDEN._replace(keys=keys)
        limit = self.options.requests_per_minute
        if limit is not None:
            usage = self._windows.take(agent.decode("latin-1"), limit)
            if usage.exceeded:
                return _too_many(int(usage.resets_in) + 1)._replace(keys=keys)
        if "SELECT" not in query or query.count("{") != query.count("}"):
            return http_answer(
                400, b"SPARQL-QUERY: queryStr=\njava.util.concurrent.ExecutionException", TEXT, keys=keys
            )
        properties = frozenset(_PROPERTY.findall(query))
        asked = frozenset(sites)
        bindings = [
            row
            for domain in domains
            for row in self._rows(domain)
            if row["site"]["value"] in asked and _tail(row["property"]) in properties
        ]
        names = list(dict.fromkeys(name for row in bindings for name in row))
        body = encode({"head": {"vars": names}, "results": {"bindings": bindings}})
        return http_answer(200, body, RESULTS, keys=keys)

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:  # noqa: ARG002
        """How the query service fails. It knows no keys: auth is what it says to who does not say who it is. A query
        that takes too long ends in the middle of its answer."""
        forms = _FAILURES.get(mode) or (
            http_answer(200, b"<!DOCTYPE html><html><body>Wikimedia Error</body></html>", HTML),
            http_answer(200, answer.body[: len(answer.body) // 2] + _TIMED_OUT, RESULTS),
            http_answer(200, b'{"head":[],"results":[{"bindings":{}}]}', RESULTS),
        )
        return forms[turn % len(forms)]

    def _rows_of(self, domain: str) -> tuple[Row, ...]:
        if not self._companies.knows("wikidata", domain, self.options.hit_rate):
            return ()
        company = self._companies.company(domain)
        rows = [*self._about(company, "")]
        if domain.startswith("twin"):
            rows += self._about(company, "second ")
        return tuple(rows)

    def _about(self, company: Company, which: str) -> Iterator[Row]:
        draws = self._companies.draws(f"wikidata {which}", company.domain)
        number = 1_000_000 + (draws[0] << 8 | draws[1] >> 8)
        head: Row = {
            "site": _uri(pick(draws[2], FORMS).format(company.domain)),
            "item": _uri(f"{ENTITY}Q{number}"),
            # The label service puts the identifier where there is no label.
            "itemLabel": _text(keep(draws[3], 0.97, company.name) or f"Q{number}"),
        }
        if description := keep(draws[4], 0.8, f"{company.industry.industry.lower()} company in {company.place.city}"):
            head["itemDescription"] = _text(description)
        for place, (property_, cells) in enumerate(self._statements(company, draws)):
            if self._companies.knows("wikidata value", f"{company.domain} {place}", 1 - self.options.unknown_rate):
                yield head | {"property": _uri(ENTITY + property_)} | cells
            else:
                blank = {"type": "bnode", "value": f"t{place}"}
                yield head | {"property": _uri(ENTITY + property_), "value": blank, "valueLabel": _text(f"t{place}")}

    def _statements(self, company: Company, draws: Draws) -> Iterator[tuple[str, Row]]:
        is_human = company.domain.startswith("human")
        yield "P31", _thing("Q5", "human") if is_human else _thing("Q4830453", "business")
        yield "P571", {"value": _text(f"{company.founded_year}-01-01T00:00:00Z")}
        yield "P452", _thing(f"Q9{company.industry.sic}", company.industry.industry.lower())
        place = company.place
        yield "P159", _thing(f"Q8{place.postal_code[:3]}", place.city)
        yield "P17", _thing(f"Q7{place.phone[1:3]}", place.country) | {"code": _text(place.country_code)}
        if draws[5] & 1:
            figures = ((company.employees // 2 + 1, "2016"), (company.employees, "2024"))
            for count, year in figures:
                yield "P1128", {"value": _text(str(count)), "time": _text(f"{year}-01-01T00:00:00Z")}
        if draws[6] & 1:
            for amount, unit, year in ((company.revenue, US_DOLLAR, "2023"), (company.revenue // 2, EURO, "2024")):
                cells = {"value": _text(str(amount)), "unit": _uri(ENTITY + unit)}
                yield "P2139", cells | {"time": _text(f"{year}-12-31T00:00:00Z")}
        if company.ticker:
            yield "P414", _thing("Q13677", pick(draws[7], EXCHANGES)) | {"ticker": _text(company.ticker)}
            yield "P5531", {"value": _text(f"{cik(self._companies, company.domain):010d}")}
        if draws[8] & 1:
            yield "P1278", {"value": _text(lei(self._companies, company.domain))}
        yield "P4264", {"value": _text(company.handle)}
        if draws[9] & 1:
            yield "P2002", {"value": _text(company.handle.replace("-", "_"))}
        if draws[10] & 3 == 0:
            yield "P2037", {"value": _text(company.handle)}
        if draws[11] & 1:
            file = f"http://commons.wikimedia.org/wiki/Special:FilePath/{company.handle}%20logo.svg"
            yield "P154", {"value": _uri(file)}
        if draws[12] & 7 == 0:
            parent = f"{company.handle}-group"
            ended = {"ended": _text("2019-01-01T00:00:00Z")}
            yield "P749", _thing("Q6001", "Former Owner") | {"home": _uri("https://former-owner.com/")} | ended
            yield "P749", _thing("Q6002", parent) | {"home": _uri(f"https://www.{parent}.com/")}


def _uri(address: str) -> Term:
    return {"type": "uri", "value": address}


def _text(text: str) -> Term:
    return {"type": "literal", "value": text}


def _thing(identifier: str, label: str) -> Row:
    return {"value": _uri(ENTITY + identifier), "valueLabel": {"xml:lang": "en", **_text(label)}}


def _tail(term: Term) -> str:
    return term["value"].rpartition("/")[2]


def _too_many(retry_after: int) -> Answer:
    headers = f"Retry-After: {retry_after}\r\n"
    return http_answer(429, b"Rate limit exceeded", TEXT, headers)


_TIMED_OUT = b"\njava.util.concurrent.TimeoutException\n\tat java.util.concurrent.FutureTask.get(FutureTask.java:205)\n"
_FORBIDDEN = http_answer(403, b"Please respect our User-Agent policy.", TEXT)
_FAILURES = {
    FaultMode.OUTAGE: (
        http_answer(503, b"<!DOCTYPE html><html><body>Our servers are under maintenance.</body></html>", HTML),
        http_answer(503, b"Service Unavailable", TEXT),
    ),
    FaultMode.FLAKY: (http_answer(500, b"SPARQL-QUERY: queryStr=" + _TIMED_OUT, TEXT),),
    FaultMode.RATE_LIMITED: (_too_many(7),),
    FaultMode.QUOTA_EXHAUSTED: (_too_many(3600),),
    FaultMode.AUTH: (_FORBIDDEN,),
}
