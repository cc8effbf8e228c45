"""GLEIF's API v1: the records of legal entities by their name (section 3 of free-sources.md of the provider facts).

Open questions of the documents are options: `name_filter` (the filter by legal name wants its words, or the whole of
it) and `requests_per_minute`, which the documents do not state and users put at 60.

The filter by words finds more than the company that is meant: some have a holding, some had a predecessor of the same
name, which is inactive. Names that begin with `Twin` belong to two companies.
"""

from dataclasses import dataclass
from functools import lru_cache

from app.sandbox.calls import Calls
from app.sandbox.checks import one_of
from app.sandbox.companies import Companies, Company, keep
from app.sandbox.emulator import ANSWERS_KEPT, HTML, Answer, Request, encode, http_answer, path_and_query
from app.sandbox.faults import FaultMode
from app.sandbox.options import LimitedOptions, option
from app.sandbox.registers import domain_of_legal_name, lei, words
from app.sandbox.windows import Windows

JSON_API = "application/vnd.api+json"
RECORDS = "/api/v1/lei-records"
NAME_FILTER = "filter[entity.legalName]"
PAGE = 15
LARGEST_PAGE = 200
WITH_HOLDING = 0.3
WITH_PREDECESSOR = 0.2
LAPSED = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class GleifOptions(LimitedOptions):
    """`name_filter` chooses between readings that no primary source decides."""

    hit_rate: float = 0.5
    name_filter: str = option("words", one_of("words", "whole"))


