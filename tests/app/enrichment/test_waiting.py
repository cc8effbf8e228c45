"""How a job waits for a provider that is away: in an outage, told, for as long as it may, and then without it."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.credentials.opening import Opener
from app.db import Sessions, create_engine
from app.enrichment.lookup import look_up
from app.enrichment.places import Places
from app.enrichment.plan import plan
from app.enrichment.settle import settle
from app.providers.errors import CircuitOpen, ProviderError, RateLimited, Transient
from app.providers.ports import Found, Query
from app.settings import DatabaseSettings, EnrichmentSettings
from tests.app.outages.incidents import change, events, outages, tell
from tests.builders import job_row, make_job, make_workspace, violations, wish
from tests.fakes import FAKE_FIELDS, FakeSource
from tests.servers import Database
from workflows.contracts.enrichment import JobRef, Lookup, LookupDone

SETTINGS = EnrichmentSettings(calls_per_lookup=5, flush_answers=7, flush_seconds=0.05)
DOMAINS = [f"company-{n}.com" for n in range(1, 11)]


@pytest.fixture
async def platform(database: Database) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(database.platform_url), DatabaseSettings(), application="test")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def sessions(database: Database) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(), application="test")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def workspace(database: Database, sessions: Sessions) -> AsyncIterator[UUID]:
    engine = create_engine(SecretStr(database.owner_url), DatabaseSettings(), application="test")
    workspace_id = await make_workspace(Sessions(engine))
    await engine.dispose()
    yield workspace_id
    assert await violations(sessions, workspace_id) == []


class Away:
    """The answer of a provider that is away until it `is_back`."""

    def __init__(self, refusal: ProviderError | None = None) -> None:
        self.is_back = False
        self.refusal = refusal or CircuitOpen("alpha", "the circuit is open", retry_after=9)

    def __call__(self, query: Query) -> Found | ProviderError:
        return Found(dict.fromkeys(FAKE_FIELDS, query.key)) if self.is_back else self.refusal


async def run(
    sessions: Sessions,
    workspace: UUID,
    job_id: UUID,
    source: FakeSource,
    first: int = 1,
    last: int = 10,
    *,
    is_last: bool = True,
) -> LookupDone | None:
    """One run of a lookup; None where it is to come back."""
    lookup = Lookup(str(workspace), str(job_id), source.name, first, last, is_last)
    try:
        return await look_up(
            sessions,
            {source.name: source},
            lookup,
            SETTINGS,
            opener=Opener({}),
            places=Places(100, 4, shared_calls=100),
            stopping=lambda: False,
        )
    except ProviderError:
        return None


async def pass_time(sessions: Sessions, workspace: UUID, seconds: float, clock: str = "waiting_since") -> None:
    """Let the waits of the workspace's jobs go on for so long, by one of their clocks."""
    query = f"UPDATE enrichment_job_providers SET {clock} = {clock} - make_interval(secs => :seconds)"
    async with sessions.for_workspace(workspace) as session:
        await session.execute(text(query), {"seconds": seconds})


async def rows(sessions: Sessions, workspace: UUID, query: str) -> list[tuple[object, ...]]:
    async with sessions.for_workspace(workspace) as session:
        return [tuple(row) for row in await session.execute(text(query))]


async def waits(sessions: Sessions, workspace: UUID) -> list[tuple[object, ...]]:
    return await rows(sessions, workspace, "SELECT records, credits_held, ended_at IS NULL FROM outage_waits")


async def outcomes(sessions: Sessions, workspace: UUID) -> set[tuple[object, ...]]:
    return set(await rows(sessions, workspace, "SELECT provider, outcome FROM enrichment_answers"))


async def told(sessions: Sessions, workspace: UUID) -> list[str]:
    return [event["type"] for event in await events(sessions, workspace)]


async def test_a_job_waits_in_the_outage_until_the_provider_answers(
    platform: Sessions, sessions: Sessions, workspace: UUID
):
    away = Away()
    source = FakeSource(answer=away)
    job_id = await make_job(sessions, workspace, DOMAINS, [source])
    await tell(platform, change("open", provider="alpha"))

    for first, last in ((1, 5), (6, 10), (1, 5)):
        assert await run(sessions, workspace, job_id, source, first, last) is None

    assert await waits(sessions, workspace) == [(10, 20, True)]
    (waiting,) = await events(sessions, workspace, "enrichment")
    (outage,) = await outages(platform)
    assert waiting["type"] == "enrichment.job.waiting"
    assert waiting["data"] == {
        "job_id": str(job_id),
        "provider": "alpha",
        "outage_id": str(outage["id"]),
        "since": waiting["data"]["since"],
        "records": 10,
        "credits_held": 20,
    }

    away.is_back = True
    await run(sessions, workspace, job_id, source, 1, 5)
    await run(sessions, workspace, job_id, source, 6, 10)
    await settle(sessions, workspace, job_id, interrupted="")

    assert await waits(sessions, workspace) == [(10, 20, False)]
    resumed, completed = (await events(sessions, workspace, "enrichment"))[1:]
    assert (resumed["type"], resumed["data"]["outcome"]) == ("enrichment.job.resumed", "answered")
    assert resumed["data"]["since"] == waiting["data"]["since"]
    assert completed["type"] == "enrichment.job.completed"
    assert completed["data"]["counts"]["matched"] == 10
    assert completed["data"]["credits"] == {"charged": 20}


