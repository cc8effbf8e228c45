"""The order of providers where it is left to us: by price and measured hit rates."""

from collections.abc import Callable, Mapping

import pytest
from sqlalchemy import text

from app.db import Sessions
from app.enrichment.hit_rates_repository import hit_rates, learn
from app.enrichment.options import JobOptions, choose
from app.enrichment.ordering import Candidate, HitRates, cheapest_first
from app.errors import InvalidRequest
from app.providers.ports import Answer, Capabilities, Found, Missed, Offer, Query
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.fakes import FakeSource, misses
from tests.servers import Database

ONE = {"entity": "company", "records": [{"domain": "acme.com"}]}
PROVIDERS = {"hunter": {"api_key": "h", "credit_cost": 2}, "apollo": {"api_key": "a", "credit_cost": 3}}

MANY = 100_000


def rates(**shares: float | Mapping[str, float]) -> HitRates:
    """Measured so often that the prior says nothing: of all fields alike, or by field."""
    counts = {}
    for provider, share in shares.items():
        by_field = share if isinstance(share, Mapping) else {"a": share, "b": share, "c": share}
        for field, filled in by_field.items():
            counts[provider, field] = (MANY, round(MANY * filled))
    return HitRates(counts)


@pytest.mark.parametrize(
    ("candidates", "measured", "order"),
    [
        pytest.param([("dear", 3, "a"), ("cheap", 1, "a")], rates(), ["cheap", "dear"], id="the cheaper, if all alike"),
        pytest.param(
            [("cheap", 1, "a"), ("dear", 3, "a")],
            rates(cheap=0.1, dear=0.9),
            ["dear", "cheap"],
            id="the dearer, that knows more for its price",
        ),
        pytest.param(
            [("cheap", 1, "a"), ("dear", 3, "a")],
            rates(cheap=0.4, dear=0.9),
            ["cheap", "dear"],
            id="the cheaper, that knows less and enough",
        ),
        pytest.param(
            [("one", 2, "a"), ("three", 3, "abc")],
            rates(one=0.8, three=0.8),
            ["three", "one"],
            id="the dearer, that fills more fields",
        ),
        pytest.param(
            [("paid", 1, "abc"), ("poor", 0, "a"), ("rich", 0, "ab")],
            rates(paid=0.99, poor=0.1, rich=0.6),
            ["rich", "poor", "paid"],
            id="what is free first, by what it fills",
        ),
        pytest.param(
            [("first", 2, "ab"), ("same", 2, "ab"), ("other", 3, "c")],
            rates(first=0.95, same=0.94, other=0.9),
            ["first", "other", "same"],
            id="what others left empty counts, not what they filled",
        ),
        pytest.param(
            [("new", 2, "a"), ("bad", 2, "a"), ("good", 2, "a")],
            rates(bad=0.2, good=0.8),
            ["good", "new", "bad"],
            id="a new one between those known to be good and bad",
        ),
        pytest.param([("x", 2, "a"), ("y", 2, "a"), ("z", 2, "a")], rates(), ["x", "y", "z"], id="equals as they came"),
        pytest.param([("x", 0, "a"), ("y", 0, "a")], rates(), ["x", "y"], id="equals that are free as they came"),
        pytest.param([("none", 1, ""), ("some", 9, "a")], rates(), ["some", "none"], id="who fills nothing last"),
        pytest.param([], rates(), [], id="nobody"),
    ],
)
def test_the_next_is_whoever_costs_least_for_a_field_that_is_still_empty(
    candidates: list[tuple[str, int, str]], measured: HitRates, order: list[str]
):
    assert cheapest_first([Candidate(name, price, fields) for name, price, fields in candidates], measured) == order


def test_of_a_provider_that_was_never_asked_half_is_expected():
    measured = HitRates({("known", "a"): (90, 0), ("tried", "a"): (2, 2)})
    assert measured.of("new", "a") == 0.5
    assert measured.of("known", "a") == pytest.approx(0.05)
    assert measured.of("tried", "a") == pytest.approx(7 / 12)


def offer(name: str, price: int, *, available: bool = True) -> Offer:
    capabilities = Capabilities({"company": ("industry", "city")}, {"company": (frozenset({"domain"}),)}, False)
    return Offer(name, capabilities, price, available=available, enabled=True, own_credential_cost=0)


