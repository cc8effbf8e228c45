"""One lookup against a real PostgreSQL, with a fake provider at the port."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.credentials.opening import Opener
from app.db import Sessions, create_engine
from app.enrichment.errors import LookupPostponed
from app.enrichment.lookup import look_up
from app.enrichment.places import Places
from app.enrichment.settle import settle
from app.providers.errors import CircuitOpen, CredentialRejected, Malformed, RateLimited, Throttled, Transient
from app.providers.ports import Found, Missed, Query, Unreachable
from app.settings import DatabaseSettings, EnrichmentSettings
from tests.builders import job_row, make_job, make_workspace, violations, wish
from tests.fakes import FakeSource, misses
from tests.servers import Database
from workflows.contracts.enrichment import Lookup, LookupDone

SETTINGS = EnrichmentSettings(calls_per_lookup=10, flush_answers=7, flush_seconds=0.05, max_tries=3)


def engine_for(url: str) -> AsyncEngine:
    return create_engine(SecretStr(url), DatabaseSettings(), application="test")


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Sessions]:
    engine = engine_for(database.owner_url)
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def sessions(database: Database) -> AsyncIterator[Sessions]:
    engine = engine_for(database.app_url)
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def workspace(owner: Sessions, sessions: Sessions) -> AsyncIterator[UUID]:
    workspace_id = await make_workspace(owner)
    yield workspace_id
    assert await violations(sessions, workspace_id) == []


DOMAINS = [f"company-{n}.com" for n in range(1, 31)]


def command(workspace_id: UUID, job_id: UUID, source: FakeSource, *, last: int = 30, is_last: bool = True) -> Lookup:
    return Lookup(str(workspace_id), str(job_id), source.name, 1, last, is_last)


async def run(sessions: Sessions, source: FakeSource, lookup: Lookup) -> LookupDone:
    sources = {source.name: source}
    return await look_up(
        sessions,
        sources,
        lookup,
        SETTINGS,
        opener=Opener({}),
        places=Places(100, 4, shared_calls=100),
        stopping=lambda: False,
    )


async def outcomes(sessions: Sessions, workspace_id: UUID, job_id: UUID) -> dict[int, str]:
    async with sessions.for_workspace(workspace_id) as session:
        rows = await session.execute(
            text("SELECT position, outcome FROM enrichment_answers WHERE job_id = :id ORDER BY position"),
            {"id": job_id},
        )
        return {row.position: row.outcome for row in rows}


async def test_every_found_result_is_charged_once(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource()
    job_id = await make_job(sessions, workspace, DOMAINS, [source])

    done = await run(sessions, source, command(workspace, job_id, source))

    assert done == LookupDone(calls=30, found=30, open_records=0)
    job = await job_row(sessions, workspace, job_id)
    assert (job["matched"], job["charged"]) == (30, 60)


async def test_a_second_run_of_the_same_lookup_asks_nothing_and_charges_nothing(
    sessions: Sessions, workspace: UUID
) -> None:
    source = FakeSource()
    job_id = await make_job(sessions, workspace, DOMAINS, [source])
    await run(sessions, source, command(workspace, job_id, source))

    again = await run(sessions, source, command(workspace, job_id, source))

    assert again == LookupDone(calls=0, found=0, open_records=0)
    assert source.calls.total() == 30
    assert (await job_row(sessions, workspace, job_id))["charged"] == 60


async def test_two_runs_at_the_same_time_charge_each_result_once(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource(latency=0.01)
    job_id = await make_job(sessions, workspace, DOMAINS, [source])

    await asyncio.gather(*(run(sessions, source, command(workspace, job_id, source)) for _ in range(3)))

    job = await job_row(sessions, workspace, job_id)
    assert (job["matched"], job["charged"]) == (30, 60)


async def test_misses_are_stored_and_not_asked_again(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource(answer=misses)
    job_id = await make_job(sessions, workspace, DOMAINS, [source])
    first = command(workspace, job_id, source, is_last=False)

    assert (await run(sessions, source, first)).open_records == 30
    await run(sessions, source, first)

    assert source.calls.total() == 30
    assert set((await outcomes(sessions, workspace, job_id)).values()) == {"missed"}


async def test_a_later_provider_is_asked_only_for_what_is_missing(sessions: Sessions, workspace: UUID) -> None:
    alpha = FakeSource("alpha", lambda query: Found({"industry": "Tools"}) if "-1" in query.key else Missed())
    beta = FakeSource("beta", fields=("industry",))
    job_id = await make_job(sessions, workspace, DOMAINS, [alpha, beta], fields=("industry",))

    await run(sessions, alpha, command(workspace, job_id, alpha, is_last=False))
    await run(sessions, beta, command(workspace, job_id, beta))

    assert alpha.calls.total() == 30
    assert beta.calls.total() == sum("-1" not in domain for domain in DOMAINS)
    assert (await job_row(sessions, workspace, job_id))["matched"] == 30


async def test_records_of_one_company_share_one_call_and_one_charge(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource()
    job_id = await make_job(sessions, workspace, ["one.com", "two.com", "one.com", "one.com"], [source])

    await run(sessions, source, command(workspace, job_id, source, last=4))

    job = await job_row(sessions, workspace, job_id)
    assert source.calls == {"domain:one.com": 1, "domain:two.com": 1}
    assert (job["matched"], job["charged"]) == (4, 4)


async def test_an_open_circuit_parks_the_lookup_and_keeps_what_was_found(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource()
    job_id = await make_job(sessions, workspace, DOMAINS, [source])
    source.answer = lambda query: (
        Found({"industry": "Tools"}) if query.key < "domain:company-2" else CircuitOpen("alpha", "open", retry_after=9)
    )

    with pytest.raises(CircuitOpen) as parked:
        await run(sessions, source, command(workspace, job_id, source))

    assert parked.value.retry_after is not None
    assert 9 <= parked.value.retry_after <= 30
    kept = await outcomes(sessions, workspace, job_id)
    assert kept
    assert set(kept.values()) == {"found"}


async def test_an_outage_longer_than_the_job_waits_ends_in_gave_up(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource(answer=lambda _: CircuitOpen("alpha", "open", retry_after=9))
    job_id = await make_job(sessions, workspace, DOMAINS, [source], max_wait_seconds=0)

    done = await run(sessions, source, command(workspace, job_id, source))

    assert done.open_records == 0
    assert set((await outcomes(sessions, workspace, job_id)).values()) == {"gave_up"}
    async with sessions.for_workspace(workspace) as session:
        reasons = await session.execute(text("SELECT DISTINCT status, reason FROM enrichment_records"))
        assert [tuple(row) for row in reasons] == [("failed", "provider_unavailable")]


async def test_a_job_that_skips_outages_goes_on_at_once(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource(answer=lambda _: CircuitOpen("alpha", "open", retry_after=9))
    job_id = await make_job(sessions, workspace, DOMAINS, [source], on_outage="skip")

    done = await run(sessions, source, command(workspace, job_id, source, is_last=False))

    assert done == LookupDone(calls=0, found=0, open_records=30)
    assert set((await outcomes(sessions, workspace, job_id)).values()) == {"skipped_outage"}


async def test_a_small_job_that_skips_outages_goes_on_though_no_circuit_opened(
    sessions: Sessions, workspace: UUID
) -> None:
    source = FakeSource(answer=lambda _: Transient("alpha", "503"))
    job_id = await make_job(sessions, workspace, DOMAINS[:3], [source], on_outage="skip")

    assert (await run(sessions, source, command(workspace, job_id, source))).open_records == 0

    assert set((await outcomes(sessions, workspace, job_id)).values()) == {"skipped_outage"}


async def test_a_throttled_lookup_comes_back_when_the_provider_says(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource(answer=lambda _: RateLimited("alpha", "429", retry_after=7))
    job_id = await make_job(sessions, workspace, DOMAINS, [source], max_wait_seconds=0)

    with pytest.raises(RateLimited) as throttled:
        await run(sessions, source, command(workspace, job_id, source))

    assert throttled.value.retry_after is not None
    assert 7 <= throttled.value.retry_after <= 8
    assert await outcomes(sessions, workspace, job_id) == {}


async def test_what_was_not_asked_for_want_of_a_quota_is_no_call(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource(answer=lambda _: Throttled("alpha", "waits for its quota", retry_after=7))
    job_id = await make_job(sessions, workspace, DOMAINS, [source])

    with pytest.raises(RateLimited) as throttled:
        await run(sessions, source, command(workspace, job_id, source))

    assert throttled.value.retry_after is not None
    assert 7 <= throttled.value.retry_after <= 8
    async with sessions.for_workspace(workspace) as session:
        query = text("SELECT calls FROM enrichment_job_providers WHERE job_id = :id")
        assert (await session.execute(query, {"id": job_id})).scalar_one() == 0


async def test_a_rejected_key_ends_the_provider_for_the_job_and_not_the_job(
    sessions: Sessions, workspace: UUID
) -> None:
    source = FakeSource(answer=lambda _: CredentialRejected("alpha", "401"))
    job_id = await make_job(sessions, workspace, DOMAINS, [source])

    assert (await run(sessions, source, command(workspace, job_id, source))).open_records == 0

    assert set((await outcomes(sessions, workspace, job_id)).values()) == {"rejected"}
    assert source.calls.total() <= SETTINGS.calls_per_lookup


async def test_a_malformed_answer_is_tried_once_more_and_then_final(sessions: Sessions, workspace: UUID) -> None:
    def answer(query: Query) -> Found | Malformed:
        return Malformed("alpha", "not JSON") if query.key == "domain:company-3.com" else Found({"city": "Lyon"})

    source = FakeSource(answer=answer)
    job_id = await make_job(sessions, workspace, DOMAINS, [source], fields=("city",))
    with pytest.raises(LookupPostponed):
        await run(sessions, source, command(workspace, job_id, source))

    await run(sessions, source, command(workspace, job_id, source))

    assert source.calls["domain:company-3.com"] == 2
    assert (await outcomes(sessions, workspace, job_id))[3] == "malformed"
    assert (await job_row(sessions, workspace, job_id))["failed"] == 1


async def test_a_record_that_a_living_provider_keeps_failing_is_given_up(sessions: Sessions, workspace: UUID) -> None:
    def answer(query: Query) -> Found | Transient:
        return Transient("alpha", "500") if query.key == "domain:company-3.com" else Found({"city": "Lyon"})

    source = FakeSource(answer=answer)
    job_id = await make_job(sessions, workspace, DOMAINS, [source], fields=("city",))
    lookup = command(workspace, job_id, source)
    for _ in range(2):
        with pytest.raises((LookupPostponed, Transient)):
            await run(sessions, source, lookup)
        source.last_answer_at = 1e12  # others are answered meanwhile

    assert (await run(sessions, source, lookup)).open_records == 0

    assert (await outcomes(sessions, workspace, job_id))[3] == "gave_up"


async def test_a_provider_that_fails_a_small_job_altogether_is_waited_for(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource(answer=lambda _: Transient("alpha", "500"))
    job_id = await make_job(sessions, workspace, ["one.com"], [source])
    for _ in range(SETTINGS.max_tries + 2):
        with pytest.raises(Transient):
            await run(sessions, source, command(workspace, job_id, source, last=1))

    source.answer = lambda _: Found(dict.fromkeys(("industry", "employee_count", "city"), "x"))
    await run(sessions, source, command(workspace, job_id, source, last=1))

    assert (await job_row(sessions, workspace, job_id))["matched"] == 1


async def test_a_cancelled_lookup_commits_what_is_in_flight_and_starts_nothing_more(
    sessions: Sessions, workspace: UUID
) -> None:
    source = FakeSource()
    source.gate.clear()
    job_id = await make_job(sessions, workspace, DOMAINS, [source])
    lookup = asyncio.create_task(run(sessions, source, command(workspace, job_id, source)))
    while source.calls.total() < SETTINGS.calls_per_lookup:
        await asyncio.sleep(0)

    lookup.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await lookup

    assert source.calls.total() == SETTINGS.calls_per_lookup
    assert (await job_row(sessions, workspace, job_id))["matched"] == SETTINGS.calls_per_lookup


async def test_answers_that_come_after_the_settlement_are_not_charged(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource()
    source.gate.clear()
    job_id = await make_job(sessions, workspace, DOMAINS, [source])
    lookup = asyncio.create_task(run(sessions, source, command(workspace, job_id, source)))
    while not source.calls:
        await asyncio.sleep(0)

    await settle(sessions, workspace, job_id, interrupted="failed")
    source.gate.set()
    done = await lookup

    assert done.open_records == 0
    job = await job_row(sessions, workspace, job_id)
    assert (job["status"], job["charged"], job["failed"]) == ("failed", 0, 30)
    assert await outcomes(sessions, workspace, job_id) == {}


async def test_a_lookup_of_a_paused_job_waits_for_its_cancellation(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource()
    job_id = await make_job(sessions, workspace, DOMAINS, [source])
    await wish(sessions, workspace, job_id, "paused")

    with pytest.raises(LookupPostponed):
        await run(sessions, source, command(workspace, job_id, source))

    assert not source.calls


async def test_lookups_together_never_charge_more_than_the_hold(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource(latency=0.005)
    job_id = await make_job(sessions, workspace, DOMAINS, [source], hold=21)

    async def until_done(first: int, last: int) -> None:
        while True:
            try:
                lookup = Lookup(str(workspace), str(job_id), source.name, first, last, True)
                await look_up(
                    sessions,
                    {source.name: source},
                    lookup,
                    SETTINGS,
                    opener=Opener({}),
                    places=Places(100, 4, shared_calls=100),
                    stopping=lambda: False,
                )
            except LookupPostponed:
                continue
            return

    await asyncio.gather(until_done(1, 10), until_done(11, 20), until_done(21, 30))

    job = await job_row(sessions, workspace, job_id)
    assert (job["charged"], job["matched"], job["failed"]) == (20, 10, 20)


async def test_an_unreachable_site_is_a_result(sessions: Sessions, workspace: UUID) -> None:
    source = FakeSource(answer=lambda _: Unreachable("nxdomain"))
    job_id = await make_job(sessions, workspace, DOMAINS, [source])

    assert (await run(sessions, source, command(workspace, job_id, source))).open_records == 0

    assert (await job_row(sessions, workspace, job_id))["not_found"] == 30
