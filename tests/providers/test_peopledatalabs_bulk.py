"""A hundred subjects in one call to People Data Labs: whose each result is, and what it means."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Transient,
)
from app.providers.gate import GatedSource
from app.providers.ports import Answer, Found, Missed, Query
from tests.providers.conftest import Control
from tests.providers.peopledatalabs_answers import BY_DOMAIN, COMPANY, FROM_COMPANY, MISS, body, error, vendor_saying
from tests.providers.stubs import answer, company, person


async def ask_many(said: object, queries: Sequence[Query]) -> Sequence[Answer | ProviderError]:
    async with vendor_saying(body(said)) as (adapter, _):
        return await adapter.look_up_many(queries)


def many(count: int) -> list[Query]:
    return [person(email=f"p{number}@acme.com") for number in range(count)]


def item(place: object, name: str) -> dict[str, object]:
    return {"status": 200, "likelihood": 6, "data": {"full_name": name}, "metadata": {"place": place}}


async def test_results_are_tied_to_their_queries_by_what_the_vendor_repeats():
    said = await ask_many([item(2, "C"), item("0", "A"), item(1, "B")], many(3))
    assert [each.values["full_name"] for each in said if isinstance(each, Found)] == ["A", "B", "C"]
    assert {each.confidence for each in said if isinstance(each, Found)} == {0.6}
    assert isinstance(said[0], Found)
    assert json.loads(said[0].raw or b"") == item("0", "A")


async def test_companies_come_flat_in_a_bulk_answer_too():
    said = await ask_many([{**COMPANY, "metadata": {"place": 0}}, {**COMPANY, "likelihood": 3}], [BY_DOMAIN] * 2)
    assert [(each.values, each.confidence) for each in said if isinstance(each, Found)] == [
        (FROM_COMPANY, 0.8),
        (FROM_COMPANY, 0.3),
    ]


async def test_results_that_repeat_nothing_are_in_the_order_of_the_queries():
    said = await ask_many([{"status": 200, "data": {"full_name": name}} for name in "AB"], many(2))
    assert [each.values["full_name"] for each in said if isinstance(each, Found)] == ["A", "B"]


@pytest.mark.parametrize(
    "results",
    [
        [item(0, "A"), item(0, "B")],
        [item(None, "A")],
        [item(7, "A"), item(-1, "B")],
        [],
        [None, 3],
    ],
    ids=["same-place", "too-few", "no-such-place", "none", "no-objects"],
)
async def test_what_may_be_somebody_elses_is_nobodys(results: list[object]):
    said = await ask_many(results, many(2))
    assert isinstance(said[0], Malformed)
    assert not any(isinstance(each, Missed) for each in said)


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ({"status": 404, "error": {"type": "not_found", "message": "text"}}, Missed),
        ({"status": 404}, Missed),
        ({"status": "404"}, Missed),
        ({"error": {"type": ["not_found"]}}, Missed),
        ({"status": 200, "data": {}}, Missed),
        ({"status": 400, "error": {"type": "invalid_request_error"}}, InvalidQuery),
        ({"status": 402}, PaymentRequired),
        ({"status": 429}, RateLimited),
        ({"status": 500, "error": {"type": "api_error"}}, Transient),
        ({"error": {"type": "new_error"}}, Malformed),
        ({"status": 200, "data": "42"}, Malformed),
        ({"status": 200}, Malformed),
    ],
)
async def test_each_result_of_several_has_its_own_meaning(result: dict[str, object], kind: type):
    said = await ask_many([item(0, "A"), {**result, "metadata": {"place": 1}}], many(2))
    assert isinstance(said[0], Found)
    assert type(said[1]) is kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (error(402, "payment_required"), PaymentRequired),
        (error(401, "authentication_error"), CredentialRejected),
        (error(429, "rate_limit_error"), RateLimited),
        (answer(502, b"<html>", "text/html"), Transient),
        (answer(413, b"<html>", "text/html"), Malformed),
        (MISS, Malformed),
        (body({"results": []}), Malformed),
        (answer(200, b"[{"), Malformed),
    ],
)
async def test_a_call_for_several_may_fail_as_a_whole(said: bytes, kind: type[ProviderError]):
    async with vendor_saying(said) as (adapter, _):
        with pytest.raises(kind):
            await adapter.look_up_many(many(2))


async def test_a_result_that_is_nested_without_end_spoils_no_other():
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    said = await ask_many([item(0, "A"), {**item(1, "B"), "new": deep}], many(2))
    assert isinstance(said[0], Found)
    assert isinstance(said[1], Malformed)


@pytest.mark.parametrize("item_miss", ["whole", "status", "error"])
@pytest.mark.parametrize("entity", ["company", "person"])
async def test_a_hundred_in_one_call_get_what_each_would_get(
    sources: Mapping[str, GatedSource], control: Control, entity: str, item_miss: str
):
    await control("PUT", "/_options/peopledatalabs", item_miss=item_miss)
    source = sources["peopledatalabs"]
    numbers = range(source.capabilities.bulk["person"])
    make = company if entity == "company" else (lambda domain: person(email=f"ana.roe@{domain}"))
    queries = [make(f"company-{number}.com") for number in numbers]
    said = await source.look_up_many(queries)
    calls = (await control("GET", "/_calls"))["peopledatalabs"]
    assert calls["total"] == 1
    assert calls["charged"] == sum(isinstance(each, Found) for each in said)
    assert {type(each) for each in said} == {Found, Missed}
    for query, each in list(zip(queries, said, strict=True))[:10]:
        alone = await source.look_up(query)
        if isinstance(alone, Found) and isinstance(each, Found):
            assert (alone.values, alone.confidence) == (each.values, each.confidence)
        else:
            assert alone == each


async def test_what_is_less_likely_than_is_wanted_is_a_miss_and_free(
    sources: Mapping[str, GatedSource], control: Control
):
    await control("PUT", "/_options/peopledatalabs", hit_rate=1)
    queries = [person(full_name="Ana Roe", domain=f"company-{number}.com") for number in range(40)]
    alone = [await sources["peopledatalabs"].look_up(query) for query in queries]
    assert {each.confidence >= 0.5 if isinstance(each, Found) else None for each in alone} == {True, None}
    together = await sources["peopledatalabs"].look_up_many(queries)
    assert [type(each) for each in together] == [type(each) for each in alone]
    charged = (await control("GET", "/_calls"))["peopledatalabs"]["charged"]
    assert charged == 2 * sum(isinstance(each, Found) for each in alone)
