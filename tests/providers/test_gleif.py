"""GLEIF's records, found by legal name: which of them is meant, and what is said of it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.provider_settings import GleifSettings
from app.providers.adapters.gleif import Gleif
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
from tests.providers.stubs import Server, answer, serving

JSON_API = "application/vnd.api+json"
LEI = "98450DV7KQ2M4T1XW896"


def by_name(name: str, *fields: str) -> Query:
    return Query("company", f"name:{name.casefold()}", {"name": name}, fields=fields or None)


def record(legal_name: str, status: str = "ACTIVE", registration: str = "ISSUED", **entity: Any) -> dict[str, Any]:
    address = {
        "language": "en",
        "addressLines": ["1 Mill Lane", "", "Floor 2"],
        "city": "Austin",
        "region": "US-TX",
        "country": "US",
        "postalCode": "78701",
    }
    known = {
        "legalName": {"name": legal_name, "language": "en"},
        "otherNames": [],
        "legalAddress": address | {"city": "Dover", "region": "US-DE"},
        "headquartersAddress": address,
        "jurisdiction": "US-DE",
        "category": "GENERAL",
        "status": status,
        "creationDate": "1999-03-01T00:00:00Z",
        **entity,
    }
    return {
        "type": "lei-records",
        "id": LEI,
        "attributes": {"lei": LEI, "entity": known, "registration": {"status": registration}, "bic": None},
    }


def page(*records: Any, total: Any = None) -> bytes:
    pagination = {"currentPage": 1, "perPage": 100, "total": len(records) if total is None else total, "lastPage": 1}
    body = {"meta": {"pagination": pagination}, "links": {}, "data": records}
    return answer(200, json.dumps(body).encode(), JSON_API)


def refusal(status: int, *headers: str) -> bytes:
    body = {"errors": [{"status": str(status), "title": "No", "detail": "No."}]}
    return answer(status, json.dumps(body).encode(), JSON_API, *headers)


@asynccontextmanager
async def gleif_hearing(said: bytes) -> AsyncIterator[tuple[Gleif, Server]]:
    async with serving(said) as server:
        gleif = Gleif(GleifSettings(base_url=f"{server.url}/api/v1"))
        try:
            yield gleif, server
        finally:
            await gleif.close()


async def ask(said: bytes, query: Query | None = None) -> Answer:
    async with gleif_hearing(said) as (gleif, _):
        return await gleif.look_up(query or by_name("Acme Inc."))


async def test_a_record_is_read_into_canonical_fields():
    found = await ask(page(record("ACME, INC.")))
    assert isinstance(found, Found)
    assert found.values == {
        "legal_name": "ACME, INC.",
        "founded_year": 1999,
        "lei": LEI,
        "street": "1 Mill Lane, Floor 2",
        "city": "Austin",
        "region": "Texas",
        "postal_code": "78701",
        "country": "United States",
        "country_code": "US",
    }
    assert found.raw is not None
    assert json.loads(found.raw) == record("ACME, INC.")


async def test_the_same_name_is_surer_than_one_without_its_legal_form_and_the_year_is_a_guess():
    same, without = await ask(page(record("Acme Inc"))), await ask(page(record("Acme")))
    assert isinstance(same, Found)
    assert isinstance(without, Found)
    assert (same.confidence, without.confidence) == (0.9, 0.6)
    assert same.confidences == without.confidences == {"founded_year": 0.6}


async def test_the_seat_of_the_register_stands_in_where_there_are_no_headquarters():
    found = await ask(page(record("Acme Inc", headquartersAddress=None)), by_name("Acme Inc", "city", "region"))
    assert isinstance(found, Found)
    assert found.values == {"city": "Dover", "region": "Delaware"}


async def test_regions_of_other_countries_stay_codes():
    address = {"addressLines": [], "city": "Göteborg", "region": "SE-O", "country": "SE"}
    found = await ask(page(record("Acme AB", headquartersAddress=address)), by_name("Acme AB", "region"))
    assert isinstance(found, Found)
    assert found.values == {"region": "SE-O"}


@pytest.mark.parametrize(
    "said",
    [
        page(),
        page(record("Acme Holding Inc.")),
        page(record("Acme GmbH")),
        page(record("Acme Inc."), record("ACME INC")),
        page(record("Acme Inc."), total=101),
        page(record("Acme Inc.", status="INACTIVE")),
        page(record("Acme Inc.", registration="DUPLICATE")),
        page(record("Acme Inc.", registration="ANNULLED")),
        page(record("Acme Inc."), record("Acme Inc.", registration="LAPSED")),
        page({"attributes": None}),
        refusal(404),
    ],
)
async def test_no_match_and_no_single_match_are_a_miss(said: bytes):
    assert await ask(said) == Missed()


@pytest.mark.parametrize(
    "others",
    [
        [record("Acme Inc", status="INACTIVE")],
        [record("Acme Holding Inc")],
        [record("Acme")],
        [record("Acme Inc", registration="MERGED")],
    ],
)
async def test_others_that_are_not_meant_do_not_make_it_ambiguous(others: list[Any]):
    assert isinstance(await ask(page(*others, record("Acme Inc.", registration="LAPSED"))), Found)


async def test_nothing_of_what_was_asked_for_is_a_miss():
    assert await ask(page(record("Acme Inc.", creationDate=None)), by_name("Acme Inc.", "founded_year")) == Missed()


async def test_it_asks_for_the_legal_name_without_the_comma_that_separates_alternatives():
    async with gleif_hearing(page()) as (gleif, server):
        assert gleif.capabilities.can_look_up(by_name("Acme"))
        await gleif.look_up(by_name("Acme, Inc."))
    line = server.requests[0].splitlines()[0]
    asked = "filter%5Bentity.legalName%5D=Acme++Inc.&page%5Bsize%5D=100&page%5Bnumber%5D=1"
    assert line == f"GET /api/v1/lei-records?{asked} HTTP/1.1"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (refusal(400), InvalidQuery),
        (refusal(429), RateLimited),
        (refusal(500), Transient),
        (refusal(503), Outage),
        (answer(403, b"<html>", "text/html"), CredentialRejected),
        (answer(429, b"<html>", "text/html"), RateLimited),
        (answer(400, b"<html>", "text/html"), Malformed),
        (answer(404, b"<html>", "text/html"), Malformed),
        (answer(302), Malformed),
        (answer(200, b"<html>", "text/html"), Malformed),
        (answer(200, b'{"data": [', JSON_API), Malformed),
        (answer(200, b"[]", JSON_API), Malformed),
        (answer(200, b"{}", JSON_API), Malformed),
        (answer(200, b'{"data": {}}', JSON_API), Malformed),
        (page("record"), Malformed),
        (page(record("Acme Inc.", headquartersAddress=[])), Malformed),
    ],
)
async def test_each_status_and_each_broken_body_has_its_class(said: bytes, kind: type[ProviderError]):
    with pytest.raises(ProviderError) as raised:
        await ask(said)
    assert type(raised.value) is kind
    assert raised.value.provider == "gleif"


async def test_a_spent_minute_says_when_it_is_over():
    with pytest.raises(RateLimited) as raised:
        await ask(refusal(429, "Retry-After: 7"))
    assert raised.value.retry_after == 7


@pytest.mark.parametrize(("name_filter", "kind"), [("words", Found), ("whole", Missed)])
async def test_either_reading_of_the_filter_finds_the_whole_name_and_one_of_them_a_part_of_it(
    sources: dict[str, GatedSource], control: Control, name_filter: str, kind: type
):
    await control("PUT", "/_options/gleif", hit_rate=1, name_filter=name_filter)
    said = await sources["gleif"].look_up(by_name("Company 1"))
    assert isinstance(said, kind)
    await control("PUT", "/_options/gleif", hit_rate=1, name_filter="words")
    known = await sources["gleif"].look_up(by_name("Company 1"))
    assert isinstance(known, Found)
    await control("PUT", "/_options/gleif", hit_rate=1, name_filter=name_filter)
    whole = await sources["gleif"].look_up(by_name(str(known.values["legal_name"])))
    assert isinstance(whole, Found)
    assert (known.confidence, whole.confidence) == (0.6, 0.9)


async def test_two_companies_of_one_name_are_a_miss(sources: dict[str, GatedSource], control: Control):
    await control("PUT", "/_options/gleif", hit_rate=1)
    assert await sources["gleif"].look_up(by_name("Twin Peaks")) == Missed()


async def test_more_than_the_limit_of_a_minute_is_refused(sources: dict[str, GatedSource], control: Control):
    await control("PUT", "/_options/gleif", requests_per_minute=1)
    await sources["gleif"].look_up(by_name("Company 1"))
    with pytest.raises(RateLimited) as raised:
        await sources["gleif"].look_up(by_name("Company 2"))
    assert raised.value.retry_after is not None
    assert 55 < raised.value.retry_after <= 61
