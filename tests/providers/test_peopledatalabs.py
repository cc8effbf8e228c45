"""The wire format of People Data Labs, read as its documents say: one subject in a call, or a hundred."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from app.provider_settings import PeopleDataLabsSettings
from app.providers.adapters.peopledatalabs import BASE_URL, PeopleDataLabs
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
from app.providers.gate import GatedSource
from app.providers.ports import COMPANY_FIELDS, PERSON_FIELDS, Answer, Found, Missed, Query, RateInfo
from tests.providers.conftest import Control
from tests.providers.peopledatalabs_answers import (
    BY_DOMAIN,
    BY_EMAIL,
    COMPANY,
    FROM_COMPANY,
    MISS,
    PERSON,
    body,
    error,
    found,
    vendor_saying,
)
from tests.providers.stubs import answer, person


async def ask(said: bytes, query: Query = BY_DOMAIN) -> Answer:
    async with vendor_saying(said) as (adapter, _):
        return await adapter.look_up(query)


async def test_a_company_is_flat_and_read_into_canonical_fields():
    said = body(COMPANY)
    assert await ask(said) == Found(FROM_COMPANY, confidence=0.8, raw=said.partition(b"\r\n\r\n")[2])


async def test_a_person_comes_in_data_and_is_read_into_canonical_fields():
    said = found(PERSON)
    assert await ask(said, BY_EMAIL) == Found(
        {
            "full_name": "Ana Roe",
            "first_name": "Ana",
            "last_name": "Roe",
            "email": "ana@acme.com",
            "personal_emails": ["ana@mail.example.org"],
            "phone": "+33626911203",
            "phones": ["+33626911203", "+33261911204"],
            "title": "CTO",
            "seniority": "cxo",
            "department": "engineering",
            "role": "software",
            "linkedin_url": "https://www.linkedin.com/in/ana-roe",
            "github_handle": "anaroe",
            "city": "Lyon",
            "region": "Auvergne-Rhône-Alpes",
            "country": "France",
            "country_code": "FR",
            "company_name": "Acme",
            "company_domain": "acme.com",
            "company_linkedin_url": "https://www.linkedin.com/company/acme",
        },
        confidence=0.9,
        raw=said.partition(b"\r\n\r\n")[2],
    )


async def test_a_person_may_be_flat_as_the_published_specification_has_it():
    said = await ask(body({"status": 200, "likelihood": 7, "full_name": "Ana Roe"}), BY_EMAIL)
    assert isinstance(said, Found)
    assert (said.values, said.confidence) == ({"full_name": "Ana Roe"}, 0.7)


async def test_without_a_work_address_the_first_of_the_others_counts():
    said = await ask(found(PERSON | {"work_email": None}), BY_EMAIL)
    assert isinstance(said, Found)
    assert said.values["email"] == "ana.roe@acme.com"


async def test_true_in_place_of_a_value_is_no_value():
    hidden = (
        "work_email",
        "personal_emails",
        "mobile_phone",
        "phone_numbers",
        "emails",
        "job_title_levels",
        "job_title",
    )
    said = await ask(found(PERSON | dict.fromkeys(hidden, True)), BY_EMAIL)
    assert isinstance(said, Found)
    assert not said.values.keys() & {"email", "personal_emails", "phone", "phones", "seniority", "title"}
    assert said.values["full_name"] == "Ana Roe"


@pytest.mark.parametrize(
    ("likelihood", "confidence"), [(10, 1.0), (2, 0.2), ("7", 0.7), (99, 1.0), (-1, 0.0), (None, 0.5), ("high", 0.5)]
)
async def test_the_likelihood_is_the_confidence_of_all_fields(likelihood: object, confidence: float):
    said = await ask(found(PERSON, likelihood), BY_EMAIL)
    assert isinstance(said, Found)
    assert said.confidence == confidence


@pytest.mark.parametrize(("said", "query"), [(body(COMPANY), BY_DOMAIN), (found(PERSON), BY_EMAIL)])
async def test_what_is_not_asked_for_is_left_out(said: bytes, query: Query):
    answered = await ask(said, replace(query, fields=("city", "email")))
    assert isinstance(answered, Found)
    assert answered.values.keys() <= {"city", "email"}


@pytest.mark.parametrize(
    ("query", "target"),
    [
        (BY_DOMAIN, "/v5/company/enrich?website=acme.com"),
        (BY_EMAIL, "/v5/person/enrich?email=ana@acme.com"),
        (
            person(linkedin_url="https://www.linkedin.com/in/ana-roe"),
            "/v5/person/enrich?profile=https:%2F%2Fwww.linkedin.com%2Fin%2Fana-roe",
        ),
        (person(full_name="Ana Roe", company_name="Acme & Co"), "/v5/person/enrich?name=Ana+Roe&company=Acme+%26+Co"),
        (
            person(first_name="Ana", last_name="Roe", company_name="Acme", domain="acme.com"),
            "/v5/person/enrich?first_name=Ana&last_name=Roe&company=acme.com",
        ),
        (Query("company", "acme", {"name": "Acme"}), "/v5/company/enrich?name=Acme"),
    ],
)
async def test_each_kind_of_subject_has_its_parameters_and_the_key_goes_in_a_header(query: Query, target: str):
    async with vendor_saying(MISS) as (adapter, server):
        assert PeopleDataLabs.capabilities.can_look_up(query)
        assert await adapter.look_up(query) == Missed()
        await adapter.look_up(replace(query, api_key=SecretStr("k-own")))
    asked = server.requests[0].splitlines()[0].removeprefix("GET ").removesuffix(" HTTP/1.1")
    path, _, params = asked.partition("?")
    assert set(target.partition("?")[2].split("&")) <= set(params.split("&"))
    assert path == target.partition("?")[0]
    assert {"titlecase=true", "min_likelihood=5"} <= set(params.split("&"))
    assert "X-Api-Key: k-123" in server.requests[0]
    assert "X-Api-Key: k-own" in server.requests[1]
    assert "k-123" not in server.requests[1]


@pytest.mark.parametrize(
    ("said", "query"),
    [
        (MISS, BY_DOMAIN),
        (error(404, ["not_found"]), BY_EMAIL),
        (found({}), BY_EMAIL),
        (found({"id": "p1", "full_name": ""}), BY_EMAIL),
        (body({"status": 200, "likelihood": 3, "name": None}), BY_DOMAIN),
    ],
)
async def test_every_form_of_a_miss_is_a_miss(said: bytes, query: Query):
    assert await ask(said, query) == Missed()
    assert not PeopleDataLabs.capabilities.charges_on_miss


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (error(400, "invalid_request_error"), InvalidQuery),
        (error(405, "invalid_request_error"), InvalidQuery),
        (error(401, "authentication_error"), CredentialRejected),
        (error(403, "whatever"), CredentialRejected),
        (error(402, "payment_required"), PaymentRequired),
        (error(402, ["payment_required"]), PaymentRequired),
        (error(429, "rate_limit_error"), RateLimited),
        (error(429, None), RateLimited),
        # The vendor's own word counts for more than the status.
        (error(400, "rate_limit_error"), RateLimited),
        (error(403, "payment_required"), PaymentRequired),
        (error(500, "api_error"), Transient),
        (answer(502, b"<html>", "text/html"), Transient),
        (error(503, "api_error"), Outage),
        # Another 404 is a wrong path.
        (error(404, "unknown_route"), Malformed),
        (answer(404, b'{"message": "no route"}'), Malformed),
        (answer(404, b"<html>", "text/html"), Malformed),
        (answer(401, b"<html>", "text/html"), Malformed),
        (answer(429, b"[1", "application/json"), Malformed),
        (answer(400, b"[1]", "application/json"), Malformed),
        (answer(302), Malformed),
        (answer(200, b"<html>", "text/html"), Malformed),
        (answer(200, b'{"status": 200, "data": {"full'), Malformed),
        (answer(200, b"[]"), Malformed),
        (body({"status": 200, "likelihood": 9}), Malformed),
        (found("42"), Malformed),
        (found([1]), Malformed),
        (found(PERSON | {"emails": {"address": "ana@acme.com"}}), Malformed),
        (found(PERSON | {"personal_emails": "ana@acme.com"}), Malformed),
    ],
)
async def test_each_status_and_each_broken_body_has_its_class(said: bytes, kind: type[ProviderError]):
    with pytest.raises(ProviderError) as raised:
        await ask(said, BY_EMAIL)
    assert type(raised.value) is kind
    assert raised.value.provider == "peopledatalabs"
    assert "text" not in raised.value.message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("x-ratelimit-reset: 2027-01-15T08:00:42+00:00", 42),
        ("x-ratelimit-reset: 2027-01-15T08:00:42Z", 42),
        ("x-ratelimit-reset: 2027-01-15 08:00:42", 42),
        ("x-ratelimit-reset: 2027-01-15T10:00:42.500+02:00", 42.5),
        ("x-ratelimit-reset: 2027-01-15T07:59:59", None),
        ("x-ratelimit-reset: soon", None),
        ("Retry-After: 9", 9),
    ],
)
async def test_a_limit_ends_at_the_time_of_its_reset_in_utc(header: str, seconds: float | None):
    with pytest.raises(RateLimited) as raised:
        await ask(error(429, "rate_limit_error", header, "Date: Fri, 15 Jan 2027 08:00:00 GMT"))
    assert raised.value.retry_after == seconds


async def test_a_reset_without_a_date_is_read_by_our_clock():
    reset = datetime.now(UTC) + timedelta(seconds=30)
    with pytest.raises(RateLimited) as raised:
        await ask(error(429, "rate_limit_error", f"x-ratelimit-reset: {reset:%Y-%m-%dT%H:%M:%S}"))
    assert raised.value.retry_after is not None
    assert 25 < raised.value.retry_after <= 30


@pytest.mark.parametrize(
    ("written", "rates"),
    [
        ("{'minute': 99, 'day': 9999, 'month': 12}", [RateInfo(60, 99), RateInfo(86_400, 9999)]),
        ('{"minute": 99, "day": null}', [RateInfo(60, 99)]),
        ("{'minute': 0, 'day': null, 'month': None}", [RateInfo(60, 0)]),
        ("{'minute': None}", []),
        ("{'minute': '7'}", [RateInfo(60, 7)]),
        ("{" * 4000, []),
        ("many", []),
    ],
    ids=["python", "json", "mixed", "none", "text", "braces", "odd"],
)
async def test_what_is_left_is_announced_however_it_is_written(written: str, rates: list[RateInfo]):
    announced: list[RateInfo] = []
    async with vendor_saying(error(404, "not_found", f"x-ratelimit-remaining: {written}")) as (adapter, _):
        adapter.announce = lambda _, told: announced.extend(told)
        assert await adapter.look_up(BY_DOMAIN) == Missed()
    assert announced == rates


def test_it_fills_no_field_that_is_not_canonical():
    assert set(PeopleDataLabs.capabilities.fields["company"]) <= set(COMPANY_FIELDS)
    assert set(PeopleDataLabs.capabilities.fields["person"]) <= set(PERSON_FIELDS)


async def test_without_a_base_url_it_is_the_vendors_own():
    assert BASE_URL == "https://api.peopledatalabs.com/v5"
    await PeopleDataLabs(PeopleDataLabsSettings(base_url=None, api_key=SecretStr("k"))).close()


@pytest.mark.parametrize(
    "options",
    [{"error_type": "list"}, {"header_form": "json"}, {"is_free_plan": True}],
    ids=["codes", "headers", "free"],
)
async def test_either_reading_of_an_open_question_works(
    sources: Mapping[str, GatedSource], control: Control, options: dict[str, Any]
):
    source = sources["peopledatalabs"]
    await control("PUT", "/_options/peopledatalabs", hit_rate=1, **options)
    said = await source.look_up(BY_EMAIL)
    assert isinstance(said, Found)
    assert ("email" in said.values) is not options.get("is_free_plan", False)
    await control("PUT", "/_options/peopledatalabs", hit_rate=0, requests_per_minute=1)
    assert await source.look_up(BY_EMAIL) == Missed()
    with pytest.raises(RateLimited) as raised:
        await source.look_up(BY_EMAIL)
    assert raised.value.retry_after is not None
    assert 55 < raised.value.retry_after <= 60
