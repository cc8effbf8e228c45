"""Clearbit's wire format, read as its documents say: 202 is no answer yet, and a miss is charged."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from app.provider_settings import ClearbitSettings
from app.providers.adapters.clearbit import BASE_URLS, Clearbit
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
from app.providers.ports import COMPANY_FIELDS, PERSON_FIELDS, Answer, Found, Missed, Pending, Query, RateInfo
from tests.providers.conftest import Control
from tests.providers.stubs import Server, answer, company, person, serving

COMPANY = {
    "id": "c1",
    "name": "Acme",
    "legalName": "Acme Inc.",
    "domain": "acme.com",
    "domainAliases": ["acme.example.net", "Acme.org", None],
    "category": {"industry": "Renewable Energy", "sector": "Energy", "sicCode": "4911", "naicsCode": "221114"},
    "metrics": {"employees": 120, "employeesRange": "51-250"},
    "crunchbase": {"handle": "organization/acme"},
    "parent": {"domain": "www.holding.com"},
    "ultimateParent": {"domain": "group.com"},
    "geo": {"city": "Austin", "countryCode": "US"},
}
PERSON = {
    "id": "p1",
    "name": {"fullName": "Ana Roe", "givenName": "Ana", "familyName": "Roe"},
    "email": "ana@acme.com",
    "timeZone": "Europe/Paris",
    "geo": {"city": "Lyon", "country": "France", "countryCode": "FR"},
    "employment": {"domain": "acme.com", "title": "CTO", "role": "engineering", "subRole": "software_engineer"},
    "facebook": {"handle": "ana.roe"},
    "fuzzy": True,
}
BY_DOMAIN = company("acme.com")
BY_EMAIL = person(email="ana@acme.com")


@asynccontextmanager
async def clearbit_hearing(*answers: bytes) -> AsyncIterator[tuple[Clearbit, Server]]:
    async with serving(*answers) as server:
        clearbit = Clearbit(ClearbitSettings(base_url=server.url, api_key=SecretStr("k-123"), poll_seconds=90))
        try:
            yield clearbit, server
        finally:
            await clearbit.close()


async def ask(said: bytes, query: Query = BY_DOMAIN) -> Answer:
    async with clearbit_hearing(said) as (clearbit, _):
        return await clearbit.look_up(query)


def record(value: Any, status: int = 200) -> bytes:
    return answer(status, json.dumps(value).encode())


def refusal(status: int, slug: str, *headers: str) -> bytes:
    body = json.dumps({"error": {"type": slug, "message": "text"}}).encode()
    return answer(status, body, "application/json; charset=utf-8", *headers)


async def test_a_company_is_read_into_canonical_fields():
    said = record(COMPANY)
    assert await ask(said) == Found(
        {
            "name": "Acme",
            "legal_name": "Acme Inc.",
            "domain_aliases": ["acme.example.net", "acme.org"],
            "website": "https://acme.com",
            "industry": "Renewable Energy",
            "sector": "Energy",
            "naics": "221114",
            "sic": "4911",
            "employee_count": 120,
            "employee_range": "51-250",
            "city": "Austin",
            "country_code": "US",
            "crunchbase_handle": "acme",
            "parent_domain": "holding.com",
        },
        raw=said.partition(b"\r\n\r\n")[2],
    )


async def test_a_person_is_read_into_canonical_fields_and_half_believed_where_it_was_matched_by_likeness():
    said = record(PERSON)
    assert await ask(said, BY_EMAIL) == Found(
        {
            "full_name": "Ana Roe",
            "first_name": "Ana",
            "last_name": "Roe",
            "email": "ana@acme.com",
            "title": "CTO",
            "department": "engineering",
            "role": "software_engineer",
            "facebook_handle": "ana.roe",
            "city": "Lyon",
            "country": "France",
            "country_code": "FR",
            "timezone": "Europe/Paris",
            "company_domain": "acme.com",
        },
        confidence=0.5,
        raw=said.partition(b"\r\n\r\n")[2],
    )


@pytest.mark.parametrize("query", [BY_DOMAIN, BY_EMAIL])
async def test_what_is_not_asked_for_is_left_out(query: Query):
    found = await ask(record(COMPANY | PERSON | {"name": {"fullName": "Ana"}}), replace(query, fields=("city",)))
    assert isinstance(found, Found)
    assert found.values.keys() == {"city"}


@pytest.mark.parametrize(
    ("query", "target"),
    [
        (BY_DOMAIN, "/company/v2/companies/find?domain=acme.com"),
        (BY_EMAIL, "/person/v2/people/find?email=ana@acme.com"),
    ],
)
async def test_each_entity_has_a_host_and_the_key_goes_in_a_header(query: Query, target: str):
    async with clearbit_hearing(refusal(404, "unknown_record")) as (clearbit, server):
        assert Clearbit.capabilities.can_look_up(query)
        await clearbit.look_up(query)
        await clearbit.look_up(replace(query, api_key=SecretStr("k-own")))
    assert server.requests[0].splitlines()[0] == f"GET {target} HTTP/1.1"
    assert "Authorization: Bearer k-123" in server.requests[0]
    assert "API-Version: 2019-12-19" in server.requests[0]
    assert "Authorization: Bearer k-own" in server.requests[1]
    assert "k-123" not in server.requests[1]


async def test_without_a_base_url_each_entity_asks_the_vendors_own_host():
    assert BASE_URLS == {"person": "https://person.clearbit.com", "company": "https://company.clearbit.com"}
    await Clearbit(ClearbitSettings(api_key=SecretStr("k"))).close()


async def test_an_empty_202_is_an_answer_to_come():
    pending = await ask(answer(202), BY_EMAIL)
    assert isinstance(pending, Pending)
    assert pending.retry_after == 90
    assert "ana" not in pending.handle  # the subject is known, and who stores the handle need not keep it twice


async def test_a_202_may_say_when_to_ask_again():
    pending = await ask(answer(202, b"", "text/plain", "Retry-After: 7"))
    assert isinstance(pending, Pending)
    assert pending.retry_after == 7


async def test_a_poll_asks_for_the_same_subject():
    async with clearbit_hearing(answer(202), answer(202), record(COMPANY)) as (clearbit, server):
        pending = await clearbit.look_up(BY_DOMAIN)
        assert isinstance(pending, Pending)
        poll = replace(BY_DOMAIN, handle=pending.handle)
        assert await clearbit.look_up(poll) == pending
        assert isinstance(await clearbit.look_up(poll), Found)
    assert len({request.splitlines()[0] for request in server.requests}) == 1


@pytest.mark.parametrize(
    "said",
    [
        refusal(404, "unknown_record"),
        answer(404, b"{}"),
        answer(404),
        answer(404, b'{"error": "Not found"}'),
        record({}),
        record({"id": "c1", "name": None}),
    ],
    ids=["code", "object", "empty", "text", "no-record", "no-value"],
)
async def test_every_form_of_a_miss_is_a_miss(said: bytes):
    assert await ask(said) == Missed()
    assert Clearbit.capabilities.charges_on_miss


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (refusal(404, "unknown_route"), Malformed),
        (answer(404, b"<html>", "text/html"), Malformed),
        (refusal(401, "auth_required"), CredentialRejected),
        (refusal(401, "invalid_api_key"), CredentialRejected),
        (answer(401), CredentialRejected),
        # The forms of these are nowhere documented: with a code, with text, with nothing.
        (refusal(400, "bad_request"), InvalidQuery),
        (refusal(422, "email_invalid"), InvalidQuery),
        (answer(422, b"Invalid email.", "text/plain"), InvalidQuery),
        (refusal(402, "over_quota"), PaymentRequired),
        (answer(402), PaymentRequired),
        (answer(402, b'{"error": "over quota"}'), PaymentRequired),
        (refusal(403, "forbidden"), CredentialRejected),
        (answer(403, b"<html>blocked", "text/html"), Malformed),
        (refusal(429, "rate_limit"), RateLimited),
        (answer(429), RateLimited),
        (answer(429, b"[1", "application/json"), Malformed),
        (answer(500), Transient),
        (answer(502, b"<html>", "text/html"), Transient),
        (answer(503, b"<html>", "text/html"), Outage),
        (answer(302), Malformed),
        (answer(200, b"<html>", "text/html"), Malformed),
        (answer(200), Malformed),
        (answer(200, b'{"name": "Ac'), Malformed),
        (answer(200, b"[]"), Malformed),
        (record(COMPANY | {"geo": "Austin"}), Malformed),
        (record(COMPANY | {"parent": "holding.com"}), Malformed),
        (record(COMPANY | {"domainAliases": "acme.org"}), Malformed),
    ],
)
async def test_each_status_and_each_broken_body_has_its_class(said: bytes, kind: type[ProviderError]):
    with pytest.raises(ProviderError) as raised:
        await ask(said)
    assert type(raised.value) is kind
    assert raised.value.provider == "clearbit"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (("x-ratelimit-reset: 1800000042", "Date: Fri, 15 Jan 2027 08:00:00 GMT"), 42),
        (("x-ratelimit-reset: 1800000000", "Date: Fri, 15 Jan 2027 08:00:01 GMT"), None),
        (("x-ratelimit-reset: soon", "Retry-After: 9"), 9),
        (("x-ratelimit-reset: 99999999999999999999",), None),
        ((), None),
    ],
    ids=["ahead", "over", "odd", "huge", "none"],
)
async def test_a_limit_ends_when_its_window_does_by_the_vendors_clock(headers: tuple[str, ...], seconds: float | None):
    with pytest.raises(RateLimited) as raised:
        await ask(refusal(429, "rate_limit", *headers))
    assert raised.value.retry_after == seconds


async def test_a_limit_without_a_date_ends_by_our_clock():
    reset = int(datetime.now(UTC).timestamp()) + 30
    with pytest.raises(RateLimited) as raised:
        await ask(refusal(429, "rate_limit", f"x-ratelimit-reset: {reset}"))
    assert raised.value.retry_after is not None
    assert 25 < raised.value.retry_after <= 30


async def test_what_is_left_of_the_window_is_announced():
    announced: list[RateInfo] = []
    limits = ("x-ratelimit-remaining: 41", "x-ratelimit-limit: 600")
    async with clearbit_hearing(refusal(404, "x", *limits), refusal(404, "x", "x-ratelimit-remaining: many")) as (
        clearbit,
        _,
    ):
        clearbit.announce = lambda _, rates: announced.extend(rates)
        await clearbit.look_up(BY_DOMAIN)
        await clearbit.look_up(BY_DOMAIN)
    assert announced == [RateInfo(60, 41)]


async def test_what_the_vendor_says_of_an_error_is_not_repeated():
    with pytest.raises(InvalidQuery) as raised:
        await ask(refusal(422, "ana@acme.com is bad"), BY_EMAIL)
    assert "ana@acme.com" not in str(raised.value)


def test_it_fills_no_field_that_is_not_canonical():
    assert set(Clearbit.capabilities.fields["company"]) <= set(COMPANY_FIELDS)
    assert set(Clearbit.capabilities.fields["person"]) <= set(PERSON_FIELDS)


async def test_a_poll_buys_nothing_again(sources: Mapping[str, GatedSource], control: Control):
    await control("PUT", "/_options/clearbit", hit_rate=1, pending_rate=1, ready_after_polls=3)
    source = sources["clearbit"]
    said = [await source.look_up(BY_EMAIL)]
    while isinstance(last := said[-1], Pending):
        said.append(await source.look_up(replace(BY_EMAIL, handle=last.handle)))
    assert [type(each) for each in said] == [Pending, Pending, Pending, Found]
    calls = (await control("GET", "/_calls"))["clearbit"]
    assert (calls["total"], calls["charged"]) == (4, 1)


async def test_a_poll_may_find_that_nothing_is_known(sources: Mapping[str, GatedSource], control: Control):
    await control("PUT", "/_options/clearbit", hit_rate=0, pending_rate=1)
    assert isinstance(await sources["clearbit"].look_up(BY_DOMAIN), Pending)
    assert await sources["clearbit"].look_up(replace(BY_DOMAIN, handle="domain")) == Missed()
    assert (await control("GET", "/_calls"))["clearbit"]["charged"] == 1


@pytest.mark.parametrize("form", ["json", "text"])
async def test_refusals_in_either_form_mean_the_same(sources: Mapping[str, GatedSource], control: Control, form: str):
    await control("PUT", "/_options/clearbit", refusal_form=form, requests_per_minute=2, pending_rate=0)
    await control("PUT", "/_faults/clearbit", mode="quota_exhausted")
    with pytest.raises(PaymentRequired):
        await sources["clearbit"].look_up(BY_DOMAIN)
    await control("DELETE", "/_faults/clearbit")
    await sources["clearbit"].look_up(BY_DOMAIN)
    with pytest.raises(RateLimited) as raised:
        await sources["clearbit"].look_up(BY_DOMAIN)
    assert raised.value.retry_after is not None
    assert 55 < raised.value.retry_after <= 61