async def test_each_outage_that_a_job_waits_in_is_told(platform: Sessions, sessions: Sessions, workspace: UUID):
    away = Away()
    source = FakeSource(answer=away)
    job_id = await make_job(sessions, workspace, DOMAINS, [source])
    for n in range(3):
        await tell(platform, change("open", seconds=60 * n, provider="alpha"))
        away.is_back = False
        assert await run(sessions, workspace, job_id, source, n + 1, n + 1) is None
        await tell(platform, change("closed", seconds=60 * n + 30, provider="alpha"))
        away.is_back = True
        assert await run(sessions, workspace, job_id, source, n + 1, n + 1)

    assert (
        await told(sessions, workspace)
        == [
            "provider.outage.opened",
            "enrichment.job.waiting",
            "enrichment.job.resumed",
        ]
        * 3
    )


async def test_a_job_too_small_to_open_a_circuit_is_told_when_it_waits_for_long(
    platform: Sessions, sessions: Sessions, workspace: UUID
):
    away = Away(Transient("alpha", "status 500"))
    source = FakeSource(answer=away)
    job_id = await make_job(sessions, workspace, DOMAINS[:2], [source])
    assert await run(sessions, workspace, job_id, source) is None
    assert await told(sessions, workspace) == []

    await pass_time(sessions, workspace, 3, "parked_since")
    assert await run(sessions, workspace, job_id, source) is None
    assert await run(sessions, workspace, job_id, source) is None

    (waiting,) = await events(sessions, workspace)
    assert (waiting["type"], waiting["data"]["outage_id"]) == ("enrichment.job.waiting", None)
    assert await waits(sessions, workspace) == []

    # Others open the circuit: then it waits in that outage, and has been told that it waits.
    await tell(platform, change("open", provider="alpha"))
    assert await run(sessions, workspace, job_id, source) is None
    assert await waits(sessions, workspace) == [(2, 4, True)]
    away.is_back = True
    await run(sessions, workspace, job_id, source)
    assert await told(sessions, workspace) == [
        "enrichment.job.waiting",
        "provider.outage.opened",
        "enrichment.job.resumed",
    ]


async def test_a_call_that_fails_once_is_no_news(sessions: Sessions, workspace: UUID):
    away = Away(Transient("alpha", "status 500"))
    source = FakeSource(answer=away)
    job_id = await make_job(sessions, workspace, DOMAINS[:1], [source])
    assert await run(sessions, workspace, job_id, source) is None
    away.is_back = True

    await run(sessions, workspace, job_id, source)

    assert await told(sessions, workspace) == []


async def test_a_job_gives_a_provider_up_after_its_own_time_and_goes_on_with_the_next(
    platform: Sessions, sessions: Sessions, workspace: UUID
):
    alpha, beta = FakeSource(answer=Away()), FakeSource("beta")
    job_id = await make_job(sessions, workspace, DOMAINS, [alpha, beta], max_wait_seconds=60)
    await tell(platform, change("open", provider="alpha"))
    assert await run(sessions, workspace, job_id, alpha, 1, 5, is_last=False) is None
    await pass_time(sessions, workspace, 59)
    assert await run(sessions, workspace, job_id, alpha, 6, 10, is_last=False) is None
    await pass_time(sessions, workspace, 2)

    for first, last in ((1, 5), (6, 10)):
        done = await run(sessions, workspace, job_id, alpha, first, last, is_last=False)
        assert done is not None
        assert done.open_records == 5
        assert await waits(sessions, workspace) == [(10, 40, False)]
        await run(sessions, workspace, job_id, beta, first, last)

    assert await outcomes(sessions, workspace) == {("alpha", "gave_up"), ("beta", "found")}
    assert (await job_row(sessions, workspace, job_id))["matched"] == 10
    resumed = await events(sessions, workspace, "enrichment.job.resumed")
    assert [event["data"]["outcome"] for event in resumed] == ["gave_up"]
    # It waits for nobody, and shows so.
    assert await rows(
        sessions, workspace, "SELECT DISTINCT waiting_since, waiting_until, parked_since FROM enrichment_job_providers"
    ) == [(None, None, None)]


