"""What Wikidata's query service is asked, and how its rows become one company."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import pytest

from app.provider_settings import WikidataSettings
from app.providers.adapters.wikidata import Wikidata
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    Outage,
    ProviderError,
    RateLimited,
    Transient,
)
from app.providers.gate import GatedSource
from app.providers.ports import Answer, Found, Missed, Query
from tests.providers.conftest import Control
from tests.providers.stubs import Server, answer, company, serving

RESULTS = "application/sparql-results+json;charset=utf-8"
ENTITY = "http://www.wikidata.org/entity/"
LEI = "98450DV7KQ2M4T1XW896"
ACME = company("acme.com")


def wanting(*fields: str) -> Query:
    return Query("company", "domain:acme.com", {"domain": "acme.com"}, fields=fields)


def literal(value: str) -> dict[str, str]:
    return {"type": "literal", "value": value}


def thing(identifier: str, label: str | None = None) -> dict[str, Any]:
    # The label service puts the identifier where there is no label.
    return {"value": {"type": "uri", "value": ENTITY + identifier}, "valueLabel": literal(label or identifier)}


def row(
    property_: str, text: str | None = None, /, *, item: str = "Q1", site: str = "https://www.acme.com/", **cells: Any
) -> dict[str, Any]:
    terms = cells if text is None else {"value": text, **cells}
    return {
        "site": {"type": "uri", "value": site},
        "item": {"type": "uri", "value": ENTITY + item},
        "itemLabel": literal("Acme"),
        "itemDescription": literal("solar company"),
        "property": {"type": "uri", "value": ENTITY + property_},
        **{name: term if isinstance(term, dict) else literal(term) for name, term in terms.items()},
    }


ROWS = [
    row("P31", **thing("Q4830453", "business")),
    row("P571", "1999-03-01T00:00:00Z"),
    row("P452", **thing("Q2", "energy industry")),
    row("P1128", "120", time="2024-01-01T00:00:00Z"),
    row("P2139", "5000000", unit=f"{ENTITY}Q4917"),
    row("P414", **thing("Q13677", "New York Stock Exchange"), ticker="ACME"),
    row("P1278", LEI),
    row("P5531", "0001234567"),
    row("P159", **thing("Q16559", "Austin")),
    row("P17", **thing("Q30", "United States of America"), code="US"),
    row("P4264", "acme-solar"),
    row("P2002", "acme"),
    row("P2037", "acme-oss"),
    row("P154", "http://commons.wikimedia.org/wiki/Special:FilePath/Acme%20logo.svg"),
    row("P749", **thing("Q9", "Acme Group"), home="https://www.acme-group.com/"),
]


def bindings(rows: Sequence[Any]) -> bytes:
    body = {"head": {"vars": ["site", "item"]}, "results": {"bindings": rows}}
    return answer(200, json.dumps(body).encode(), RESULTS)


@asynccontextmanager
async def wikidata_hearing(said: bytes) -> AsyncIterator[tuple[Wikidata, Server]]:
    async with serving(said) as server:
        wikidata = Wikidata(WikidataSettings(base_url=server.url, contact="ops@holdfast.example"))
        try:
            yield wikidata, server
        finally:
            await wikidata.close()


async def ask(said: bytes, query: Query = ACME) -> Answer:
    async with wikidata_hearing(said) as (wikidata, _):
        return await wikidata.look_up(query)


async def read(rows: Sequence[Any], field: str) -> Any:
    """The value of a field, None for a miss."""
    said = await ask(bindings(rows), wanting(field))
    return said.values.get(field) if isinstance(said, Found) else None


async def test_the_rows_of_an_item_are_read_into_canonical_fields():
    found = await ask(bindings(ROWS))
    assert isinstance(found, Found)
    assert found.values == {
        "name": "Acme",
        "website": "https://www.acme.com/",
        "description": "solar company",
        "industry": "energy industry",
        "founded_year": 1999,
        "employee_count": 120,
        "annual_revenue": 5_000_000,
        "ticker": "ACME",
        "exchange": "New York Stock Exchange",
        "lei": LEI,
        "cik": "0001234567",
        "city": "Austin",
        "country": "United States",
        "country_code": "US",
        "linkedin_url": "https://www.linkedin.com/company/acme-solar",
        "twitter_handle": "acme",
        "github_org": "acme-oss",
        "logo_url": "http://commons.wikimedia.org/wiki/Special:FilePath/Acme%20logo.svg",
        "parent_domain": "acme-group.com",
    }
    assert found.raw is not None
    assert json.loads(found.raw) == ROWS


async def test_figures_are_less_sure_than_the_rest():
    found = await ask(bindings(ROWS))
    assert isinstance(found, Found)
    assert found.confidence == 0.9
    assert found.confidences == {"employee_count": 0.6, "annual_revenue": 0.6}


@pytest.mark.parametrize("reverse", [False, True])
async def test_the_latest_figure_counts_in_whatever_order_they_come(reverse: bool):
    rows = [
        row("P1128", "80", time="2016-01-01T00:00:00Z"),
        row("P1128", "120", time="2024-01-01T00:00:00Z"),
        row("P1128", "999"),
    ]
    assert await read(rows[::-1] if reverse else rows, "employee_count") == 120


@pytest.mark.parametrize("reverse", [False, True])
async def test_of_several_that_are_as_late_always_the_same_counts(reverse: bool):
    rows = [row("P571", "1999-01-01T00:00:00Z"), row("P571", "2004-01-01T00:00:00Z")]
    assert await read(rows[::-1] if reverse else rows, "founded_year") == 1999


async def test_revenue_in_another_currency_is_none():
    euros = row("P2139", "7000000", unit=f"{ENTITY}Q4916", time="2025-01-01T00:00:00Z")
    assert await read([euros, row("P2139", "5")], "annual_revenue") is None
    assert await read([euros, row("P2139", "5", unit=f"{ENTITY}Q4917")], "annual_revenue") == 5


async def test_what_has_ceased_to_hold_is_none():
    rows = [
        row("P749", **thing("Q9"), home="https://old.example.com", ended="2019-01-01T00:00:00Z"),
        row("P749", **thing("Q8"), home="https://www.new-owner.com"),
    ]
    assert await read(rows, "parent_domain") == "new-owner.com"


async def test_an_unknown_value_is_none():
    blank = {"type": "bnode", "value": "t123"}
    assert await read([row("P4264", value=blank)], "linkedin_url") is None
    named = {"type": "uri", "value": "http://www.wikidata.org/.well-known/genid/0a1b"}
    assert await read([row("P452", value=named, valueLabel="0a1b")], "industry") is None


async def test_an_identifier_in_place_of_a_label_is_none():
    assert await read([row("P452", **thing("Q2"))], "industry") is None
    assert await read([row("P31") | {"itemLabel": literal("Q1")}], "name") is None
    # A company may be called like another item.
    assert await read([row("P31") | {"itemLabel": literal("Q8")}], "name") == "Q8"


async def test_a_parent_with_the_same_website_is_none():
    assert await read([row("P749", **thing("Q9"), home="http://acme.com")], "parent_domain") is None


async def test_two_items_with_the_same_website_are_a_miss():
    assert await ask(bindings([*ROWS, row("P31", item="Q77", **thing("Q4830453"))])) == Missed()


async def test_a_person_is_no_company_and_does_not_stand_in_the_way_of_one():
    person = row("P31", item="Q77", **thing("Q5", "human"))
    assert await ask(bindings([person])) == Missed()
    assert isinstance(await ask(bindings([person, *ROWS])), Found)


async def test_no_rows_are_a_miss():
    assert await ask(bindings([])) == Missed()
    assert await ask(bindings(ROWS), wanting("phone")) == Missed()


async def test_a_domain_is_asked_for_in_every_spelling_and_only_for_what_is_wanted():
    async with wikidata_hearing(bindings([])) as (wikidata, server):
        await wikidata.look_up(wanting("lei", "employee_count", "name"))
    head = server.requests[0]
    assert head.startswith("POST /sparql?format=json HTTP/1.1")
    assert "User-Agent: Holdfast/0.1 (enrichment of business records; ops@holdfast.example)" in head
    [query] = parse_qs(server.bodies[0].decode())["query"]
    for scheme in ("http", "https"):
        for host in ("acme.com", "www.acme.com"):
            for end in ("", "/"):
                assert f"<{scheme}://{host}{end}>" in query
    assert "{ wd:P1128 wd:P1278 wd:P31 }" in query


async def test_many_domains_go_into_one_query_and_each_gets_its_own_answer():
    rows = [*ROWS, row("P571", "2010-01-01T00:00:00Z", item="Q2", site="http://poe.com")]
    queries = [company("none.com"), company("poe.com"), company("no domain"), ACME, company("poe.com")]
    async with wikidata_hearing(bindings(rows)) as (wikidata, server):
        missed, poe, invalid, acme, again = await wikidata.look_up_many(queries)
    assert len(server.requests) == 1
    assert missed == Missed()
    assert isinstance(invalid, InvalidQuery)
    assert isinstance(acme, Found)
    assert acme.values["founded_year"] == 1999
    assert isinstance(poe, Found)
    assert poe.values["founded_year"] == 2010
    assert poe == again
    assert poe.raw is not None
    assert json.loads(poe.raw) == rows[-1:]


@pytest.mark.parametrize("domain", ["no domain", "acme.com> }", "a{b}.com"])
async def test_what_is_no_domain_is_not_asked_for(domain: str):
    async with wikidata_hearing(bindings(ROWS)) as (wikidata, server):
        with pytest.raises(InvalidQuery):
            await wikidata.look_up(company(domain))
    assert server.requests == []


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (answer(400, b"SPARQL-QUERY", "text/plain"), InvalidQuery),
        (answer(403, b"User-Agent policy", "text/plain"), CredentialRejected),
        (answer(403, b"banned", "text/plain", "Retry-After: 86400"), RateLimited),
        (answer(429, b"", "text/plain"), RateLimited),
        (answer(500, b"java.util.concurrent.TimeoutException", "text/plain"), Transient),
        (answer(502, b"<html>", "text/html"), Transient),
        (answer(503, b"<html>", "text/html"), Outage),
        (answer(301), Malformed),
        (answer(200, b"<html>", "text/html"), Malformed),
        (answer(200, b'{"results": {"bindings": [\njava.util.concurrent.TimeoutException', RESULTS), Malformed),
        (answer(200, b"{}", RESULTS), Malformed),
        (answer(200, b'{"results": []}', RESULTS), Malformed),
        (answer(200, b'{"results": {"bindings": {}}}', RESULTS), Malformed),
        (bindings(["row"]), Malformed),
        (bindings([row("P31") | {"site": "https://acme.com"}]), Malformed),
    ],
)
async def test_each_status_and_each_broken_body_has_its_class(said: bytes, kind: type[ProviderError]):
    with pytest.raises(ProviderError) as raised:
        await ask(said)
    assert type(raised.value) is kind
    assert raised.value.provider == "wikidata"


async def test_it_says_when_there_is_time_for_queries_again():
    with pytest.raises(RateLimited) as raised:
        await ask(answer(429, b"", "text/plain", "Retry-After: 60"))
    assert raised.value.retry_after == 60


async def test_in_the_sandbox_many_at_once_say_what_each_says_alone(sources: dict[str, GatedSource], control: Control):
    queries = [company(f"company-{number}.com") for number in range(25)]
    together = await sources["wikidata"].look_up_many(queries)
    assert (await control("GET", "/_calls"))["wikidata"]["total"] == 1
    assert [await sources["wikidata"].look_up(query) for query in queries] == together
    assert {type(each) for each in together} == {Found, Missed}


@pytest.mark.parametrize("domain", ["twin-peaks.com", "human-being.com"])
async def test_in_the_sandbox_websites_of_two_items_and_of_people_are_a_miss(
    sources: dict[str, GatedSource], control: Control, domain: str
):
    await control("PUT", "/_options/wikidata", hit_rate=1, unknown_rate=0)
    assert await sources["wikidata"].look_up(company(domain)) == Missed()
    assert isinstance(await sources["wikidata"].look_up(company("plain.com")), Found)


async def test_in_the_sandbox_a_client_whose_minute_is_spent_is_told_when_it_is_over(
    sources: dict[str, GatedSource], control: Control
):
    await control("PUT", "/_options/wikidata", requests_per_minute=1)
    await sources["wikidata"].look_up(ACME)
    with pytest.raises(RateLimited) as raised:
        await sources["wikidata"].look_up(ACME)
    assert raised.value.retry_after is not None
    assert 55 < raised.value.retry_after <= 61
