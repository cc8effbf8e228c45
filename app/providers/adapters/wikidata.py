"""Wikidata's query service (docs/providers.md, Wikidata): companies by their official website, free and without a key.

Websites are written in several ways (http or https, with www, with a slash at the end), so that each domain is asked
for in all of them; many domains go into one query, which counts once. A query answers in rows of one statement each,
since a column for each property would multiply them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from app.provider_settings import WikidataSettings
from app.providers import identifiers, normalise
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    ProviderError,
    RateLimited,
)
from app.providers.http import HttpAnswer, VendorClient, is_json, retry_after, status_failure, user_agent
from app.providers.ports import Answer, Capabilities, Found, JsonValue, Missed, Query
from app.providers.wire import decode_object, encode, items, section

BASE_URL = "https://query.wikidata.org"

# Anybody can write there, and nobody has to.
CONFIDENCE = 0.9
# Figures that change from year to year, and often have not been touched for several.
FIGURES_CONFIDENCE = 0.6

# Domains in one query. Each is eight addresses and about forty rows: an answer of 1 MB in the worst case.
_BULK = 25
_SITES = tuple(
    f"{scheme}://{www}{{}}{end}" for scheme in ("https", "http") for www in ("www.", "") for end in ("/", "")
)

# What each field is read from.
_PROPERTIES: Mapping[str, str] = {
    "industry": "P452",
    "founded_year": "P571",
    "employee_count": "P1128",
    "annual_revenue": "P2139",
    "ticker": "P414",
    "exchange": "P414",
    "lei": "P1278",
    "cik": "P5531",
    "city": "P159",
    "country": "P17",
    "country_code": "P17",
    "linkedin_url": "P4264",
    "twitter_handle": "P2002",
    "github_org": "P2037",
    "logo_url": "P154",
    "parent_domain": "P749",
}
_FIELDS = ("name", "website", "description", *_PROPERTIES)
_FIGURES = ("employee_count", "annual_revenue")
_INSTANCE_OF = "P31"
# People have websites too.
_HUMAN = "Q5"
_UNKNOWN = "/.well-known/genid/"
# Amounts are canonical in US dollars only.
_US_DOLLAR = "Q4917"

# Statements of the best rank only, which leaves out deprecated ones. P249 is the ticker at an exchange, P585 the time
# that a figure is of, P582 when a statement ceased to hold, P297 the code of a country, P856 the website of a parent.
_QUERY = """
SELECT ?site ?item ?itemLabel ?itemDescription ?property ?value ?valueLabel ?ticker ?unit ?time ?ended ?code ?home
WHERE {
  VALUES ?site { %s }
  ?item wdt:P856 ?site .
  OPTIONAL {
    VALUES ?property { %s }
    ?property wikibase:claim ?claim ; wikibase:statementProperty ?holds .
    ?item ?claim ?statement .
    ?statement a wikibase:BestRank ; ?holds ?value .
    OPTIONAL { ?statement pq:P249 ?ticker }
    OPTIONAL { ?statement psv:P2139/wikibase:quantityUnit ?unit }
    OPTIONAL { ?statement pq:P585 ?time }
    OPTIONAL { ?statement pq:P582 ?ended }
    OPTIONAL { ?value wdt:P297 ?code }
    OPTIONAL { ?value wdt:P856 ?home }
  }
  SERVICE wikibase:label { bd:serviceParam wikibase:language "en,mul" . }
}
"""


class Wikidata:
    """Companies by domain."""

    name = "wikidata"
    capabilities = Capabilities(
        fields={"company": _FIELDS},
        needs={"company": (frozenset({"domain"}),)},
        requires_credential=False,
        bulk={"company": _BULK},
    )

    def __init__(self, settings: WikidataSettings) -> None:
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds
        self._client = VendorClient(
            self.name,
            settings.base_url or BASE_URL,
            headers={
                "User-Agent": user_agent(settings.contact),
                "Accept": "application/sparql-results+json",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            concurrency=settings.concurrency,
        )

    async def look_up(self, query: Query) -> Answer:
        """One query for one domain; several items with that website are a miss. Raises a ProviderError."""
        [said] = await self.look_up_many([query])
        if isinstance(said, ProviderError):
            raise said
        return said

    async def look_up_many(self, queries: Sequence[Query]) -> Sequence[Answer | ProviderError]:
        """One query for all of these domains: what it says of each, in their order, InvalidQuery for what is no domain.

        Raises a ProviderError for the query as a whole.
        """
        domains = [normalise.domain(query.subject["domain"]) for query in queries]
        known = dict.fromkeys(domain for domain in domains if domain is not None)
        companies: Mapping[str, list[_Item]] = {}
        if known:
            companies = self._companies(await self._ask(known, _properties(queries)))
        said: list[Answer | ProviderError] = []
        for query, domain in zip(queries, domains, strict=True):
            if domain is None:
                said.append(InvalidQuery(self.name, "this is not a domain"))
            else:
                said.append(_answer(companies.get(domain, []), query))
        return said

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _ask(self, domains: Collection[str], properties: Collection[str]) -> Sequence[Any]:
        sites = " ".join(f"<{site.format(domain)}>" for domain in domains for site in _SITES)
        asked = _QUERY % (sites, " ".join(f"wd:{each}" for each in properties))
        # By POST: a query for many domains is longer than an address may be.
        body = urlencode({"query": asked}).encode()
        answer = await self._client.request("POST", "/sparql", {"format": "json"}, body=body)
        if answer.status >= 300:
            raise self._failure(answer)
        if not is_json(answer):
            raise Malformed(self.name, "the answer is not JSON")
        results = decode_object(self.name, answer.body).get("results")
        if not isinstance(results, dict) or "bindings" not in results:
            raise Malformed(self.name, "there are no bindings")
        return items(self.name, results, "bindings")

    def _companies(self, rows: Sequence[Any]) -> Mapping[str, list["_Item"]]:
        """The items that are no people, by the domain of their website."""
        found: dict[str, dict[str, _Item]] = {}
        for row in rows:
            if not isinstance(row, dict):
                raise Malformed(self.name, "a binding is not an object")
            cells = self._cells(row)
            domain, item = normalise.domain(cells.get("site")), cells.get("item")
            if domain is not None and item is not None:
                found.setdefault(domain, {}).setdefault(item, _Item()).add(row, cells)
        return {domain: [each for each in entities.values() if not each.is_human] for domain, entities in found.items()}

    def _cells(self, row: Mapping[str, Any]) -> "_Cells":
        """The texts of a row. Each variable is an object with its value; one that is not bound is not there."""
        terms = {name: section(self.name, row, name) for name in row}
        cells = {name: text for name, term in terms.items() if isinstance(text := term.get("value"), str)}
        # An unknown value is a blank node.
        if terms.get("value", {}).get("type") == "bnode" or _UNKNOWN in cells.get("value", ""):
            cells.pop("property", None)
        # What has no label in English comes with its identifier in the place.
        for name in ("item", "value"):
            if cells.get(f"{name}Label") in (cells.get(name), _entity(cells.get(name))):
                cells.pop(f"{name}Label", None)
        return cells

    def _failure(self, answer: HttpAnswer) -> ProviderError:
        hint = retry_after(answer)
        match answer.status:
            case 400:
                return InvalidQuery(self.name, "refuses the query (status 400)")
            case 403 if hint is None:
                # For a User-Agent that names nobody, or for a day to who has asked on after a 429.
                return CredentialRejected(self.name, "does not serve this client")
            case 403 | 429:
                return RateLimited(self.name, "the time for queries of this client is used up", retry_after=hint)
        return status_failure(self.name, answer)


_Cells = dict[str, str]


class _Item:
    """What the rows say of one item."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self._cells: list[_Cells] = []

    def add(self, row: Mapping[str, Any], cells: _Cells) -> None:
        """Take a row of this item."""
        self.rows.append(row)
        self._cells.append(cells)

    @property
    def is_human(self) -> bool:
        """Whether it is a person."""
        return any(_entity(each.get("value")) == _HUMAN for each in self._statements(_INSTANCE_OF))

    def text(self, cell: str) -> str | None:
        """A text about the item itself, the same in every row of it."""
        return next(filter(None, (normalise.text(each.get(cell)) for each in self._cells)), None)

    def website(self) -> str | None:
        """The website; of several spellings the one that sorts first."""
        return min(filter(None, (normalise.url(each.get("site")) for each in self._cells)), default=None)

    def read(self, field: str, cell: str, reading: Callable[[object], JsonValue]) -> JsonValue:
        """The value of the latest statement that can be read; of several that are as late the one that sorts first,
        since they come in any order."""
        statements = self._statements(_PROPERTIES[field])
        if field == "annual_revenue":
            statements = [each for each in statements if _entity(each.get("unit")) == _US_DOLLAR]
        statements.sort(key=lambda each: (each.get("value", ""), each.get(cell, "")))
        statements.sort(key=lambda each: each.get("time", ""), reverse=True)
        return next((value for each in statements if (value := reading(each.get(cell))) is not None), None)

    def _statements(self, property_: str) -> list[_Cells]:
        """Those of a property that still hold."""
        return [each for each in self._cells if _entity(each.get("property")) == property_ and "ended" not in each]