async def test_what_comes_after_a_provider_was_given_up_asks_it_again_once_its_circuit_has_closed(
    platform: Sessions, sessions: Sessions, workspace: UUID
):
    away = Away()
    source = FakeSource(answer=away)
    job_id = await make_job(sessions, workspace, DOMAINS, [source], max_wait_seconds=60)
    await tell(platform, change("open", provider="alpha"))
    assert await run(sessions, workspace, job_id, source, 1, 3) is None
    await pass_time(sessions, workspace, 61)
    for first, last in ((1, 3), (4, 6)):
        assert await run(sessions, workspace, job_id, source, first, last)
    assert len(await events(sessions, workspace, "enrichment.job.waiting")) == 1

    away.is_back = True
    assert await run(sessions, workspace, job_id, source, 7, 10)

    job = await job_row(sessions, workspace, job_id)
    assert (job["failed"], job["matched"]) == (6, 4)
    assert set(await rows(sessions, workspace, "SELECT status, reason FROM enrichment_records")) == {
        ("failed", "provider_unavailable"),
        ("matched", None),
    }


async def test_a_job_that_skips_outages_waits_in_none(platform: Sessions, sessions: Sessions, workspace: UUID):
    source = FakeSource(answer=Away())
    job_id = await make_job(sessions, workspace, DOMAINS, [source], on_outage="skip")
    await tell(platform, change("open", provider="alpha"))

    assert await run(sessions, workspace, job_id, source)

    assert await outcomes(sessions, workspace) == {("alpha", "skipped_outage")}
    assert (await waits(sessions, workspace), await told(sessions, workspace)) == ([], [])


async def test_time_in_the_ramp_does_not_count_and_the_wait_ends_with_the_first_answer(
    platform: Sessions, sessions: Sessions, workspace: UUID
):
    away = Away()
    source = FakeSource(answer=away)
    job_id = await make_job(sessions, workspace, DOMAINS, [source], max_wait_seconds=60)
    await tell(platform, change("open", provider="alpha"))
    assert await run(sessions, workspace, job_id, source) is None
    await pass_time(sessions, workspace, 40)
    await tell(platform, change("closed", seconds=40, provider="alpha"))
    away.refusal = RateLimited("alpha", "throttled", retry_after=5)
    assert await run(sessions, workspace, job_id, source) is None
    await pass_time(sessions, workspace, 40)
    assert await run(sessions, workspace, job_id, source) is None

    # What waits for its turn has not come back yet.
    assert await waits(sessions, workspace) == [(10, 20, True)]
    away.is_back = True
    await run(sessions, workspace, job_id, source)

    assert await waits(sessions, workspace) == [(10, 20, False)]
    ((waited,),) = await rows(sessions, workspace, "SELECT waited_seconds FROM enrichment_job_providers")
    assert 40 <= waited < 45
    assert (await job_row(sessions, workspace, job_id))["matched"] == 10


@pytest.mark.parametrize("end", ["paused", "cancelled"])
async def test_a_job_that_is_paused_or_ends_waits_no_longer_and_does_not_go_on(
    platform: Sessions, sessions: Sessions, workspace: UUID, end: str
):
    source = FakeSource(answer=Away())
    job_id = await make_job(sessions, workspace, DOMAINS, [source])
    await tell(platform, change("open", provider="alpha"))
    assert await run(sessions, workspace, job_id, source) is None

    await wish(sessions, workspace, job_id, end)
    if end == "paused":
        await plan(sessions, JobRef(str(workspace), str(job_id)), SETTINGS, run_id=None)
    else:
        await settle(sessions, workspace, job_id, interrupted="")
        await settle(sessions, workspace, job_id, interrupted="")

    assert await waits(sessions, workspace) == [(10, 20, False)]
    ended = ["enrichment.job.cancelled"] if end == "cancelled" else []
    assert await told(sessions, workspace) == ["provider.outage.opened", "enrichment.job.waiting", *ended]


async def test_a_job_that_has_ended_does_not_begin_to_wait(platform: Sessions, sessions: Sessions, workspace: UUID):
    """Its lookup may learn of the outage after the job was settled elsewhere."""
    source = FakeSource(answer=Away())
    source.gate.clear()
    job_id = await make_job(sessions, workspace, DOMAINS, [source])
    await tell(platform, change("open", provider="alpha"))
    lookup = asyncio.create_task(run(sessions, workspace, job_id, source))
    while not source.calls:
        await asyncio.sleep(0)

    await settle(sessions, workspace, job_id, interrupted="failed", error="workflow_terminated")
    source.gate.set()
    await lookup

    assert await waits(sessions, workspace) == []
    (failed,) = await events(sessions, workspace)
    assert (failed["type"], failed["data"]["error"]) == ("enrichment.job.failed", "workflow_terminated")
