"""What a job would cost, said before anything runs."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app.enrichment.options import Choice
from app.enrichment.ordering import HitRates
from app.enrichment.quotes import Range, estimate
from app.providers.ports import Capabilities, Found, Offer
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.fakes import FakeSource
from tests.servers import Database

PROVIDERS = {"hunter": {"api_key": "h", "credit_cost": 2}, "apollo": {"api_key": "a", "credit_cost": 3}}
MANY = 1_000_000
BY_DOMAIN = ("domain",)


async def quote(api: JobsApi, body: object) -> dict[str, Any]:
    answer = await api.client.post(f"{api.tenant.path}/enrichment/quotes", headers=api.tenant.headers, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["data"])


def company(*domains: str, **options: Any) -> dict[str, Any]:
    return {"entity": "company", "records": [{"domain": domain} for domain in domains]} | options


def offer(name: str, price: int, fields: str, *, needs: str = "domain", entity: str = "company") -> Offer:
    able = Capabilities({entity: tuple(fields)}, {entity: (frozenset({needs}),)}, requires_credential=False)  # type: ignore[dict-item]
    return Offer(name, able, price, available=True, enabled=True, own_credential_cost=0)


def rates(**shares: float) -> HitRates:
    """Of each provider the same for all fields."""
    fields = (*"abcd", "email")
    return HitRates({(name, field): (MANY, round(MANY * share)) for name, share in shares.items() for field in fields})


def rounded(said: Range) -> tuple[int, int, int]:
    return round(said.best), round(said.expected), round(said.worst)


def test_each_provider_is_expected_to_be_asked_for_what_those_before_it_left_empty():
    choice = Choice("company", ("a",), (offer("x", 2, "a"), offer("y", 3, "a")))
    total, [x, y] = estimate(choice, {BY_DOMAIN: 1000}, rates(x=0.8, y=0.5), {})
    assert (rounded(x.calls), rounded(x.credits)) == ((1000, 1000, 1000), (1600, 1600, 2000))
    assert (rounded(y.calls), rounded(y.credits)) == ((0, 200, 1000), (0, 300, 3000))
    assert rounded(total) == (1600, 1900, 5000)


def test_in_the_best_case_a_provider_is_asked_for_what_nobody_before_it_can_fill():
    choice = Choice("company", ("a", "b"), (offer("x", 2, "a"), offer("y", 3, "ab"), offer("z", 1, "ab")))
    _, quotes = estimate(choice, {BY_DOMAIN: 100}, rates(x=0.5, y=0.5, z=0.5), {})
    assert {quote.offer.name: round(quote.calls.best) for quote in quotes} == {"x": 100, "y": 100, "z": 0}


def test_who_cannot_look_a_record_up_is_not_asked_of_it():
    choice = Choice("company", ("a",), (offer("x", 2, "a"), offer("y", 3, "a", needs="name")))
    _, [x, y] = estimate(choice, {BY_DOMAIN: 10, ("name",): 5}, HitRates(), {})
    assert (rounded(x.calls), rounded(y.calls)) == ((10, 10, 10), (5, 5, 5))


def test_what_can_be_reused_is_expected_to_be_neither_asked_nor_paid_and_held_all_the_same():
    choice = Choice("company", ("a",), (offer("x", 2, "a"),))
    total, [x] = estimate(choice, {BY_DOMAIN: 100}, rates(x=0.5), {"x": 40})
    assert x.reusable == 40
    assert rounded(x.calls) == (60, 60, 100)
    assert rounded(total) == (60, 60, 200)


def test_the_verifier_is_asked_of_the_addresses_that_are_found():
    finder, verifier = offer("f", 2, "a", entity="person"), offer("v", 1, "a", entity="person")
    fields = {"person": ("email",)}
    able = Capabilities(fields, {"person": (frozenset({"domain"}),)}, requires_credential=False)  # type: ignore[arg-type]
    finder = Offer("f", able, 2, available=True, enabled=True, own_credential_cost=0)
    choice = Choice("person", ("email",), (finder,), verifier)
    total, [found, verified] = estimate(choice, {BY_DOMAIN: 100}, rates(f=0.3), {})
    assert (found.verifies, verified.verifies) == (False, True)
    assert rounded(verified.calls) == rounded(verified.credits) == (30, 30, 100)
    assert rounded(total) == (90, 90, 300)
    assert rounded(total)[2] == choice.worst_case({BY_DOMAIN: 100})


@given(
    prices=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    fields=st.lists(st.sets(st.sampled_from("abcd"), min_size=1), min_size=5, max_size=5),
    shares=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    reusable=st.lists(st.integers(0, 200), min_size=5, max_size=5),
    limit=st.none() | st.integers(0, 10),
    records=st.integers(0, 100),
)
def test_best_is_never_more_than_expected_and_that_never_more_than_worst(
    prices: list[int], fields: list[set[str]], shares: list[float], reusable: list[int], limit: int | None, records: int
):
    names = [f"p{number}" for number in range(len(prices))]
    offers = [offer(*each) for each in zip(names, prices, map("".join, fields), strict=False)]
    choice = Choice("company", tuple("abcd"), tuple(offers), None, limit)
    leaders = {BY_DOMAIN: records, ("domain", "name"): 3, ("linkedin_url",): 2}
    known = rates(**dict(zip(names, shares, strict=False)))
    total, quotes = estimate(choice, leaders, known, dict(zip(names, reusable, strict=False)))
    for said in (total, *(each.calls for each in quotes), *(each.credits for each in quotes)):
        best, expected, worst = rounded(said)
        assert 0 <= best <= expected <= worst
    assert total.worst == choice.worst_case(leaders)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fields": ["industry"]},
        {"fields": ["industry", "mail_provider"], "providers": "auto"},
        {"fields": ["industry"], "providers": ["apollo", "hunter"], "max_credits": 7},
        {"fields": ["industry"], "providers": ["apollo", "hunter"], "max_credits_per_record": 4},
    ],
    ids=["all", "one field", "auto", "limited", "limited by record"],
)
async def test_the_worst_case_is_what_the_same_job_holds(shared_database: Database, options: Mapping[str, Any]):
    """Of twice the same subject and an invalid one too, by two kinds of inputs."""
    body = company("a.com", "b.com", "www.a.com", "10.0.0.1", **options)
    body["records"].append({"name": "Acme"})
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        said = await quote(api, body)
        job = await api.started(body)
    assert said["credits"]["worst"] == job["credits"]["held"]
    assert (said["records"], said["invalid"], said["distinct"]) == (5, 1, 3)
    assert said["fields"] == job["fields"]
    assert [each["name"] for each in said["providers"]] == [each["name"] for each in job["providers"]]
    assert [each["order"] for each in said["providers"]] == list(range(1, len(job["providers"]) + 1))


async def test_a_file_is_quoted_as_it_would_be_started(shared_database: Database):
    file = b"Company,Website\nAcme,acme.com\nFoo,foo.com\nAcme,www.acme.com\n,localhost\n"
    options = {"entity": "company", "fields": ["industry"], "columns": {"Website": "domain"}}
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        answer = await api.client.post(
            f"{api.tenant.path}/enrichment/quotes",
            headers=api.tenant.headers,
            files={"file": ("companies.csv", file, "text/csv")},
            data={"options": json.dumps(options)},
        )
        job = (await api.upload(file, options)).json()["data"]
    said = answer.json()["data"]
    assert answer.status_code == 200
    assert (said["records"], said["distinct"]) == (4, 2)
    assert said["credits"]["worst"] == job["credits"]["held"]


async def test_nothing_is_started_held_or_stored(shared_database: Database):
    body = company("a.com", providers=["hunter"])
    async with jobs_api(shared_database, providers=PROVIDERS, credit=0) as api:
        said = await quote(api, body)
        left = [await api.rows(f"SELECT 1 FROM {table}") for table in ("enrichment_jobs", "enrichment_records")]
        commands, again = await api.commands(), await quote(api, company("b.com"))
        refused = await api.start(body)
    assert said["credits"]["worst"] == 2
    assert (left, commands) == ([[], []], [])
    assert again["records"] == 1
    assert refused.status_code == 402


async def test_what_was_measured_makes_the_expected_cost(database: Database):
    body = company(*(f"{number}.com" for number in range(100)), fields=["industry"], providers=["hunter", "apollo"])
    async with jobs_api(database, providers=PROVIDERS) as api:
        prior = await quote(api, body)
        async with api.owner.unscoped() as session:
            await session.execute(
                text("""
                    INSERT INTO provider_hit_rates
                    VALUES ('hunter', 'company', 'industry', 990, 895), ('apollo', 'company', 'industry', 990, 495)
                """)
            )
        known = await quote(api, body)
    assert prior["credits"] == {"best": 100, "expected": 175, "worst": 500}
    assert known["credits"] == {"best": 180, "expected": 195, "worst": 500}
    assert known["providers"][1]["calls"] == {"best": 0, "expected": 10, "worst": 100}


async def test_answers_that_are_young_enough_are_counted(shared_database: Database):
    fields = ["industry"]
    body = company("a.com", "b.com", "www.a.com", fields=fields, providers=["hunter"])
    again = company("b.com", "a.com", "c.com", fields=fields, providers=["hunter", "apollo"])
    async with jobs_api(shared_database, providers=PROVIDERS) as api:
        job = await api.started(body)
        await api.work(job["id"], FakeSource("hunter", lambda _: Found({"industry": "x"}), fields=("industry",)))
        without = await quote(api, again)
        reusing = await quote(api, again | {"reuse_within_seconds": 3600})
        more = await quote(api, again | {"reuse_within_seconds": 3600, "fields": ["industry", "city"]})
    assert (without["reusable"], reusing["reusable"], more["reusable"]) == (0, 2, 0)
    assert [each["reusable"] for each in reusing["providers"]] == [2, 0]
    assert reusing["providers"][0]["calls"] == {"best": 1, "expected": 1, "worst": 3}
    assert reusing["credits"]["expected"] < without["credits"]["expected"]
    assert reusing["credits"]["worst"] == without["credits"]["worst"] == 3 * (2 + 3)


async def test_answers_of_other_workspaces_are_not_counted(shared_database: Database):
    body = company("a.com", fields=["industry"], providers=["hunter"], reuse_within_seconds=3600)
    async with jobs_api(shared_database, providers=PROVIDERS) as theirs:
        job = await theirs.started(body)
        await theirs.work(job["id"], FakeSource("hunter", lambda _: Found({"industry": "x"}), fields=("industry",)))
        assert (await quote(theirs, body))["reusable"] == 1
    async with jobs_api(shared_database, providers=PROVIDERS) as ours:
        assert (await quote(ours, body))["reusable"] == 0


async def test_it_says_who_takes_a_fee_for_a_miss(shared_database: Database):
    providers = PROVIDERS | {"clearbit": {"api_key": "c"}}
    async with jobs_api(shared_database, providers=providers) as api:
        said = await quote(api, company("a.com", fields=["industry"], providers=["clearbit", "hunter"]))
    assert {each["name"]: each["charges_on_miss"] for each in said["providers"]} == {"clearbit": True, "hunter": False}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (company("a.com", providers=["nobody"]), "providers[0]"),
        (company("a.com", fields=["colour"]), "fields[0]"),
        (company("a.com", "10.0.0.1", strict=True), "records[1].domain"),
        ({"entity": "company", "records": [{"key": "k", "domain": "a.com"}] * 2}, "records[1].key"),
        ({"entity": "company"}, "records"),
    ],
)
async def test_what_no_job_would_take_is_not_quoted(shared_database: Database, body: dict[str, Any], field: str):
    async with jobs_api(shared_database) as api:
        answer = await api.client.post(f"{api.tenant.path}/enrichment/quotes", headers=api.tenant.headers, json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == field