def _answer(found: Sequence[_Item], query: Query) -> Answer:
    if len(found) != 1:
        return Missed()
    item = found[0]
    own_domain = normalise.domain(query.subject["domain"])

    def parent(value: object) -> str | None:
        domain = normalise.domain(value)
        return None if domain == own_domain else domain

    values = normalise.asked_for(
        query.fields,
        (
            ("name", lambda: item.text("itemLabel")),
            ("website", item.website),
            ("description", lambda: item.text("itemDescription")),
            ("industry", lambda: item.read("industry", "valueLabel", normalise.text)),
            ("founded_year", lambda: item.read("founded_year", "value", normalise.year)),
            ("employee_count", lambda: item.read("employee_count", "value", normalise.count)),
            ("annual_revenue", lambda: item.read("annual_revenue", "value", normalise.count)),
            ("ticker", lambda: item.read("ticker", "ticker", normalise.text)),
            ("exchange", lambda: item.read("exchange", "valueLabel", normalise.text)),
            ("lei", lambda: item.read("lei", "value", identifiers.lei)),
            ("cik", lambda: item.read("cik", "value", identifiers.cik)),
            ("city", lambda: item.read("city", "valueLabel", normalise.text)),
            ("country", lambda: item.read("country", "valueLabel", normalise.country)),
            ("country_code", lambda: item.read("country_code", "code", normalise.country_code)),
            ("linkedin_url", lambda: item.read("linkedin_url", "value", _linkedin_url)),
            ("twitter_handle", lambda: item.read("twitter_handle", "value", normalise.twitter_handle)),
            ("github_org", lambda: item.read("github_org", "value", normalise.github_handle)),
            ("logo_url", lambda: item.read("logo_url", "value", normalise.url)),
            ("parent_domain", lambda: item.read("parent_domain", "home", parent)),
        ),
    )
    if not values:
        return Missed()
    raw = encode(Wikidata.name, item.rows)
    doubts = {field: FIGURES_CONFIDENCE for field in _FIGURES if field in values}
    return Found(values, CONFIDENCE, doubts, raw)


def _properties(queries: Sequence[Query]) -> Sequence[str]:
    """The properties that anybody asks for, and what the item is."""
    wanted = {
        property_
        for field, property_ in _PROPERTIES.items()
        if any(query.fields is None or field in query.fields for query in queries)
    }
    return sorted(wanted | {_INSTANCE_OF})


def _entity(address: str | None) -> str | None:
    """``Q5`` of the address of an item or a property."""
    return address.rpartition("/")[2] if address else None


def _linkedin_url(value: object) -> str | None:
    """Wikidata has what follows ``/company/``, a name or a number."""
    return normalise.linkedin_url(value, "company")
