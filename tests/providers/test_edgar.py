"""EDGAR: the list of listed companies, kept for a day, and what the SEC says of one of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.provider_settings import EdgarSettings
from app.providers.adapters.edgar import DIRECTORY_SECONDS, LISTED_LIMIT, Edgar
from app.providers.errors import InvalidQuery, Malformed, Outage, ProviderError, RateLimited, Throttled, Transient
from app.providers.gate import GatedSource
from app.providers.ports import Answer, Found, Missed, Query
from tests.providers.conftest import Control
from tests.providers.stubs import Clock, Server, answer, company, serving

LISTED = {
    "0": {"cik_str": 1234567, "ticker": "ACME", "title": "ACME SOLAR INC /DE/"},
    "1": {"cik_str": 2, "ticker": "TWIN", "title": "Twin Corp"},
    "2": {"cik_str": 3, "ticker": "TWNN", "title": "TWIN CORP"},
    "3": {"cik_str": 1234567, "ticker": "ACME-B", "title": "ACME SOLAR INC /DE/"},
    "4": {"cik_str": None, "ticker": "X", "title": "Without Number Inc"},
}
COMPANY = {
    "cik": "0001234567",
    "entityType": "operating",
    "sic": "4911",
    "sicDescription": "Electric Services",
    "name": "ACME SOLAR INC",
    "tickers": ["ACME", "ACME-B"],
    "exchanges": [None, "NYSE"],
    "description": "",
    "website": "acme.com",
    "addresses": {
        "mailing": {"city": "DOVER"},
        "business": {
            "street1": "1 MILL LANE",
            "street2": "SUITE 200",
            "city": "AUSTIN",
            "stateOrCountry": "TX",
            "zipCode": "78701",
        },
    },
    "phone": "212-555-0100",
    "filings": {"recent": {"form": ["10-K"]}},
}


def by_name(name: str, *fields: str) -> Query:
    return Query("company", f"name:{name.casefold()}", {"name": name}, fields=fields or None)


def said(value: Any, *headers: str) -> bytes:
    return answer(200, json.dumps(value).encode(), "application/json", *headers)


TICKERS = said(LISTED, 'ETag: "v1"')
# As the sandbox and the fact sheet have it: no JSON, no header.
REFUSED = answer(403, b"<html>Request Rate Threshold Exceeded</html>", "text/html")


@asynccontextmanager
async def edgar_hearing(*answers: bytes, clock: Clock | None = None) -> AsyncIterator[tuple[Edgar, Server]]:
    async with serving(*answers) as server:
        edgar = Edgar(EdgarSettings(base_url=server.url, contact="ops@holdfast.example"), clock or Clock())
        try:
            yield edgar, server
        finally:
            await edgar.close()


async def ask(*answers: bytes, query: Query | None = None) -> Answer:
    async with edgar_hearing(*answers) as (edgar, _):
        return await edgar.look_up(query or by_name("Acme Solar, Inc."))


async def test_a_listed_company_is_read_into_canonical_fields():
    found = await ask(TICKERS, said(COMPANY))
    assert isinstance(found, Found)
    assert found.values == {
        "legal_name": "ACME SOLAR INC",
        "domain": "acme.com",
        "website": "https://acme.com",
        "industry": "Electric Services",
        "sic": "4911",
        "type": "public",
        "ticker": "ACME",
        "exchange": "NYSE",
        "cik": "0001234567",
        "phone": "+12125550100",
        "street": "1 MILL LANE, SUITE 200",
        "city": "AUSTIN",
        "region": "Texas",
        "postal_code": "78701",
        "country": "United States",
        "country_code": "US",
    }
    assert found.confidence == 0.9


async def test_what_is_kept_of_the_answer_leaves_out_the_list_of_filings():
    found = await ask(TICKERS, said(COMPANY))
    assert isinstance(found, Found)
    assert found.raw is not None
    assert json.loads(found.raw) == {key: value for key, value in COMPANY.items() if key != "filings"}


async def test_only_what_is_asked_for_is_told():
    found = await ask(TICKERS, said(COMPANY), query=by_name("Acme Solar Inc", "cik", "sic"))
    assert isinstance(found, Found)
    assert found.values == {"cik": "0001234567", "sic": "4911"}


async def test_a_name_without_its_legal_form_is_less_sure():
    found = await ask(TICKERS, said(COMPANY), query=by_name("Acme Solar"))
    assert isinstance(found, Found)
    assert found.confidence == 0.6


async def test_a_place_abroad_is_known_where_it_is_spelled_out():
    address = {"city": "LONDON", "stateOrCountry": "X0", "stateOrCountryDescription": "United Kingdom"}
    fields = ("city", "region", "country", "country_code")
    spelled_out = await ask(
        TICKERS, said({"addresses": {"business": address}}), query=by_name("Acme Solar Inc", *fields)
    )
    assert isinstance(spelled_out, Found)
    assert spelled_out.values == {"city": "LONDON", "country": "United Kingdom", "country_code": "GB"}
    del address["stateOrCountryDescription"]
    code = await ask(TICKERS, said({"addresses": {"business": address}}), query=by_name("Acme Solar Inc", *fields))
    assert isinstance(code, Found)
    assert code.values == {"city": "LONDON"}


@pytest.mark.parametrize("name", ["Acme", "Acme Solar GmbH", "Without Number Inc", "Twin Corp", "Twin"])
async def test_a_name_that_no_one_company_has_is_a_miss_without_another_request(name: str):
    async with edgar_hearing(TICKERS) as (edgar, server):
        assert await edgar.look_up(by_name(name)) == Missed()
    assert len(server.requests) == 1


async def test_a_number_that_is_not_known_any_more_is_a_miss():
    assert await ask(TICKERS, answer(404, b"<Error/>", "application/xml")) == Missed()


async def test_the_list_is_fetched_once_for_all_and_each_company_by_its_number():
    async with edgar_hearing(TICKERS, said(COMPANY)) as (edgar, server):
        await asyncio.gather(*(edgar.look_up(by_name("Acme Solar Inc")) for _ in range(5)))
    lines = [head.splitlines()[0] for head in server.requests]
    assert lines[0] == "GET /www/files/company_tickers.json HTTP/1.1"
    assert lines[1:] == ["GET /data/submissions/CIK0001234567.json HTTP/1.1"] * 5
    assert all(
        "User-Agent: Holdfast/0.1 (enrichment of business records; ops@holdfast.example)" in head
        for head in server.requests
    )


async def test_the_list_is_fetched_anew_after_a_day_and_kept_where_it_has_not_changed():
    clock = Clock()
    renamed = said({"0": {"cik_str": 7, "ticker": "NEW", "title": "Renamed Inc"}})
    same = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    async with edgar_hearing(TICKERS, same, renamed, clock=clock) as (edgar, server):
        for name in ("Unlisted", "Unlisted", "Renamed Inc"):
            assert await edgar.look_up(by_name(name)) == Missed()
        assert len(server.requests) == 1
        clock.now += DIRECTORY_SECONDS
        assert await edgar.look_up(by_name("Unlisted")) == Missed()
        assert 'if-none-match: "v1"' in server.requests[1].lower()
        clock.now += DIRECTORY_SECONDS - 1
        assert await edgar.look_up(by_name("Unlisted")) == Missed()
        assert len(server.requests) == 2
        clock.now += 1
        assert await edgar.look_up(by_name("Acme Solar Inc")) == Missed()
    assert len(server.requests) == 3


async def test_of_a_list_without_end_only_so_much_is_kept():
    endless = {str(n): {"cik_str": n + 1, "ticker": "T", "title": f"Company {n}"} for n in range(LISTED_LIMIT + 1)}
    async with edgar_hearing(said(endless), answer(404)) as (edgar, server):
        for number, requests in ((LISTED_LIMIT, 1), (LISTED_LIMIT - 1, 2)):
            assert await edgar.look_up(by_name(f"Company {number}")) == Missed()
            assert len(server.requests) == requests


async def test_a_list_that_could_not_be_fetched_is_asked_for_again():
    async with edgar_hearing(answer(500), TICKERS, said(COMPANY)) as (edgar, _):
        with pytest.raises(Transient):
            await edgar.look_up(by_name("Acme Solar Inc"))
        assert isinstance(await edgar.look_up(by_name("Acme Solar Inc")), Found)


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("before", [(), (TICKERS,)], ids=["list", "company"])
async def test_who_was_too_fast_waits_ten_minutes(status: int, before: tuple[bytes, ...]):
    with pytest.raises(RateLimited) as raised:
        await ask(*before, answer(status, b"<html>", "text/html"))
    assert raised.value.retry_after == 600


async def test_a_hint_that_it_does_give_is_believed():
    with pytest.raises(RateLimited) as raised:
        await ask(answer(429, b"<html>", "text/html", "Retry-After: 30"))
    assert raised.value.retry_after == 30


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ((answer(500, b"<html>", "text/html"),), Transient),
        ((answer(503, b"<html>", "text/html"),), Outage),
        ((answer(404, b"<html>", "text/html"),), Malformed),
        ((answer(200, b"<html>", "text/html"),), Malformed),
        ((said([]),), Malformed),
        ((said({}),), Malformed),
        ((said({"0": {"title": "Acme"}}),), Malformed),
        ((said({"0": [1]}),), Malformed),
        ((TICKERS, answer(400, b"", "text/plain")), InvalidQuery),
        ((TICKERS, answer(502, b"<html>", "text/html")), Transient),
        ((TICKERS, answer(200, b"<html>", "text/html")), Malformed),
        ((TICKERS, answer(200, b'{"cik": ')), Malformed),
        ((TICKERS, said(COMPANY | {"addresses": "none"})), Malformed),
        ((TICKERS, said(COMPANY | {"tickers": 42})), Malformed),
    ],
)
async def test_each_status_and_each_broken_body_has_its_class(answers: tuple[bytes, ...], kind: type[ProviderError]):
    with pytest.raises(ProviderError) as raised:
        await ask(*answers)
    assert type(raised.value) is kind
    assert raised.value.provider == "edgar"


@pytest.mark.parametrize("limit_status", [403, 429])
async def test_in_the_sandbox_a_second_with_too_many_closes_the_door_and_nobody_knocks_again(
    sources: dict[str, GatedSource], control: Control, limit_status: int
):
    await control("PUT", "/_options/edgar", requests_per_second=1, limit_status=limit_status)
    edgar, query = sources["edgar"], by_name("Company 23")
    said = await asyncio.gather(*(edgar.look_up(query) for _ in range(20)), return_exceptions=True)
    refused = [each for each in said if type(each) is RateLimited]
    assert refused
    assert {each.retry_after for each in refused} == {600}
    made = (await control("GET", "/_calls"))["edgar"]["total"]
    with pytest.raises(Throttled):
        await edgar.look_up(query)
    assert (await control("GET", "/_calls"))["edgar"]["total"] == made
    assert edgar.circuit().state == "closed"


async def test_in_the_sandbox_wikidata_and_gleif_say_the_same_of_a_listed_company(
    sources: dict[str, GatedSource], control: Control
):
    await control("PUT", "/_options/wikidata", hit_rate=1, unknown_rate=0)
    await control("PUT", "/_options/gleif", hit_rate=1)
    agreed = set()
    for number in (23, 29, 53, 60, 65, 71, 76):
        told = [
            await sources[name].look_up(subject)
            for name, subject in (
                ("edgar", by_name(f"Company {number}")),
                ("gleif", by_name(f"Company {number}")),
                ("wikidata", company(f"company-{number}.com")),
            )
        ]
        known = [each.values for each in told if isinstance(each, Found)]
        for field in ("cik", "lei", "ticker", "founded_year", "country_code", "postal_code"):
            values = [each[field] for each in known if field in each]
            assert values == values[:1] * len(values), field
            if len(values) > 1:
                agreed.add(field)
    assert agreed == {"cik", "lei", "ticker", "founded_year", "country_code", "postal_code"}
