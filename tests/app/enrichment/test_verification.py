"""An address that a provider finds counts when a verifier has passed it, and what was bought is not bought again."""

import pytest

from app.enrichment.errors import LookupPostponed
from app.providers.errors import CircuitOpen, CredentialRejected, InvalidQuery, ProviderError, Transient
from app.providers.ports import Answer, Found, Missed, Query
from tests.app.enrichment.lookups import Lookups
from tests.fakes import FakeSource

DOMAINS = ["acme.com"]
FIELDS = ("email", "title")


def finder(name: str = "finder", *, title: bool = True) -> FakeSource:
    def answer(query: Query) -> Found:
        values: dict[str, str] = {"email": f"ana@{query.subject['domain']}"}
        return Found(values | ({"title": "CTO"} if title else {}), 0.9)

    return FakeSource(name, answer, fields=FIELDS, entity="person")


def verifier(answer: Answer | ProviderError) -> FakeSource:
    return FakeSource(
        "verifier", lambda _: answer, fields=("email_status",), entity="person", needs="email", credit_cost=1
    )


def says(status: str) -> FakeSource:
    return verifier(Found({"email_status": status}))


@pytest.mark.parametrize(
    ("check", "email", "reason", "credits"),
    [
        (says("valid"), 0.9, "email_valid", 3),
        (says("invalid"), None, "email_invalid", 3),
        (says("disposable"), None, "email_disposable", 3),
        (says("accept_all"), 0.5, "email_accept_all", 3),
        (verifier(Missed()), 0.5, "email_unknown", 2),
        (verifier(InvalidQuery("verifier", "no address")), None, "email_invalid", 2),
        (verifier(CredentialRejected("verifier", "no")), None, "email_unverified", 2),
    ],
    ids=["valid", "invalid", "disposable", "accept all", "it does not know", "no address at all", "nobody verifies"],
)
async def test_what_a_verifier_says_decides(
    lookups: Lookups, check: FakeSource, email: float | None, reason: str, credits: int
):
    source = finder()
    job_id = await lookups.job(DOMAINS, source, entity="person", fields=FIELDS, verifier=check)

    done = await lookups.run(job_id, source, verifier=check)

    [answer] = await lookups.answers(job_id)
    found = answer["found"]
    assert (answer["outcome"], answer["reason"], answer["credits"]) == ("found", reason, credits)
    assert found["title"] == ["CTO", 0.9]
    assert found.get("email", [None, None])[1] == email
    assert (done.open_records, dict(check.calls)) == (0, {"ana@acme.com": 1})


async def test_an_address_alone_that_does_not_work_is_a_miss_and_the_next_provider_is_asked(lookups: Lookups):
    check = says("invalid")
    first, second = finder("first", title=False), finder("second")
    job_id = await lookups.job(DOMAINS, first, second, entity="person", fields=FIELDS, verifier=check)
    await lookups.run(job_id, first, verifier=check, is_last=False)
    check.answer = lambda _: Found({"email_status": "valid"})
    await lookups.run(job_id, second, verifier=check)

    outcomes = {each["provider"]: (each["outcome"], each["credits"]) for each in await lookups.answers(job_id)}
    assert outcomes == {"first": ("missed", 1), "second": ("found", 3)}
    job = await lookups.row(job_id)
    assert (job["matched"], job["charged"]) == (1, 4)
    [counts] = await lookups.select("SELECT calls, matches FROM enrichment_job_providers WHERE verifies")
    assert counts == {"calls": 2, "matches": 1}


@pytest.mark.parametrize(
    "refusal",
    [CircuitOpen("verifier", "open", retry_after=9), Transient("verifier", "failed")],
    ids=["its circuit is open", "its call fails"],
)
async def test_what_was_found_waits_for_the_verifier_and_is_not_bought_again(lookups: Lookups, refusal: ProviderError):
    check, source = verifier(refusal), finder()
    job_id = await lookups.job(DOMAINS, source, entity="person", fields=FIELDS, verifier=check)
    with pytest.raises((CircuitOpen, LookupPostponed)):
        await lookups.run(job_id, source, verifier=check)
    assert [each["outcome"] for each in await lookups.answers(job_id)] == ["unverified"]
    assert (await lookups.row(job_id))["charged"] == 0

    check.answer = lambda _: Found({"email_status": "valid"})
    await lookups.run(job_id, source, verifier=check)

    job = await lookups.row(job_id)
    assert (source.calls.total(), job["matched"], job["charged"]) == (1, 1, 3)


async def test_a_job_that_skips_outages_keeps_the_rest_of_what_was_found(lookups: Lookups):
    check, source = verifier(CircuitOpen("verifier", "open", retry_after=9)), finder()
    job_id = await lookups.job(DOMAINS, source, entity="person", fields=FIELDS, verifier=check, on_outage="skip")

    await lookups.run(job_id, source, verifier=check)

    [answer] = await lookups.answers(job_id)
    assert (answer["outcome"], answer["reason"], list(answer["found"])) == ("found", "email_unverified", ["title"])


async def test_a_hold_that_lacks_the_price_of_the_check_buys_nothing(lookups: Lookups):
    check, source = says("valid"), finder()
    job_id = await lookups.job(DOMAINS, source, entity="person", fields=FIELDS, verifier=check, hold=2)

    await lookups.run(job_id, source, verifier=check)

    assert (source.calls.total(), (await lookups.row(job_id))["failed"]) == (0, 1)


async def test_a_record_costs_no_more_than_it_may(lookups: Lookups):
    first = FakeSource("first", fields=("title",), entity="person", credit_cost=3)
    second = FakeSource("second", fields=FIELDS, entity="person", credit_cost=2)
    options = {"entity": "person", "fields": FIELDS, "max_credits_per_record": 4}
    job_id = await lookups.job(DOMAINS, first, second, **options)
    await lookups.run(job_id, first, is_last=False)
    await lookups.run(job_id, second)

    answers = {each["provider"]: (each["outcome"], each["reason"]) for each in await lookups.answers(job_id)}
    assert answers == {"first": ("found", None), "second": ("budget", "max_credits_per_record")}
    assert ((await lookups.row(job_id))["partial"], second.calls.total()) == (1, 0)
