"""Incidents: one row from the opening of a circuit to its close, what waits in it, and when that is over."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from app.db import Sessions, new_id
from app.outages.service import park, sweep
from tests.app.outages.incidents import CAUSE, START, change, events, go_on, outages, tell, wait
from tests.builders import make_workspace


@pytest.fixture
async def workspace(owner: Sessions) -> UUID:
    return await make_workspace(owner)


async def waits(sessions: Sessions, workspace_id: UUID) -> list[tuple[int, int, bool]]:
    """(records, credits, whether it still waits) of the workspace's waits."""
    async with sessions.for_workspace(workspace_id) as session:
        rows = await session.execute(
            text("SELECT records, credits_held, ended_at IS NULL FROM outage_waits ORDER BY since, outage_id")
        )
        return [tuple(row) for row in rows]


async def test_however_many_tell_of_an_opening_it_is_one_outage(platform: Sessions):
    await asyncio.gather(*(tell(platform, change("open", seconds=n / 10)) for n in range(8)))

    (outage,) = await outages(platform)
    assert (outage["provider"], outage["cause"], outage["closed_at"]) == ("hunter", CAUSE, None)


async def test_probes_that_fail_belong_to_the_outage_and_the_close_ends_it(platform: Sessions):
    await tell(
        platform,
        change("open"),
        change("half_open", seconds=30, probes=1),
        change("open", seconds=31, probes=1),
        change("half_open", seconds=61, probes=2),
        change("closed", seconds=62, probes=2),
    )

    (outage,) = await outages(platform)
    assert (outage["opened_at"], outage["closed_at"]) == (START, START + timedelta(seconds=62))
    assert outage["probes"] == 2


async def test_a_provider_that_flaps_has_an_outage_each_time(platform: Sessions):
    for n in range(10):
        await tell(platform, change("open", seconds=10 * n), change("closed", seconds=10 * n + 5))

    found = await outages(platform)
    assert [(each["opened_at"] - START).total_seconds() for each in found] == [10 * n for n in range(10)]
    assert all(each["closed_at"] - each["opened_at"] == timedelta(seconds=5) for each in found)


async def test_outages_of_two_providers_are_two(platform: Sessions):
    await tell(platform, change("open"), change("open", provider="apollo"), change("closed", seconds=5))

    assert [(each["provider"], each["closed_at"] is None) for each in await outages(platform)] == [
        ("hunter", False),
        ("apollo", True),
    ]


async def test_an_opening_that_is_told_after_the_close_is_none(platform: Sessions):
    await tell(platform, change("open"), change("closed", seconds=5), change("open", seconds=1))

    assert len(await outages(platform)) == 1


async def test_a_close_by_a_clock_that_is_behind_ends_the_outage_all_the_same(platform: Sessions):
    await tell(platform, change("open"), change("closed", seconds=-3))

    (outage,) = await outages(platform)
    assert outage["closed_at"] == outage["opened_at"]


async def test_an_outage_is_open_after_a_restart(platform: Sessions, sessions: Sessions, workspace: UUID):
    """What is told to a new process continues what an old one told."""
    await tell(platform, change("open"))
    job_id = new_id()
    before = await wait(sessions, workspace, job_id)

    await tell(platform, change("open", seconds=40, probes=1))

    (outage,) = await outages(platform)
    assert (outage["id"], outage["probes"]) == (before, 1)
    assert await wait(sessions, workspace, job_id) == before


async def test_a_job_waits_once_with_the_figures_of_its_last_park(
    platform: Sessions, sessions: Sessions, workspace: UUID
):
    await tell(platform, change("open"))
    job_id = new_id()
    # Its lookups come and go, some of them at the same time.
    await asyncio.gather(*(wait(sessions, workspace, job_id, records=30, credits_held=60) for _ in range(4)))
    await wait(sessions, workspace, job_id, records=25, credits_held=50)

    assert await waits(sessions, workspace) == [(25, 50, True)]


async def test_without_an_outage_nothing_is_noted(platform: Sessions, sessions: Sessions, workspace: UUID):
    await tell(platform, change("open", provider="apollo"))

    assert await wait(sessions, workspace) is None

    assert await waits(sessions, workspace) == []
    assert await events(sessions, workspace) == []


async def test_a_wait_that_ended_may_begin_again(platform: Sessions, sessions: Sessions, workspace: UUID):
    await tell(platform, change("open"))
    job_id = new_id()
    await wait(sessions, workspace, job_id)
    await go_on(sessions, workspace, job_id)
    await go_on(sessions, workspace, job_id)
    assert await waits(sessions, workspace) == [(10, 20, False)]

    await wait(sessions, workspace, job_id)

    assert await waits(sessions, workspace) == [(10, 20, True)]