class Gleif:
    """The emulator of GLEIF."""

    def __init__(self, companies: Companies, calls: Calls, options: GleifOptions) -> None:  # noqa: ARG002
        self._companies = companies
        self._windows = Windows()
        self._prepared = lru_cache(ANSWERS_KEPT)(self._prepare)
        self.configure(options)

    def configure(self, options: GleifOptions) -> None:
        """Take other options."""
        self.options = options
        self._windows.clear()
        self._prepared.cache_clear()

    def answer(self, request: Request) -> Answer:
        """What GLEIF says."""
        if request.method not in ("GET", "HEAD"):
            return _refusal(405, "Method Not Allowed", "Only GET is supported.")
        answer = self._prepared(request.target)
        limit = self.options.requests_per_minute
        if limit is not None:
            usage = self._windows.take("", limit)
            if usage.exceeded:
                return _too_many(int(usage.resets_in) + 1)._replace(keys=answer.keys)
        return answer

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:  # noqa: ARG002
        """How GLEIF fails. It knows no keys and no quota: auth is a wall in front of it, quota a long limit."""
        forms = _FAILURES.get(mode) or (
            http_answer(200, _WALL, HTML),
            http_answer(200, answer.body[: len(answer.body) // 2], JSON_API),
            http_answer(200, b'{"data":{"type":"lei-records"},"meta":"42"}', JSON_API),
        )
        return forms[turn % len(forms)]

    def _prepare(self, target: str) -> Answer:
        path, query = path_and_query(target)
        if path != RECORDS:
            return _refusal(404, "Not Found", "The requested resource does not exist.")
        name = query.get(NAME_FILTER, "")
        size, number = (query.get(f"page[{key}]", default) for key, default in (("size", str(PAGE)), ("number", "1")))
        if not name or not size.isdecimal() or not number.isdecimal() or not 0 < int(size) <= LARGEST_PAGE:
            return _refusal(400, "Bad Request", "A filter or the page is not valid.")
        return _page(self._records(name), int(size), int(number))._replace(keys=(name,))

    def _records(self, name: str) -> list[dict[str, object]]:
        domain = domain_of_legal_name(name)
        if not domain or not self._companies.knows("gleif", domain, self.options.hit_rate):
            return []
        company = self._companies.company(domain)
        draws = self._companies.draws("gleif", domain)
        entities = [(company.legal_name, domain, True)]
        if draws[0] < WITH_PREDECESSOR * 65536:
            entities.append((company.legal_name, f"former {domain}", False))
        if draws[1] < WITH_HOLDING * 65536:
            entities.append((f"{company.name} Holding {company.place.legal_suffix}", f"holding {domain}", True))
        if company.name.startswith("Twin"):
            entities.append((company.legal_name, f"twin {domain}", True))
        return [
            _record(legal_name, lei(self._companies, key), company, is_active, draws)
            for legal_name, key, is_active in entities
            if self._passes(name, legal_name)
        ]

    def _passes(self, asked: str, legal_name: str) -> bool:
        if self.options.name_filter == "whole":
            return words(asked) == words(legal_name)
        return set(words(asked)) <= set(words(legal_name))


def _record(legal_name: str, code: str, company: Company, is_active: bool, draws: tuple[int, ...]) -> dict[str, object]:
    place = company.place
    address = {
        "language": "en",
        "addressLines": [company.street, *filter(None, [keep(draws[2], 0.2, "Floor 2")])],
        "addressNumber": None,
        "addressNumberWithinBuilding": None,
        "mailRouting": None,
        "city": place.city,
        "region": f"{place.country_code}-{place.region_code}",
        "country": place.country_code,
        "postalCode": place.postal_code,
    }
    created = f"{company.founded_year}-{1 + draws[3] % 12:02d}-{1 + draws[4] % 28:02d}T00:00:00Z"
    lapsed = draws[5] < LAPSED * 65536
    entity = {
        "legalName": {"name": legal_name, "language": "en"},
        "otherNames": [{"name": company.name, "language": "en", "type": "TRADING_OR_OPERATING_NAME"}],
        "transliteratedOtherNames": [],
        "legalAddress": address,
        "headquartersAddress": address,
        "registeredAt": {"id": "RA000000", "other": None},
        "registeredAs": str(100_000 + draws[6]),
        "jurisdiction": place.country_code,
        "category": "GENERAL",
        "legalForm": {"id": "8888", "other": place.legal_suffix},
        "associatedEntity": {"lei": None, "name": None},
        "status": "ACTIVE" if is_active else "INACTIVE",
        "expiration": {"date": None, "reason": None},
        "successorEntity": {"lei": None, "name": None},
        "otherAddresses": [],
        "creationDate": created,
    }
    registration = {
        "initialRegistrationDate": "2014-03-03T09:00:00Z",
        "lastUpdateDate": "2025-03-03T09:00:00Z",
        "status": ("LAPSED" if lapsed else "ISSUED") if is_active else "RETIRED",
        "nextRenewalDate": "2024-03-03T09:00:00Z" if lapsed else "2027-03-03T09:00:00Z",
        "managingLou": "EVK05KS7XY1DEII3R011",
        "corroborationLevel": "FULLY_CORROBORATED",
    }
    attributes = {"lei": code, "entity": entity, "registration": registration, "bic": None}
    links = {"self": f"https://api.gleif.org/api/v1/lei-records/{code}"}
    return {"type": "lei-records", "id": code, "attributes": attributes, "relationships": {}, "links": links}


def _page(records: list[dict[str, object]], size: int, number: int) -> Answer:
    begin = (number - 1) * size
    shown = records[begin : begin + size]
    pagination = {
        "currentPage": number,
        "perPage": size,
        "from": begin + 1 if shown else None,
        "to": begin + len(shown) if shown else None,
        "total": len(records),
        "lastPage": max(1, -(-len(records) // size)),
    }
    golden_copy = {"publishDate": "2026-11-02T08:00:00Z"}
    body = {"meta": {"goldenCopy": golden_copy, "pagination": pagination}, "links": {}, "data": shown}
    return http_answer(200, encode(body), JSON_API)


def _refusal(status: int, title: str, detail: str, headers: str = "") -> Answer:
    error = {"status": str(status), "title": title, "detail": detail}
    return http_answer(status, encode({"errors": [error]}), JSON_API, headers)


def _too_many(retry_after: int) -> Answer:
    return _refusal(429, "Too Many Requests", "Too Many Attempts.", f"Retry-After: {retry_after}\r\n")


_WALL = b"<!DOCTYPE html><html><head><title>Attention required</title></head><body>Blocked</body></html>"
_FAILURES = {
    FaultMode.OUTAGE: (
        http_answer(503, b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>", HTML),
        _refusal(503, "Service Unavailable", "Try again later."),
    ),
    FaultMode.FLAKY: (_refusal(500, "Server Error", "Something went wrong."),),
    FaultMode.RATE_LIMITED: (_too_many(7),),
    FaultMode.QUOTA_EXHAUSTED: (_too_many(3600),),
    FaultMode.AUTH: (http_answer(403, _WALL, HTML),),
}
