"""Apollo's wire format, read as its documents say: misses are 200s, and bodies are not always JSON."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from app.provider_settings import ProviderSettings, QuotaWindow
from app.providers.adapters.apollo import Apollo
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    Outage,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Transient,
)
from app.providers.ports import COMPANY_FIELDS, PERSON_FIELDS, Answer, Found, Missed, Query, RateInfo
from tests.providers.stubs import Server, answer, company, person, serving

ORGANIZATION = {
    "id": "o1",
    "name": "Acme",
    "website_url": "http://www.acme.com",
    "primary_domain": "acme.com",
    "linkedin_url": "http://www.linkedin.com/company/acme",
    "twitter_url": "https://twitter.com/acme",
    "facebook_url": "https://www.facebook.com/acmefb",
    "logo_url": "https://logos.example.com/acme.png",
    "phone": None,
    "primary_phone": {"number": "+1 415-555-0100", "source": "Scraped"},
    "founded_year": 1999,
    "publicly_traded_symbol": "ACME",
    "publicly_traded_exchange": "nyse",
    "latest_funding_stage": "Series A",
    "crunchbase_url": "https://www.crunchbase.com/organization/acme-rooftops",
    "owned_by_organization": {"id": "o0", "name": "Acme Holding", "website_url": "http://www.acme-holding.com"},
    "industry": "renewables",
    "keywords": ["solar", "climate"],
    "estimated_num_employees": "1,200",
    "street_address": "1 Mill Lane",
    "city": "Austin",
    "state": "Texas",
    "postal_code": "78701",
    "country": "United States",
    "short_description": "Acme plans rooftops.",
    "annual_revenue": 5_000_000.0,
    "total_funding": None,
    "technology_names": ["Stripe"],
    "owned_by_chain": [],
}
PERSON = {
    "id": "p1",
    "first_name": "Ana",
    "last_name": "Roe",
    "name": "Ana Roe",
    "linkedin_url": "http://www.linkedin.com/in/ana-roe",
    "title": "CTO",
    "headline": "CTO at Acme",
    "email": "ana@acme.com",
    "email_status": "verified",
    "photo_url": None,
    "twitter_url": None,
    "github_url": "https://github.com/anaroe",
    "city": "Lyon",
    "state": None,
    "country": "France",
    "seniority": "c_suite",
    "departments": ["c_suite", "it"],
    "organization": ORGANIZATION,
}
BY_DOMAIN = company("acme.com")
BY_EMAIL = person(email="ana@acme.com")


@asynccontextmanager
async def apollo_hearing(said: bytes) -> AsyncIterator[tuple[Apollo, Server]]:
    async with serving(said) as server:
        apollo = Apollo(ProviderSettings(base_url=f"{server.url}/api/v1", api_key=SecretStr("k-123")))
        try:
            yield apollo, server
        finally:
            await apollo.close()


async def ask(said: bytes, query: Query = BY_DOMAIN) -> Answer:
    async with apollo_hearing(said) as (apollo, _):
        read = await apollo.look_up(query)
    if isinstance(read, Found):
        assert read.raw == said.partition(b"\r\n\r\n")[2]
        return replace(read, raw=None)
    return read


def organization(value: Any) -> bytes:
    return answer(200, json.dumps({"organization": value}).encode())


def match(value: Any) -> bytes:
    return answer(200, json.dumps({"request_id": -123, "person": value}).encode())


def refusal(status: int, body: dict[str, object], *headers: str) -> bytes:
    return answer(status, json.dumps(body).encode(), "application/json", *headers)


async def test_an_organization_is_read_into_canonical_fields():
    assert await ask(organization(ORGANIZATION)) == Found(
        {
            "name": "Acme",
            "domain": "acme.com",
            "website": "http://www.acme.com",
            "description": "Acme plans rooftops.",
            "industry": "renewables",
            "founded_year": 1999,
            "employee_count": 1200,
            "annual_revenue": 5_000_000,
            "funding_stage": "Series A",
            "ticker": "ACME",
            "exchange": "nyse",
            "phone": "+14155550100",
            "street": "1 Mill Lane",
            "city": "Austin",
            "region": "Texas",
            "postal_code": "78701",
            "country": "United States",
            "country_code": "US",
            "linkedin_url": "https://www.linkedin.com/company/acme",
            "twitter_handle": "acme",
            "facebook_handle": "acmefb",
            "crunchbase_handle": "acme-rooftops",
            "logo_url": "https://logos.example.com/acme.png",
            "technologies": ["Stripe"],
            "tags": ["solar", "climate"],
            "parent_domain": "acme-holding.com",
        }
    )


async def test_a_person_is_read_into_canonical_fields():
    assert await ask(match(PERSON), BY_EMAIL) == Found(
        {
            "full_name": "Ana Roe",
            "first_name": "Ana",
            "last_name": "Roe",
            "email": "ana@acme.com",
            "email_status": "valid",
            "title": "CTO",
            "seniority": "c_suite",
            "department": "c_suite",
            "linkedin_url": "https://www.linkedin.com/in/ana-roe",
            "github_handle": "anaroe",
            "city": "Lyon",
            "country": "France",
            "country_code": "FR",
            "company_name": "Acme",
            "company_domain": "acme.com",
            "company_linkedin_url": "https://www.linkedin.com/company/acme",
            "bio": "CTO at Acme",
        }
    )


async def test_an_address_that_is_not_verified_is_half_believed():
    found = await ask(match(PERSON | {"email_status": "unverified"}), BY_EMAIL)
    assert isinstance(found, Found)
    assert found.confidences == {"email": 0.5}
    assert found.values["email_status"] == "unknown"


async def test_a_locked_address_is_no_value_even_when_verified():
    found = await ask(match(PERSON | {"email": "email_not_unlocked@domain.com"}), BY_EMAIL)
    assert isinstance(found, Found)
    assert "email" not in found.values
    assert found.values["email_status"] == "locked"


@pytest.mark.parametrize("status", ["verified", "unavailable", None])
async def test_without_an_address_its_status_is_no_value(status: str | None):
    assert await ask(match({"id": "p1", "email": None, "email_status": status}), BY_EMAIL) == Missed()


async def test_what_nobody_asked_for_is_left_out():
    company_, person_ = (replace(query, fields={"industry", "title"}) for query in (BY_DOMAIN, BY_EMAIL))
    assert await ask(organization(ORGANIZATION), company_) == Found({"industry": "renewables"})
    assert await ask(match(PERSON | {"email_status": "guessed"}), person_) == Found({"title": "CTO"})


async def test_the_number_of_a_person_is_never_asked_for():
    async with apollo_hearing(match(None)) as (apollo, server):
        await apollo.look_up(replace(BY_EMAIL, fields={"phone", "phones"}))
    assert "reveal" not in server.requests[0]


async def test_the_placeholder_of_a_locked_address_is_never_sent_in():
    async with apollo_hearing(match(None)) as (apollo, server):
        with pytest.raises(InvalidQuery):
            await apollo.look_up(person(email="email_not_unlocked@domain.com"))
    assert server.requests == []


@pytest.mark.parametrize(
    ("query", "request_line"),
    [
        (BY_DOMAIN, "GET /api/v1/organizations/enrich?domain=acme.com HTTP/1.1"),
        (Query("company", "n", {"name": "Acme Co"}), "GET /api/v1/organizations/enrich?name=Acme+Co HTTP/1.1"),
        (BY_EMAIL, "POST /api/v1/people/match?email=ana@acme.com HTTP/1.1"),
        (
            person(full_name="Ana Roe", company_name="Acme"),
            "POST /api/v1/people/match?name=Ana+Roe&organization_name=Acme HTTP/1.1",
        ),
    ],
)
async def test_each_kind_of_subject_asks_its_endpoint_with_the_key_in_a_header(query: Query, request_line: str):
    async with apollo_hearing(answer(200, b"{}")) as (apollo, server):
        assert Apollo.capabilities.can_look_up(query)
        await apollo.look_up(query)
    head = server.requests[0].lower()
    assert server.requests[0].splitlines()[0] == request_line
    assert "x-api-key: k-123" in head
    assert "cache-control: no-cache" in head


@pytest.mark.parametrize("said", [organization(None), organization({}), answer(200, b"{}"), organization({"id": "o1"})])
async def test_every_form_of_a_miss_of_a_company_is_a_miss(said: bytes):
    assert await ask(said) == Missed()


@pytest.mark.parametrize("said", [match(None), match({}), answer(200, b'{"request_id": "1"}')])
async def test_every_form_of_a_miss_of_a_person_is_a_miss(said: bytes):
    assert await ask(said, BY_EMAIL) == Missed()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (refusal(400, {"status": "failed", "error_code": "INVALID_REQUEST"}), InvalidQuery),
        (refusal(422, {"error": "wrong"}), InvalidQuery),
        (answer(401, b"Invalid access credentials.", "text/plain"), CredentialRejected),
        (refusal(401, {"error_code": "INVALID_ACCESS_TOKEN"}), CredentialRejected),
        (refusal(403, {"error": "no access", "error_code": "API_INACCESSIBLE"}), CredentialRejected),
        (refusal(429, {"message": "The maximum number of api calls allowed"}), RateLimited),
        (refusal(422, {"error": "You have insufficient credits."}), PaymentRequired),
        (refusal(403, {"message": "Upgrade for more Credits"}), PaymentRequired),
        (refusal(429, {"error_message": "out of credits"}), PaymentRequired),
        (answer(402, b"no credits left", "text/plain"), PaymentRequired),
        (answer(500, b"", "text/plain"), Transient),
        (refusal(500, {"error": "credits service is down"}), Transient),
        (answer(503, b"<html>", "text/html"), Outage),
        (answer(404, b"<html>", "text/html"), Malformed),
        (answer(302), Malformed),
        (answer(200, b"fine", "text/plain"), Malformed),
        (answer(200, b"<html>", "text/html"), Malformed),
        (answer(200, b'{"organization": {"na'), Malformed),
        (answer(200, b"[]"), Malformed),
        (organization("yes"), Malformed),
        (organization([ORGANIZATION]), Malformed),
        (organization(ORGANIZATION | {"keywords": "solar"}), Malformed),
    ],
)
async def test_each_status_and_each_broken_body_has_its_class(said: bytes, kind: type[ProviderError]):
    with pytest.raises(ProviderError) as raised:
        await ask(said)
    assert type(raised.value) is kind
    assert raised.value.provider == "apollo"


@pytest.mark.parametrize("query", [BY_DOMAIN, BY_EMAIL], ids=["company", "person"])
@pytest.mark.parametrize("status", [200, 429])
async def test_it_tells_how_many_calls_are_left_of_the_windows_that_are_kept(query: Query, status: int):
    heard: list[tuple[Query, list[RateInfo]]] = []
    headers = ("x-minute-requests-left: 998", "x-hourly-requests-left:", "x-24-hour-requests-left: 5000")
    windows = tuple(QuotaWindow(calls=1000, seconds=seconds) for seconds in (60, 3600, 7))
    async with serving(refusal(status, {"message": "too many"}, *headers)) as server:
        settings = ProviderSettings(base_url=f"{server.url}/api/v1", api_key=SecretStr("k-123"), quotas=windows)
        apollo = Apollo(settings)
        apollo.announce = lambda query, rates: heard.append((query, list(rates)))
        with suppress(RateLimited):
            await apollo.look_up(query)
        await apollo.close()
    assert heard == [(query, [RateInfo(60, 998)])]


async def test_answers_that_tell_nothing_are_no_news():
    async with apollo_hearing(organization(ORGANIZATION)) as (apollo, _):
        apollo.announce = lambda *_: pytest.fail("there is nothing to tell")
        await apollo.look_up(BY_DOMAIN)


async def test_the_window_says_when_it_opens_again():
    with pytest.raises(RateLimited) as raised:
        await ask(refusal(429, {"message": "too many"}, "retry-after: 7"))
    assert raised.value.retry_after == 7


def test_it_fills_no_field_that_is_not_canonical():
    assert set(Apollo.capabilities.fields["company"]) <= set(COMPANY_FIELDS)
    assert set(Apollo.capabilities.fields["person"]) <= set(PERSON_FIELDS)