async def test_what_waited_in_an_earlier_outage_waits_in_the_new_one_alone(
    platform: Sessions, sessions: Sessions, workspace: UUID
):
    job_id = new_id()
    await tell(platform, change("open"))
    await wait(sessions, workspace, job_id)
    await tell(platform, change("open", provider="apollo"))
    await wait(sessions, workspace, job_id, provider="apollo")
    await tell(platform, change("closed", seconds=5), change("open", seconds=6))

    await wait(sessions, workspace, job_id)
    await sweep(platform)

    assert sorted(await waits(sessions, workspace)) == [(10, 20, False), (10, 20, True), (10, 20, True)]
    first, _, third = await outages(platform)
    assert first["drained_at"] is not None
    assert third["closed_at"] is None


async def test_an_outage_is_drained_when_it_is_closed_and_nothing_waits_any_more(
    platform: Sessions, sessions: Sessions, workspace: UUID
):
    first, second = new_id(), new_id()
    await tell(platform, change("open"))
    await wait(sessions, workspace, first)
    await wait(sessions, workspace, second)
    assert await sweep(platform) == 0

    await tell(platform, change("closed", seconds=60))
    await go_on(sessions, workspace, first)
    assert await sweep(platform) == 0

    await go_on(sessions, workspace, second, provider=None)
    assert await sweep(platform) == 1
    (outage,) = await outages(platform)
    assert outage["drained_at"] >= outage["closed_at"]
    assert await sweep(platform) == 0


async def test_what_learned_late_of_the_close_still_waits_in_that_outage(
    platform: Sessions, sessions: Sessions, workspace: UUID
):
    await tell(platform, change("open"), change("closed", seconds=60))

    job_id = new_id()
    outage_id = await wait(sessions, workspace, job_id)

    assert outage_id is not None
    assert await sweep(platform) == 0
    await go_on(sessions, workspace, job_id)
    assert await sweep(platform) == 1
    assert await wait(sessions, workspace, job_id) is None


async def test_no_outage_is_drained_while_something_joins_it(platform: Sessions, sessions: Sessions, workspace: UUID):
    await tell(platform, change("open"), change("closed", seconds=60))
    joining, joined = asyncio.Event(), asyncio.Event()

    async def join_slowly() -> None:
        async with sessions.for_workspace(workspace) as session:
            await park(session, workspace, "hunter", "enrichment", new_id(), records=1, credits_held=1)
            joining.set()
            await joined.wait()

    task = asyncio.create_task(join_slowly())
    await joining.wait()
    assert await sweep(platform) == 0
    joined.set()
    await task
    assert await sweep(platform) == 0

    (outage,) = await outages(platform)
    assert outage["drained_at"] is None


async def test_many_may_sweep_at_once_and_each_workspace_is_told_once(
    owner: Sessions, platform: Sessions, sessions: Sessions, workspace: UUID
):
    other, untouched = await make_workspace(owner), await make_workspace(owner)
    await tell(platform, change("open"))
    for each in (workspace, workspace, other):
        await wait(sessions, each)
    assert [await events(sessions, each, "provider.outage.closed") for each in (workspace, other)] == [[], []]

    await tell(platform, change("closed", seconds=60))
    await asyncio.gather(*(sweep(platform) for _ in range(4)))
    await sweep(platform)

    (outage,) = await outages(platform)
    for each in (workspace, other):
        (opened,) = await events(sessions, each, "provider.outage.opened")
        (closed,) = await events(sessions, each, "provider.outage.closed")
        assert opened["data"] == {
            "outage_id": str(outage["id"]),
            "provider": "hunter",
            "opened_at": "2026-11-21T09:30:00+00:00",
        }
        assert closed["data"] == opened["data"] | {"closed_at": "2026-11-21T09:31:00+00:00"}
    assert await events(sessions, untouched) == []


async def test_who_joins_after_others_were_told_is_told_too(
    owner: Sessions, platform: Sessions, sessions: Sessions, workspace: UUID
):
    late = await make_workspace(owner)
    await tell(platform, change("open"))
    await wait(sessions, workspace)
    await tell(platform, change("closed", seconds=60))
    await sweep(platform)

    await wait(sessions, late)
    await sweep(platform)

    assert len(await events(sessions, late, "provider.outage.closed")) == 1
    assert len(await events(sessions, workspace, "provider.outage.closed")) == 1


async def test_the_application_opens_and_closes_no_outage(platform: Sessions, sessions: Sessions):
    await tell(platform, change("open"))
    for statement in ("UPDATE provider_outages SET closed_at = now()", "DELETE FROM provider_outages"):
        with pytest.raises(Exception, match="permission denied"):
            async with sessions.unscoped() as session:
                await session.execute(text(statement))
