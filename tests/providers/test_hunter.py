"""Hunter's wire format, read as its documents say: statuses that mean the reverse of most, and Clearbit's shape."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from app.provider_settings import ProviderSettings
from app.providers.adapters.hunter import Hunter
from app.providers.adapters.hunter_api import BASE_URL
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
from app.providers.ports import COMPANY_FIELDS, PERSON_FIELDS, Answer, Found, Missed, Pending, Query
from tests.providers.stubs import Server, answer, company, person, serving

COMPANY = {
    "id": "c1",
    "name": "Acme",
    "legalName": "Acme Inc.",
    "domain": "acme.com",
    "site": {"phoneNumbers": ["(415) 555-0100"], "emailAddresses": ["Info@Acme.com", "not an address"]},
    "category": {"sector": "Energy", "industry": "Renewable Energy", "naicsCode": "221114"},
    "tags": ["Solar", "Climate", "Solar"],
    "description": "Acme plans\n rooftops.",
    "foundedYear": "1999",
    "geo": {
        "streetAddress": "1 Mill Lane",
        "city": "Austin",
        "state": "Texas",
        "postalCode": "78701",
        "country": "United States",
        "countryCode": "US",
    },
    "logo": "https://logos.example.com/acme",
    "facebook": {"handle": "acmefb", "likes": None},
    "linkedin": {"handle": "company/acme"},
    "twitter": {"handle": "acme", "followers": 3},
    "type": "private",
    "ticker": "",
    "metrics": {"employees": "120", "employeesRange": "51-200", "raised": 0, "annualRevenue": 5_000_000},
    "tech": ["stripe", "nginx"],
    "something_new": {"a": [1]},
}
PERSON = {
    "id": "p1",
    "name": {"fullName": "Ana Roe", "givenName": "Ana", "familyName": "Roe"},
    "email": "Ana@acme.com",
    "geo": {"city": "Lyon", "country": "France", "countryCode": "fr"},
    "employment": {
        "domain": "www.acme.com",
        "name": "Acme",
        "title": "CTO",
        "role": "it",
        "seniority": "executive",
    },
    "linkedin": {"handle": "ana-roe"},
    "github": {"handle": "anaroe", "id": 7},
    "fuzzy": False,
    "bio": None,
}
BY_DOMAIN = company("acme.com")
BY_EMAIL = person(email="ana@acme.com")
BY_NAME = person(domain="acme.com", full_name="Ana Roe")


@asynccontextmanager
async def hunter_hearing(*answers: bytes) -> AsyncIterator[tuple[Hunter, Server]]:
    async with serving(*answers) as server:
        hunter = Hunter(ProviderSettings(base_url=f"{server.url}/v2", api_key=SecretStr("k-123")))
        try:
            yield hunter, server
        finally:
            await hunter.close()


async def ask(said: bytes, query: Query = BY_DOMAIN) -> Answer:
    async with hunter_hearing(said) as (hunter, _):
        read = await hunter.look_up(query)
    if isinstance(read, Found):
        assert read.raw == said.partition(b"\r\n\r\n")[2]
        return replace(read, raw=None)
    return read


def data(value: Any, status: int = 200) -> bytes:
    return answer(status, json.dumps({"data": value, "meta": {}}).encode())


def refusal(status: int, error_id: str = "whatever") -> bytes:
    return answer(status, json.dumps({"errors": [{"id": error_id, "code": status, "details": "text"}]}).encode())


async def test_a_company_is_read_into_canonical_fields():
    found = await ask(data(COMPANY))
    assert found == Found(
        {
            "name": "Acme",
            "legal_name": "Acme Inc.",
            "website": "https://acme.com",
            "description": "Acme plans rooftops.",
            "industry": "Renewable Energy",
            "sector": "Energy",
            "naics": "221114",
            "founded_year": 1999,
            "employee_count": 120,
            "employee_range": "51-200",
            "annual_revenue": 5_000_000,
            "type": "private",
            "phone": "+14155550100",
            "emails": ["info@acme.com"],
            "street": "1 Mill Lane",
            "city": "Austin",
            "region": "Texas",
            "postal_code": "78701",
            "country": "United States",
            "country_code": "US",
            "linkedin_url": "https://www.linkedin.com/company/acme",
            "twitter_handle": "acme",
            "facebook_handle": "acmefb",
            "logo_url": "https://logos.example.com/acme",
            "technologies": ["stripe", "nginx"],
            "tags": ["Solar", "Climate"],
        }
    )


async def test_employees_may_come_as_a_range():
    found = await ask(data({"name": "Acme", "metrics": {"employees": "51-200"}}))
    assert found == Found({"name": "Acme", "employee_range": "51-200"})


async def test_a_person_is_read_into_canonical_fields():
    found = await ask(data(PERSON), BY_EMAIL)
    assert found == Found(
        {
            "full_name": "Ana Roe",
            "first_name": "Ana",
            "last_name": "Roe",
            "email": "ana@acme.com",
            "title": "CTO",
            "seniority": "executive",
            "department": "it",
            "linkedin_url": "https://www.linkedin.com/in/ana-roe",
            "github_handle": "anaroe",
            "city": "Lyon",
            "country": "France",
            "country_code": "FR",
            "company_name": "Acme",
            "company_domain": "acme.com",
        }
    )


async def test_a_fuzzy_match_is_half_believed():
    found = await ask(data(PERSON | {"fuzzy": True}), BY_EMAIL)
    assert isinstance(found, Found)
    assert found.confidence == 0.5


async def test_an_address_of_the_finder_is_believed_as_far_as_its_score():
    finder = {
        "first_name": "Ana",
        "last_name": "Roe",
        "email": "ana@acme.com",
        "score": 87,
        "domain": "acme.com",
        "position": "CTO",
        "company": "Acme",
        "linkedin_url": "https://www.linkedin.com/in/ana-roe",
        "phone_number": None,
        "verification": {"date": "2026-01-01", "status": "accept_all"},
        "sources": [{}],
    }
    found = await ask(data(finder), BY_NAME)
    assert found == Found(
        {
            "full_name": "Ana Roe",
            "first_name": "Ana",
            "last_name": "Roe",
            "email": "ana@acme.com",
            "email_status": "accept_all",
            "title": "CTO",
            "linkedin_url": "https://www.linkedin.com/in/ana-roe",
            "company_name": "Acme",
            "company_domain": "acme.com",
        },
        0.87,
    )


@pytest.mark.parametrize(("score", "confidence"), [(None, 0.5), ("87", 0.87), (0, 0.0), (250, 1.0)])
async def test_an_odd_score_stays_a_confidence(score: object, confidence: float):
    found = await ask(data({"email": "ana@acme.com", "score": score}), BY_NAME)
    assert isinstance(found, Found)
    assert found.confidence == confidence


@pytest.mark.parametrize(
    ("query", "target"),
    [
        (BY_DOMAIN, "/v2/companies/find?domain=acme.com"),
        (BY_EMAIL, "/v2/people/find?email=ana@acme.com"),
        (
            person(linkedin_url="https://www.linkedin.com/in/ana-roe"),
            "/v2/people/find?linkedin_handle=ana-roe",
        ),
        (BY_NAME, "/v2/email-finder?domain=acme.com&full_name=Ana+Roe&max_duration=7"),
        (
            person(company_name="Acme & Co", first_name="Ana", last_name="Roe"),
            "/v2/email-finder?company=Acme+%26+Co&first_name=Ana&last_name=Roe&max_duration=7",
        ),
    ],
)
async def test_each_kind_of_subject_asks_its_endpoint_with_the_key_in_a_header(query: Query, target: str):
    async with hunter_hearing(refusal(404, "not_found")) as (hunter, server):
        assert Hunter.capabilities.can_look_up(query)
        await hunter.look_up(query)
    assert server.requests[0].splitlines()[0] == f"GET {target} HTTP/1.1"
    assert "X-API-KEY: k-123" in server.requests[0]


@pytest.mark.parametrize(
    ("said", "query"),
    [
        (refusal(404, "not_found"), BY_DOMAIN),
        (refusal(404), BY_EMAIL),
        (refusal(404, "not_found"), BY_NAME),
        (data({"email": None, "score": None, "first_name": "Ana"}), BY_NAME),
        (data({"email": "", "score": 0}), BY_NAME),
        (data(None), BY_DOMAIN),
        (data({}), BY_EMAIL),
        (data({"id": "c1", "name": "", "geo": {}}), BY_DOMAIN),
        (answer(204), BY_DOMAIN),
    ],
)
async def test_every_form_of_a_miss_is_a_miss(said: bytes, query: Query):
    assert await ask(said, query) == Missed()


async def test_451_is_a_person_who_objected():
    assert await ask(refusal(451, "claimed_email"), BY_EMAIL) == Missed("legal")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (refusal(400, "wrong_params"), InvalidQuery),
        (refusal(422), InvalidQuery),
        (refusal(401), CredentialRejected),
        (refusal(403, "too_many_requests"), RateLimited),
        (refusal(409, "idempotency_key_in_flight"), Transient),
        (refusal(429, "usage_limit"), PaymentRequired),
        (refusal(500), Transient),
        (refusal(502), Transient),
        (refusal(503), Outage),
        (answer(503, b"<html>", "text/html"), Outage),
        (answer(502, b"<html>", "text/html"), Transient),
        (answer(403, b"<html>blocked", "text/html"), Malformed),
        (answer(404, b"<html>", "text/html"), Malformed),
        (answer(429, b"[1", "application/json"), Malformed),
        (answer(429, b"[1]", "application/json"), Malformed),
        (answer(400, b'{"errors": {"id": 1}}'), Malformed),
        (answer(302), Malformed),
        (answer(200, b"<html>", "text/html"), Malformed),
        (answer(200, b'{"data": {"na'), Malformed),
        (answer(200, b"[]"), Malformed),
        (answer(200, b'{"meta": {}}'), Malformed),
        (answer(200, b"[" * 100_000), Malformed),
        (data("42"), Malformed),
        (data([1]), Malformed),
        (data(COMPANY | {"geo": "Austin"}), Malformed),
        (data(COMPANY | {"tech": {"a": 1}}), Malformed),
        (data(COMPANY | {"linkedin": "company/acme"}), Malformed),
    ],
)
async def test_each_status_and_each_broken_body_has_its_class(said: bytes, kind: type[ProviderError]):
    with pytest.raises(ProviderError) as raised:
        await ask(said)
    assert type(raised.value) is kind
    assert raised.value.provider == "hunter"


@pytest.mark.parametrize(
    ("said", "seconds"), [(data({}, 202), 5), (answer(202), 5), (answer(202, b"", "text/plain", "Retry-After: 9"), 9)]
)
@pytest.mark.parametrize("query", [BY_NAME, BY_EMAIL, BY_DOMAIN], ids=["name", "email", "domain"])
async def test_what_is_still_worked_out_is_pending(said: bytes, seconds: float, query: Query):
    assert await ask(said, query) == Pending("again", seconds)


async def test_a_pending_answer_is_asked_for_by_the_same_call():
    async with hunter_hearing(data({}, 202), data({"email": "ana@acme.com"})) as (hunter, server):
        pending = await hunter.look_up(BY_NAME)
        assert isinstance(pending, Pending)
        assert isinstance(await hunter.look_up(replace(BY_NAME, handle=pending.handle)), Found)
    first, second = (request.splitlines()[0] for request in server.requests)
    assert first == second


async def test_222_is_a_failure_of_somebody_elses_mail_server_and_no_evidence_of_an_outage():
    with pytest.raises(Transient) as raised:
        await ask(data({}, 222), BY_NAME)
    assert not raised.value.is_outage


@pytest.mark.parametrize(("seconds", "told"), [(0.3, "3"), (10, "7"), (60, "20")])
async def test_a_search_is_told_to_end_before_our_own_time_limit(seconds: float, told: str):
    async with serving(data({"email": None})) as server:
        hunter = Hunter(ProviderSettings(base_url=server.url, api_key=SecretStr("k"), timeout_seconds=seconds))
        await hunter.look_up(BY_NAME)
        await hunter.close()
    assert f"&max_duration={told} " in server.requests[0]


@pytest.mark.parametrize(
    ("status", "canonical"),
    [("valid", "valid"), ("accept_all", "accept_all"), ("webmail", "webmail"), ("brand-new", "unknown"), (None, None)],
)
async def test_the_status_of_a_found_address_is_one_of_the_canonical_ones(status: object, canonical: str | None):
    found = await ask(data({"email": "ana@acme.com", "verification": {"status": status}}), BY_NAME)
    assert isinstance(found, Found)
    assert found.values.get("email_status") == canonical


@pytest.mark.parametrize(
    ("said", "query"),
    [(COMPANY, BY_DOMAIN), (PERSON, BY_EMAIL), ({"email": "ana@acme.com", "position": "CTO", "score": 9}, BY_NAME)],
    ids=["company", "person", "finder"],
)
async def test_what_nobody_asked_for_is_left_out(said: object, query: Query):
    found = await ask(data(said), replace(query, fields={"title", "industry"}))
    assert isinstance(found, Found)
    assert len(found.values) == 1
    assert await ask(data(said), replace(query, fields={"ticker", "timezone"})) == Missed()


async def test_the_key_of_a_workspace_takes_the_place_of_the_installations():
    async with hunter_hearing(refusal(404)) as (hunter, server):
        for query in (BY_DOMAIN, BY_NAME):
            await hunter.look_up(replace(query, api_key=SecretStr("own")))
    assert all("X-API-KEY: own" in request and "k-123" not in request for request in server.requests)


async def test_a_leaf_of_another_type_is_a_value_that_is_not_there():
    odd = {"name": ["Acme"], "domain": 5, "foundedYear": {}, "description": "Solar", "tags": [None, 3, {"a": 1}]}
    assert await ask(data(odd)) == Found({"description": "Solar", "tags": ["3"]})


async def test_what_the_vendor_says_of_an_error_is_not_repeated():
    said = answer(400, json.dumps({"errors": [{"id": "ana@acme.com is bad", "details": "ana@acme.com"}]}).encode())
    with pytest.raises(InvalidQuery) as raised:
        await ask(said, BY_EMAIL)
    assert "ana@acme.com" not in str(raised.value)


def test_it_fills_no_field_that_is_not_canonical():
    assert set(Hunter.capabilities.fields["company"]) <= set(COMPANY_FIELDS)
    assert set(Hunter.capabilities.fields["person"]) <= set(PERSON_FIELDS)


def test_without_a_base_url_it_is_the_vendors_own():
    """A section of the settings that holds only a key leaves the rest at the defaults of any provider."""
    assert BASE_URL == "https://api.hunter.io/v2"
    Hunter(ProviderSettings(api_key=SecretStr("k")))
