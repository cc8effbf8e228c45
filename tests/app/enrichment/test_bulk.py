"""Calls for many subjects: full, each item on its own, and one by one where one of them spoils the call."""

from collections.abc import Sequence
from contextlib import suppress

import pytest

from app.enrichment.errors import LookupPostponed
from app.providers.errors import CircuitOpen, InvalidQuery, Malformed, ProviderError, Transient
from app.providers.ports import Answer, Found, Missed, Query
from tests.app.enrichment.lookups import Lookups
from tests.fakes import FAKE_FIELDS, FakeSource

DOMAINS = [f"company-{n}.com" for n in range(1, 26)]


async def test_a_chunk_is_asked_in_full_calls(lookups: Lookups):
    source = FakeSource(bulk=10)
    job_id = await lookups.job(DOMAINS, source)

    done = await lookups.run(job_id, source)

    assert (done.calls, done.found, done.open_records) == (3, 25, 0)
    assert sorted(source.batches) == [5, 10, 10]
    assert (await lookups.row(job_id))["charged"] == 50


async def test_each_item_of_a_call_ends_as_it_was_answered(lookups: Lookups):
    def one(query: Query) -> Answer | ProviderError:
        number = int(query.subject["domain"].partition("-")[2].partition(".")[0])
        if number == 1:
            return InvalidQuery("alpha", "refuses it")
        return Missed() if number % 2 else Found({"city": "Oslo"})

    source = FakeSource(answer=one, bulk=100)
    job_id = await lookups.job(DOMAINS, source)
    await lookups.run(job_id, source)

    outcomes = [each["outcome"] for each in await lookups.answers(job_id)]
    assert (outcomes[0], outcomes.count("found"), outcomes.count("missed")) == ("rejected", 12, 12)
    assert (await lookups.row(job_id))["charged"] == 24


async def test_an_item_that_failed_is_tried_again_and_the_others_are_not(lookups: Lookups):
    failing = {"domain:company-3.com"}

    def one(query: Query) -> Answer | ProviderError:
        return Transient("alpha", "failed") if query.key in failing else Found(dict.fromkeys(FAKE_FIELDS, "x"))

    source = FakeSource(answer=one, bulk=100)
    job_id = await lookups.job(DOMAINS, source)
    with pytest.raises(LookupPostponed):
        await lookups.run(job_id, source)
    failing.clear()

    assert (await lookups.run(job_id, source)).open_records == 0
    assert {key: count for key, count in source.calls.items() if count > 1} == {"domain:company-3.com": 2}


class Spoiled(FakeSource):
    """Refuses each call for many in which one certain subject is."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(bulk=100)
        self.error = error

    async def look_up_many(self, queries: Sequence[Query]) -> Sequence[Answer | ProviderError]:
        await super().look_up_many(queries)
        raise self.error

    async def look_up(self, query: Query) -> Answer:
        if query.key == "domain:company-3.com":
            raise self.error
        return await super().look_up(query)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(InvalidQuery("alpha", "refuses it"), "rejected"), (Malformed("alpha", "no JSON"), "malformed")],
    ids=["refused", "malformed"],
)
async def test_a_record_that_spoils_a_call_is_found_by_asking_one_by_one(
    lookups: Lookups, error: ProviderError, outcome: str
):
    source = Spoiled(error)
    job_id = await lookups.job(DOMAINS, source)
    with pytest.raises((LookupPostponed, ProviderError)):
        await lookups.run(job_id, source)

    await lookups.run(job_id, source)

    outcomes = {each["position"]: each["outcome"] for each in await lookups.answers(job_id)}
    assert outcomes.pop(3) == outcome
    assert set(outcomes.values()) == {"found"}
    assert source.batches == [25]


async def test_a_call_that_is_refused_by_an_open_circuit_leaves_all_of_it_for_later(lookups: Lookups):
    source = Spoiled(CircuitOpen("alpha", "open", retry_after=9))
    job_id = await lookups.job(DOMAINS, source)
    with pytest.raises(CircuitOpen):
        await lookups.run(job_id, source)
    assert await lookups.answers(job_id) == []


async def test_a_hold_that_does_not_suffice_for_a_call_is_spent_to_its_end_and_no_further(lookups: Lookups):
    source = FakeSource(bulk=10)
    job_id = await lookups.job(DOMAINS, source, hold=25)
    with suppress(LookupPostponed):
        await lookups.run(job_id, source)

    await lookups.run(job_id, source)

    job = await lookups.row(job_id)
    assert (job["charged"], job["matched"], job["failed"]) == (24, 12, 13)
    assert source.calls.total() == 12
