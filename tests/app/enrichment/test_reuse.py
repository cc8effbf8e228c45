"""What a workspace has bought is not bought again: not within a job's time, and not by two jobs at once."""

import asyncio

import pytest

from app.enrichment.errors import LookupPostponed
from app.providers.ports import Answer, Found, Missed, Query, Unreachable
from tests.app.enrichment.lookups import Lookups
from tests.fakes import FAKE_FIELDS, FakeSource

DOMAINS = [f"company-{n}.com" for n in range(1, 11)]
DAY = 86_400


async def finished(lookups: Lookups, source: FakeSource, **options: object) -> dict[str, object]:
    job_id = await lookups.job(DOMAINS, source, **options)
    await lookups.run(job_id, source)
    await lookups.settle(job_id)
    return await lookups.row(job_id)


async def grow_older(lookups: Lookups, seconds: float) -> None:
    query = "UPDATE enrichment_answers SET answered_at = answered_at - make_interval(secs => :seconds)"
    await lookups.select(query, seconds=seconds)


async def saved(lookups: Lookups, job_id: object) -> int:
    [row] = await lookups.select("SELECT reused FROM enrichment_job_providers WHERE job_id = :id", id=job_id)
    return int(row["reused"])


async def test_found_and_missed_are_taken_over_for_nothing(lookups: Lookups):
    source = FakeSource(answer=lambda query: Missed() if "-1" in query.key else Found({"city": "Oslo"}))
    await finished(lookups, source)

    again = await finished(lookups, source, reuse_within_seconds=DAY)

    assert source.calls.total() == 10
    assert (again["charged"], again["partial"], again["not_found"]) == (0, 8, 2)
    assert await saved(lookups, again["id"]) == 10
    assert all(each["reused_at"] > each["answered_at"] for each in await lookups.answers(again["id"]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second", "age"),
    [
        ({}, {}, 0),
        ({}, {"reuse_within_seconds": DAY}, DAY + 1),
        ({"fields": ("city",)}, {"reuse_within_seconds": DAY}, 0),
    ],
    ids=["it wants none", "they are too old", "they were asked for less"],
)
async def test_what_a_job_cannot_use_is_bought(
    lookups: Lookups, first: dict[str, object], second: dict[str, object], age: float
):
    source = FakeSource()
    await finished(lookups, source, **first)
    await grow_older(lookups, age)

    again = await finished(lookups, source, **second)

    assert (source.calls.total(), again["charged"]) == (20, 20)


async def test_a_dead_host_is_asked_again_after_a_day(lookups: Lookups):
    source = FakeSource(answer=lambda _: Unreachable("no such host"))
    await finished(lookups, source)
    await finished(lookups, source, reuse_within_seconds=30 * DAY)
    assert source.calls.total() == 10

    await grow_older(lookups, DAY + 1)
    await finished(lookups, source, reuse_within_seconds=30 * DAY)
    assert source.calls.total() == 20


async def test_two_jobs_at_once_make_one_call_for_each_subject(lookups: Lookups):
    source = FakeSource(latency=0.02)
    jobs = [await lookups.job(DOMAINS, source, reuse_within_seconds=DAY) for _ in range(3)]

    async def until_done(job_id: object) -> None:
        while True:
            try:
                await lookups.run(job_id, source)  # type: ignore[arg-type]
            except LookupPostponed:
                await asyncio.sleep(0.02)
            else:
                return

    await asyncio.gather(*map(until_done, jobs))

    rows = [await lookups.row(job_id) for job_id in jobs]
    assert source.calls.total() == 10
    assert [row["matched"] for row in rows] == [10, 10, 10]
    assert sum(row["charged"] for row in rows) == 20
    assert await lookups.select("SELECT * FROM enrichment_claims") == []


async def test_a_claim_whose_owner_died_lapses(lookups: Lookups):
    source = FakeSource()
    source.gate.clear()
    dying, waiting = [await lookups.job(DOMAINS, source, reuse_within_seconds=DAY) for _ in range(2)]
    run = asyncio.create_task(lookups.run(dying, source))
    while source.calls.total() < 10:
        await asyncio.sleep(0.01)
    with pytest.raises(LookupPostponed):
        await lookups.run(waiting, source)

    await lookups.select("UPDATE enrichment_claims SET until = now() - interval '1 second'")
    source.gate.set()
    await run

    assert (await lookups.run(waiting, source)).open_records == 0
    assert source.calls.total() == 10


async def test_another_workspaces_answers_are_not_seen(lookups: Lookups, other_lookups: Lookups):
    source = FakeSource()
    await finished(lookups, source)

    theirs = await finished(other_lookups, source, reuse_within_seconds=DAY)

    assert (source.calls.total(), theirs["charged"]) == (20, 20)


async def test_a_value_that_is_not_sure_enough_for_one_job_may_be_for_the_next(lookups: Lookups):
    def unsure(query: Query) -> Answer:
        return Found(dict.fromkeys(FAKE_FIELDS, query.key), confidence=0.4)

    source = FakeSource(answer=unsure)
    first = await finished(lookups, source)
    job_id = await lookups.job(DOMAINS, source, reuse_within_seconds=DAY)
    await lookups.select("UPDATE enrichment_jobs SET min_confidence = 0.3 WHERE id = :id", id=job_id)
    await lookups.run(job_id, source)

    assert ((await lookups.row(job_id))["matched"], first["not_found"], source.calls.total()) == (10, 10, 10)
