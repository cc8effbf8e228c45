"""What a job is asked to do, held against what there is: who is asked, who verifies, and what a record may cost."""

from typing import Any

import pytest

from app.enrichment.options import JobOptions, choose
from app.errors import InvalidRequest
from app.providers.ports import Capabilities, Offer

INPUTS = ("email", "full_name", "domain")


def offer(name: str, *fields: str, cost: int = 2, by_default: bool = True, verifies: bool = False) -> Offer:
    capabilities = Capabilities(
        {"person": fields}, {"person": (frozenset({"domain"}),)}, requires_credential=True, verifies_email=verifies
    )
    return Offer(name, capabilities, cost, available=True, enabled=True, own_credential_cost=0, by_default=by_default)


OFFERS = {
    each.name: each
    for each in (
        offer("finder", "email", "title"),
        offer("people", "title", "city", cost=3),
        offer("slow", "title", cost=0, by_default=False),
        offer("verifier", "email_status", cost=1, verifies=True),
    )
}


@pytest.mark.parametrize(
    ("options", "asked", "verifier", "most"),
    [
        ({}, ["finder", "people"], None, 5),
        ({"verify_email": True}, ["finder", "people"], "verifier", 6),
        ({"fields": ["title"], "verify_email": True}, ["finder", "people"], None, 5),
        ({"fields": ["title"], "providers": ["slow"]}, ["slow"], None, 0),
        ({"fields": ["email", "email_status"]}, ["verifier", "finder"], None, 3),
        ({"fields": ["email", "email_status"], "verify_email": True}, ["finder"], "verifier", 3),
        ({"max_credits_per_record": 4}, ["finder", "people"], None, 4),
    ],
    ids=[
        "nobody who only verifies, and nobody slow",
        "each address may cost its check",
        "no address is wanted",
        "a slow one that is named",
        "a status that was asked for",
        "the verifier has one part",
        "a record costs no more than it may",
    ],
)
def test_whom_a_job_asks_and_what_a_record_costs_at_the_most(
    options: dict[str, Any], asked: list[str], verifier: str | None, most: int
):
    choice = choose(JobOptions("person", **options), OFFERS)
    assert [each.name for each in choice.providers] == asked
    assert (choice.verifier and choice.verifier.name) == verifier
    assert choice.cost(INPUTS) == most


@pytest.mark.parametrize(
    ("options", "without", "path"),
    [
        ({"providers": ["finder", "verifier"]}, (), "options.providers"),
        ({}, ("verifier",), "options.verify_email"),
    ],
    ids=["it is to find something too", "there is none"],
)
def test_addresses_that_nobody_can_verify_are_refused(options: dict[str, Any], without: tuple[str, ...], path: str):
    offers = {name: each for name, each in OFFERS.items() if name not in without}
    with pytest.raises(InvalidRequest) as refused:
        choose(JobOptions("person", verify_email=True, **options), offers, within="options.")
    assert [detail.field for detail in refused.value.details] == [path]
