"""Apollo's calls for several: a result belongs to whom it names, and what may be somebody else's is nobody's."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from app.provider_settings import ProviderSettings, QuotaWindow
from app.providers.adapters.apollo import BULK, Apollo
from app.providers.adapters.apollo_matching import share_out
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    Outage,
    PaymentRequired,
    ProviderError,
    RateLimited,
)
from app.providers.ports import Answer, Found, Missed, Query, RateInfo
from tests.providers.stubs import Server, answer, company, person, serving

LOCKED = "email_not_unlocked@domain.com"
ACME, BOLT, CORE = (company(f"{name}.com") for name in ("acme", "bolt", "core"))
UNCLEAR = "unclear"


def organization(domain: str, **more: object) -> dict[str, Any]:
    return {"id": f"o-{domain}", "name": domain.partition(".")[0].title(), "primary_domain": domain, **more}


def somebody(first: str, last: str, domain: str, **more: object) -> dict[str, Any]:
    return {
        "id": f"p-{first}-{last}",
        "first_name": first,
        "last_name": last,
        "name": f"{first} {last}",
        "email": f"{first}.{last}@{domain}".lower(),
        "email_status": "verified",
        "linkedin_url": f"http://www.linkedin.com/in/{first}-{last}".lower(),
        "organization": organization(domain),
        **more,
    }


ANA, BOB = somebody("Ana", "Roe", "acme.com"), somebody("Bob", "Poe", "bolt.com")
BY_EMAIL = person(email="ana.roe@acme.com")
BY_NAME = person(full_name="bob poe", domain="bolt.com")


def said(key: str, *results: object, **summary: object) -> bytes:
    missing = {"missing_records": sum(not result for result in results)}
    body = {"status": "success", "error_code": None, "request_id": -7, **missing, **summary, key: results}
    return answer(200, json.dumps(body).encode())


def companies(*results: object, **summary: object) -> bytes:
    return said("organizations", *results, **summary)


def people(*results: object, **summary: object) -> bytes:
    return said("matches", *results, **summary)


@asynccontextmanager
async def apollo_hearing(said: bytes) -> AsyncIterator[tuple[Apollo, Server]]:
    async with serving(said) as server:
        apollo = Apollo(ProviderSettings(base_url=f"{server.url}/api/v1", api_key=SecretStr("k-123")))
        try:
            yield apollo, server
        finally:
            await apollo.close()


async def ask(said: bytes, *queries: Query) -> Sequence[Answer | ProviderError]:
    async with apollo_hearing(said) as (apollo, _):
        return await apollo.look_up_many(queries)


async def names(said: bytes, *queries: Query) -> list[object]:
    """Of each query the name that was found, None for a miss, UNCLEAR where it is to be asked for again alone."""
    return [
        each.values.get("name", each.values.get("full_name"))
        if isinstance(each, Found)
        else UNCLEAR
        if isinstance(each, Malformed)
        else None
        for each in await ask(said, *queries)
    ]


async def test_companies_are_asked_for_in_one_body():
    subjects = [{"domain": "acme.com", "name": "Acme"}, {"name": "Bolt"}, {"linkedin_url": "https://x/company/core"}]
    async with apollo_hearing(companies(None, None, None)) as (apollo, server):
        await apollo.look_up_many([Query("company", "k", subject) for subject in subjects])
    [head], [body] = server.requests, server.bodies
    assert head.splitlines()[0] == "POST /api/v1/organizations/bulk_enrich HTTP/1.1"
    assert "x-api-key: k-123" in head.lower()
    assert "content-type: application/json" in head.lower()
    assert json.loads(body) == {"details": subjects}


async def test_people_are_asked_for_in_one_body_and_never_for_their_numbers():
    async with apollo_hearing(people(None, None)) as (apollo, server):
        named = person(first_name="Bob", last_name="Poe", company_name="Bolt")
        await apollo.look_up_many([replace(each, api_key=SecretStr("own")) for each in (BY_EMAIL, named)])
    [head], [body] = server.requests, server.bodies
    assert head.splitlines()[0] == "POST /api/v1/people/bulk_match HTTP/1.1"
    assert "x-api-key: own" in head.lower()
    assert "reveal" not in head
    assert json.loads(body)["details"] == [
        {"email": "ana.roe@acme.com"},
        {"first_name": "Bob", "last_name": "Poe", "organization_name": "Bolt"},
    ]


def test_ten_go_into_one_call():
    assert Apollo.capabilities.bulk == {"company": 10, "person": 10}
    assert BULK == 10


async def test_what_is_found_is_what_a_call_for_one_finds_and_keeps_what_apollo_said_of_this_one():
    [found, missed] = await ask(people(ANA, None), BY_EMAIL, BY_NAME)
    async with apollo_hearing(answer(200, json.dumps({"person": ANA}).encode())) as (apollo, _):
        alone = await apollo.look_up(BY_EMAIL)
    assert isinstance(found, Found)
    assert isinstance(alone, Found)
    assert replace(found, raw=None) == replace(alone, raw=None)
    assert json.loads(found.raw or b"") == ANA
    assert missed == Missed()


@pytest.mark.parametrize(
    "results",
    [
        (organization("acme.com"), None, organization("core.com")),
        (organization("acme.com"), {}, organization("core.com")),
        (organization("acme.com"), organization("core.com")),
        (organization("core.com"), organization("acme.com")),
        (organization("core.com"), None, organization("acme.com")),
        (None, organization("core.com"), organization("acme.com")),
    ],
    ids=["null", "empty", "left out", "left out and reversed", "reversed", "shifted"],
)
async def test_a_company_goes_to_whose_domain_it_has_wherever_the_misses_stand(results: tuple[object, ...]):
    assert await names(companies(*results, missing_records=1), ACME, BOLT, CORE) == ["Acme", None, "Core"]


@pytest.mark.parametrize(
    ("subject", "result"),
    [
        ({"domain": "acme.com"}, {"website_url": "http://www.acme.com"}),
        ({"linkedin_url": "https://www.linkedin.com/company/acme"}, {"linkedin_url": "linkedin.com/company/acme/"}),
        ({"name": "ACME"}, {"website_url": "http://acme.io"}),
    ],
)
async def test_each_identifier_of_a_company_names_it(subject: dict[str, str], result: dict[str, object]):
    found = {"name": "Acme", **result}
    query = Query("company", "k", subject)
    assert await names(companies(organization("bolt.com"), found), query, BOLT) == ["Acme", "Bolt"]


@pytest.mark.parametrize(
    "query",
    [
        BY_EMAIL,
        person(linkedin_url="https://www.linkedin.com/in/ana-roe"),
        person(full_name="ana roe", domain="acme.com"),
        person(first_name="Ana", last_name="Roe", domain="acme.com"),
        person(full_name="Ana Roe", company_name="acme"),
    ],
    ids=["email", "linkedin", "name and domain", "names and domain", "name and company"],
)
@pytest.mark.parametrize("results", [(BOB, ANA), (ANA, BOB)], ids=["reversed", "as asked"])
async def test_each_identifier_of_a_person_names_them(query: Query, results: tuple[object, ...]):
    assert await names(people(*results), query, BY_NAME) == ["Ana Roe", "Bob Poe"]


@pytest.mark.parametrize("results", [(BOB, ANA | {"email": LOCKED}), (ANA | {"email": LOCKED}, BOB)])
async def test_a_locked_address_is_known_by_the_name_in_the_one_that_was_asked_for(results: tuple[object, ...]):
    assert await names(people(*results), BY_EMAIL, BY_NAME) == ["Ana Roe", "Bob Poe"]


async def test_a_place_counts_where_others_show_the_order():
    married = ANA | {"name": "Ana Doe", "last_name": "Doe", "email": LOCKED, "organization": None}
    assert await names(people(married, BOB), BY_EMAIL, BY_NAME) == ["Ana Doe", "Bob Poe"]
    alias = organization("acme-group.com")
    assert await names(companies(alias, organization("bolt.com")), ACME, BOLT) == ["Acme-Group", "Bolt"]


async def test_a_place_alone_counts_for_nothing():
    strangers = [organization("x.com"), organization("y.com")]
    assert await names(companies(*strangers), ACME, BOLT) == [UNCLEAR, UNCLEAR]
    # The second shows that the order is another.
    assert await names(companies(organization("bolt.com"), organization("x.com")), ACME, BOLT) == [UNCLEAR, "Bolt"]
    # With a miss left out there are no places.
    assert await names(companies(organization("x.com"), missing_records=1), ACME, BOLT) == [UNCLEAR, UNCLEAR]


async def test_two_who_might_be_each_other_are_neither():
    twins = [somebody("Ana", "Roe", "acme.com", id=f"p{n}", email=LOCKED, title=f"{n}") for n in (1, 2)]
    queries = (person(email="aroe@acme.com"), person(email="a.roe@acme.com"))
    assert await names(people(*twins), *queries) == [UNCLEAR, UNCLEAR]
    namesakes = [organization("acme.io", name="Acme"), organization("acme.org", name="Acme")]
    assert await names(companies(*namesakes), Query("company", "n", {"name": "Acme"}), BOLT) == [UNCLEAR, UNCLEAR]


async def test_one_person_who_was_asked_for_in_two_ways_is_the_answer_to_both():
    twice = (BY_EMAIL, person(full_name="Ana Roe", company_name="Acme"))
    assert await names(people(ANA), *twice) == ["Ana Roe", "Ana Roe"]
    assert await names(people(ANA, ANA), *twice) == ["Ana Roe", "Ana Roe"]


async def test_nobody_is_missed_whom_apollo_does_not_count_as_missing():
    assert await names(companies(organization("acme.com"), missing_records=0), ACME, BOLT) == ["Acme", UNCLEAR]
    assert await names(companies(organization("acme.com"), missing_records=1), ACME, BOLT) == ["Acme", None]
    # Where a waterfall runs it counts nothing.
    assert await names(companies(organization("acme.com"), missing_records=None), ACME, BOLT) == ["Acme", None]


@pytest.mark.parametrize("results", [(None, None), ({}, {}), ()])
async def test_when_nobody_matched_all_are_misses(results: tuple[object, ...]):
    assert await ask(companies(*results, missing_records=2), ACME, BOLT) == [Missed(), Missed()]


@pytest.mark.parametrize("broken", [42, "Acme", [1], organization("acme.com", keywords="solar")])
async def test_a_result_that_cannot_be_read_spoils_no_other(broken: object):
    assert await names(companies(broken, organization("bolt.com")), ACME, BOLT) == [UNCLEAR, "Bolt"]


async def test_the_placeholder_of_a_locked_address_is_not_sent_in_and_spoils_no_other():
    async with apollo_hearing(people(ANA)) as (apollo, server):
        refused, found = await apollo.look_up_many([person(email=LOCKED), BY_EMAIL])
        assert isinstance(refused, InvalidQuery)
        assert isinstance(found, Found)
        [body] = server.bodies
        assert json.loads(body) == {"details": [{"email": "ana.roe@acme.com"}]}
        [refused] = await apollo.look_up_many([person(email=LOCKED)])
        assert isinstance(refused, InvalidQuery)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (answer(400, b'{"status":"failed","error_code":"RECORD_LIMIT_EXCEEDED","error_message":"10"}'), InvalidQuery),
        (answer(400, b"details are missing", "text/plain"), InvalidQuery),
        (answer(401, b"Invalid access credentials.", "text/plain"), CredentialRejected),
        (answer(403, b'{"error_code":"API_INACCESSIBLE"}'), CredentialRejected),
        (answer(422, b'{"error":"insufficient credits"}'), PaymentRequired),
        (answer(429, b'{"message":"The maximum number of api calls"}'), RateLimited),
        (answer(503, b"<html>", "text/html"), Outage),
        (answer(200, b"fine", "text/plain"), Malformed),
        (answer(200, b'{"status":"success"}'), Malformed),
        (answer(200, b'{"organizations":{"0":{}}}'), Malformed),
    ],
)
async def test_what_is_wrong_with_the_call_is_an_error_of_all(body: bytes, kind: type[ProviderError]):
    with pytest.raises(ProviderError) as raised:
        await ask(body, ACME, BOLT)
    assert type(raised.value) is kind


async def test_it_tells_how_many_calls_are_left():
    heard: list[tuple[Query, list[RateInfo]]] = []
    body = json.dumps({"organizations": [None, None]}).encode()
    async with serving(answer(200, body, "application/json", "x-minute-requests-left: 18")) as server:
        quotas = (QuotaWindow(calls=1000, seconds=60),)
        apollo = Apollo(ProviderSettings(base_url=server.url, api_key=SecretStr("k"), quotas=quotas))
        apollo.announce = lambda query, rates: heard.append((query, list(rates)))
        await apollo.look_up_many([ACME, BOLT])
        await apollo.close()
    assert heard == [(ACME, [RateInfo(60, 18)])]


@given(
    asked=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True),
    known=st.sets(st.sampled_from("abcdefgh")),
    leaves_out=st.booleans(),
    order=st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_nobody_gets_what_is_somebody_elses(asked: list[str], known: set[str], leaves_out: bool, order: Any):
    results = [organization(f"{name}.com") if name in known else None for name in asked]
    missing = results.count(None)
    if leaves_out:
        results = [result for result in results if result]
    order.shuffle(results)
    shares = share_out("apollo", [company(f"{name}.com") for name in asked], results, missing)
    assert shares == [organization(f"{name}.com") if name in known else Missed() for name in asked]