def test_auto_considers_those_that_are_available_and_fill_a_wanted_field():
    offers = {"dear": offer("dear", 5), "away": offer("away", 0, available=False), "cheap": offer("cheap", 1)}
    known = HitRates({("dear", "industry"): (MANY, MANY), ("cheap", "industry"): (MANY, MANY // 10)})
    wanted = JobOptions("company", ["industry"], auto=True)
    assert [each.name for each in choose(wanted, offers, known).providers] == ["dear", "cheap"]
    assert [each.name for each in choose(wanted, offers).providers] == ["cheap", "dear"]
    with pytest.raises(InvalidRequest):
        choose(JobOptions("company", ["ticker"], auto=True), offers, known)


async def learned(sessions: Sessions) -> dict[tuple[str, str], tuple[int, int]]:
    async with sessions.unscoped() as session:
        return dict((await hit_rates(session, "company")).counts)


def source(name: str, answer: Callable[[Query], Answer]) -> FakeSource:
    return FakeSource(name, answer, fields=("name", "city", "mail_provider"))


async def ended_job(api: JobsApi, records: int, *sources: FakeSource, **options: object) -> str:
    """A job of dns and website, for which these sources stand in."""
    domains = [{"domain": f"{number}.com"} for number in range(records)]
    body = {"entity": "company", "records": domains, "providers": [source.name for source in sources]} | options
    job = await api.started(body)
    await api.work(job["id"], *sources)
    return str(job["id"])


async def test_what_a_job_bought_is_learned_when_it_ends(database: Database):
    website = source(
        "website", lambda query: Missed() if query.key < "domain:2" else Found({"name": "A", "city": "B"}, 0.9)
    )
    dns = source("dns", lambda _: Found({"mail_provider": "x"}, 0.4))
    async with jobs_api(database) as api:
        assert await learned(api.sessions) == {}
        await ended_job(api, 5, website, dns, fields=["name", "city", "mail_provider"])
        rates = await learned(api.sessions)
    assert rates["website", "name"] == (5, 3)
    assert rates["website", "city"] == (5, 3)
    # What nobody would take by default does not count as filled.
    assert rates["dns", "mail_provider"] == (5, 0)


async def test_what_was_reused_or_not_answered_says_nothing(database: Database):
    async with jobs_api(database) as api:
        await ended_job(api, 3, source("dns", lambda _: Found({"mail_provider": "x"})), fields=["mail_provider"])
        again = source("dns", misses)
        await ended_job(api, 3, again, fields=["mail_provider"], reuse_within_seconds=3600)
        rates = await learned(api.sessions)
    assert not again.calls
    assert rates["dns", "mail_provider"] == (3, 3)


async def test_counts_are_halved_before_they_say_nothing_of_today(database: Database):
    async with jobs_api(database) as api:
        async with api.owner.unscoped() as session:
            row = "INSERT INTO provider_hit_rates VALUES ('dns', 'company', 'mail_provider', 100000, 50000)"
            await session.execute(text(row))
        await ended_job(api, 2, source("dns", misses), fields=["mail_provider"])
        assert await learned(api.sessions) == {("dns", "mail_provider"): (50_001, 25_000)}


async def test_no_job_waits_for_another_that_learns(database: Database):
    async with jobs_api(database) as api:
        async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
            first = (await api.started(ONE))["id"]
            await learn(session, first)
            await ended_job(api, 1, source("dns", misses), fields=["mail_provider"])
        assert await learned(api.sessions) == {}


async def test_auto_asks_in_the_order_that_was_measured(database: Database):
    fields = ["industry", "city"]
    async with jobs_api(database, providers=PROVIDERS) as api:
        unknown = await api.started(ONE | {"providers": "auto", "fields": fields})
        async with api.owner.unscoped() as session:
            await session.execute(
                text("""
                    INSERT INTO provider_hit_rates
                    SELECT provider, 'company', field, 1000, filled
                    FROM (VALUES ('hunter', 100), ('apollo', 950)) AS p(provider, filled),
                         unnest(CAST(:fields AS text[])) AS field
                """),
                {"fields": fields},
            )
        known = await api.started(ONE | {"providers": "auto", "fields": fields})
        named = await api.started(ONE | {"providers": ["hunter", "apollo"], "fields": fields})
    paid = ["hunter", "apollo"]
    order_of = {
        name: [each["name"] for each in job["providers"] if each["name"] in paid]
        for name, job in {"unknown": unknown, "known": known, "named": named}.items()
    }
    assert order_of == {"unknown": ["hunter", "apollo"], "known": ["apollo", "hunter"], "named": ["hunter", "apollo"]}


async def test_auto_is_a_word_of_its_own(shared_database: Database):
    async with jobs_api(shared_database) as api:
        wrong = [await api.start(ONE | {"providers": each}) for each in ("cheapest", [], ["auto", "dns"])]
    assert [answer.status_code for answer in wrong] == [422, 422, 422]
    assert wrong[2].json()["error"]["details"][0]["field"] == "providers[0]"
