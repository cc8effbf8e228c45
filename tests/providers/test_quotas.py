"""Quotas that all processes keep together, on a real database: never more than allowed, and nearly all of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.db import Sessions, create_engine
from app.errors import Unavailable
from app.provider_settings import QuotaWindow
from app.providers.errors import Throttled
from app.providers.ports import RateInfo, always
from app.providers.quota import INSTALLATION, Quota
from app.providers.quotas import SharedQuotas
from app.settings import DatabaseSettings
from tests.api import owner_sessions
from tests.providers.stubs import until
from tests.servers import Database

OURS, THEIRS = str(UUID(int=1)), str(UUID(int=2))


class Cluster:
    """As many quotas as processes, on one database."""

    def __init__(self, database: Database, shared: list[SharedQuotas], quotas: list[Quota]) -> None:
        self.database = database
        self.shared = shared
        self.quotas = quotas
        self.times: list[float] = []

    async def call(self, quota: Quota, credential: str = INSTALLATION) -> None:
        if not quota.take(credential):
            await quota.wait(credential, None, always)
        self.times.append(time.monotonic())

    async def burst(self, quota: Quota, calls: int, credential: str = INSTALLATION) -> list[BaseException | None]:
        """So many calls at once; what became of each."""
        return await asyncio.gather(*(self.call(quota, credential) for _ in range(calls)), return_exceptions=True)

    async def sql(self, statement: str, **values: Any) -> Any:
        async with owner_sessions(self.database) as sessions, sessions.unscoped() as session:
            result = await session.execute(text(statement), values)
            return result.mappings().all() if result.returns_rows else None

    async def age(self, seconds: float) -> None:
        """Let time pass for what is stored."""
        await self.sql(
            "UPDATE provider_quotas SET blocked_until = blocked_until - make_interval(secs => :s)", s=seconds
        )
        await self.sql(
            "UPDATE provider_quota_windows SET newest = newest - CAST(:s * 50 / seconds AS bigint)", s=seconds
        )
        await self.sql("UPDATE provider_health SET closed_at = closed_at - make_interval(secs => :s)", s=seconds)

    async def closed_ago(self, seconds: float) -> None:
        """The circuit closed so long ago, for the database; each process has just heard of it."""
        await self.sql(
            """INSERT INTO provider_health (provider, circuit, closed_at)
               VALUES ('scripted', 'closed', clock_timestamp() - make_interval(secs => :s))
               ON CONFLICT (provider) DO UPDATE SET circuit = 'closed', closed_at = excluded.closed_at""",
            s=seconds,
        )
        for quota in self.quotas:
            quota.recover()

    def most_in(self, seconds: float) -> int:
        """The most calls in any stretch so long."""
        times, most, first = sorted(self.times), 0, 0
        for last, at in enumerate(times):
            while times[first] <= at - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most


@asynccontextmanager
async def cluster(database: Database, processes: int, *windows: tuple[int, int]) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        shared, quotas = [], []
        for _ in range(processes):
            engine = create_engine(SecretStr(database.app_url), DatabaseSettings(pool_size=3), application="test")
            stack.push_async_callback(engine.dispose)
            shared.append(SharedQuotas(Sessions(engine), engine))
            quota = Quota("scripted", [QuotaWindow(calls=c, seconds=s) for c, s in windows], shared[-1])
            stack.push_async_callback(quota.close)
            shared[-1].add(quota)
            quotas.append(quota)
        yield Cluster(database, shared, quotas)


def throttled(ended: list[BaseException | None]) -> list[Throttled]:
    assert all(each is None or isinstance(each, Throttled) for each in ended), ended
    return [each for each in ended if isinstance(each, Throttled)]


async def test_four_processes_never_exceed_a_window_and_use_nearly_all_of_it(database: Database) -> None:
    async with cluster(database, 4, (100, 1)) as processes:
        begun = time.monotonic()

        async def load(quota: Quota) -> None:
            while time.monotonic() - begun < 5:
                await processes.call(quota)

        await asyncio.gather(*(load(quota) for quota in processes.quotas for _ in range(20)))
        used = [at for at in processes.times if at - begun <= 5]
    # When a call was made is noted when the loop gets to it, which on a busy machine moves some to the next second.
    assert processes.most_in(1.0) <= 110
    assert len(used) >= 0.9 * 5 * 100


async def test_of_two_windows_the_narrower_counts_at_each_moment(database: Database) -> None:
    async with cluster(database, 2, (10, 1), (25, 60)) as processes:
        ended = await asyncio.gather(*(processes.burst(quota, 30) for quota in processes.quotas))
        refused = throttled(ended[0] + ended[1])
        assert len(processes.times) == 25
        assert processes.most_in(0.95) <= 10
    # The first of the 25 leaves the minute a minute after it was made, give or take a fiftieth.
    assert all(each.retry_after is not None and 50 < each.retry_after <= 62 for each in refused)


async def test_a_spent_window_puts_calls_off_until_its_reset_and_then_lets_them_through(database: Database) -> None:
    async with cluster(database, 1, (20, 60)) as processes:
        (quota,) = processes.quotas
        assert len(throttled(await processes.burst(quota, 21))) == 1
        await processes.age(30)
        (refused,) = throttled(await processes.burst(quota, 1))
        assert refused.retry_after == pytest.approx(30, abs=3)
        await processes.age(32)
        assert throttled(await processes.burst(quota, 20)) == []


async def test_calls_at_once_share_one_lease(database: Database) -> None:
    async with cluster(database, 1, (100_000, 60)) as processes:
        (quota,) = processes.quotas
        (shared,) = processes.shared
        asked, lease = [], shared.lease

        async def counted(*arguments: Any, **named: Any) -> Any:
            asked.append(arguments)
            return await lease(*arguments, **named)

        shared.lease = counted  # type: ignore[method-assign]
        assert throttled(await processes.burst(quota, 200)) == []
    assert len(asked) == 1


async def test_a_busy_process_takes_larger_blocks_and_spends_them_from_memory(database: Database) -> None:
    async with cluster(database, 1, (60_000, 60)) as processes:
        (quota,) = processes.quotas
        for _ in range(1000):
            await processes.call(quota)
        (window,) = await processes.sql(
            "SELECT (SELECT sum(n) FROM unnest(leased) AS n) AS leased FROM provider_quota_windows"
        )
    # A quarter of a second at this rate is 250.
    assert 1000 <= window["leased"] <= 1250


async def test_a_process_that_dies_takes_no_more_than_its_block_with_it(database: Database) -> None:
    async with cluster(database, 2, (100, 60)) as processes:
        dying, living = processes.quotas
        for _ in range(10):
            await processes.call(dying)
        await dying.close()
        await processes.burst(living, 100)
        assert len(processes.times) >= 100 - 5


async def test_each_credential_has_its_own_window(database: Database) -> None:
    async with cluster(database, 1, (5, 60)) as processes:
        (quota,) = processes.quotas
        assert len(throttled(await processes.burst(quota, 6, OURS))) == 1
        assert throttled(await processes.burst(quota, 5, THEIRS)) == []
        assert throttled(await processes.burst(quota, 5)) == []


async def test_without_a_quota_one_question_is_asked_and_then_none(database: Database) -> None:
    async with cluster(database, 1) as processes:
        (quota,) = processes.quotas
        await processes.call(quota)
        assert all(quota.take(INSTALLATION) for _ in range(10_000))


async def test_a_refusal_with_a_time_holds_in_every_process(database: Database) -> None:
    async with cluster(database, 2) as processes:
        refused, other = processes.quotas
        for quota in (refused, other):
            await processes.call(quota, OURS)
        listening = asyncio.create_task(processes.shared[1].run())
        await until(lambda: not other.take(OURS))  # it listens, and asks again
        await processes.call(other, OURS)

        refused.refused(OURS, 42.0, 0.1)
        await until(lambda: not other.take(OURS))
        for quota in (refused, other):
            (put_off,) = throttled(await processes.burst(quota, 1, OURS))
            assert put_off.retry_after == pytest.approx(42, abs=2)
        await processes.call(other, THEIRS)
        listening.cancel()
        await asyncio.wait([listening])


async def test_a_refusal_is_known_to_a_process_that_was_not_there(database: Database) -> None:
    async with cluster(database, 2) as processes:
        refused, other = processes.quotas
        refused.refused(INSTALLATION, 42.0, 0.1)
        await refused.close()  # which waits for what it has to tell
        (put_off,) = throttled(await processes.burst(other, 1))
        assert put_off.retry_after == pytest.approx(42, abs=2)


async def test_refusals_without_a_time_wait_longer_each_time_up_to_a_minute(database: Database) -> None:
    async with cluster(database, 1) as processes:
        (shared,) = processes.shared
        waits = []
        for _ in range(8):
            waits.append(await shared.block("scripted", INSTALLATION, None, began_ago=0))
            await processes.age(waits[-1])
        assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.3)
        await processes.age(120)
        assert await shared.block("scripted", INSTALLATION, None, began_ago=0) == pytest.approx(1, abs=0.1)


async def test_calls_that_were_under_way_together_count_as_one_refusal(database: Database) -> None:
    async with cluster(database, 1) as processes:
        (shared,) = processes.shared
        for _ in range(5):
            assert await shared.block("scripted", INSTALLATION, None, began_ago=0.5) <= 1
        assert await shared.block("scripted", INSTALLATION, 30.0, began_ago=0.5) == pytest.approx(30, abs=0.1)
        # One of them names a shorter time: it does not shorten the other's.
        assert await shared.block("scripted", INSTALLATION, 5.0, began_ago=0.5) == pytest.approx(30, abs=1)


async def test_a_short_refusal_is_waited_for(database: Database) -> None:
    async with cluster(database, 1) as processes:
        (quota,) = processes.quotas
        begun = time.monotonic()
        quota.refused(INSTALLATION, 0.3, 0.0)
        assert throttled(await processes.burst(quota, 3)) == []
        assert min(processes.times) - begun >= 0.29


async def test_what_the_provider_says_is_left_shrinks_the_window(database: Database) -> None:
    async with cluster(database, 2, (100, 60)) as processes:
        told, other = processes.quotas
        await processes.call(told)
        told.announced(INSTALLATION, [RateInfo(60, 10), RateInfo(3600, 0)])
        await processes.burst(told, 5)
        await processes.burst(other, 50)
        assert len(processes.times) == 1 + 10


async def test_what_the_provider_says_is_left_never_widens_it(database: Database) -> None:
    async with cluster(database, 1, (20, 60)) as processes:
        (quota,) = processes.quotas
        await processes.burst(quota, 10)
        quota.announced(INSTALLATION, [RateInfo(60, 1000)])
        await processes.burst(quota, 50)
        assert len(processes.times) == 20


@pytest.mark.parametrize("windows", [(), ((1_000_000, 60),)], ids=["without a quota", "with a quota"])
async def test_after_an_outage_calls_double_each_second_over_all_processes(
    database: Database, windows: tuple[tuple[int, int], ...]
) -> None:
    async with cluster(database, 4, *windows) as processes:
        await processes.closed_ago(0.1)
        begun = time.monotonic() - 0.1

        async def load(quota: Quota) -> None:
            while time.monotonic() - begun < 5:
                await processes.call(quota)

        await asyncio.gather(*(load(quota) for quota in processes.quotas for _ in range(10)))
        for second in range(1, 6):
            made = sum(at - begun <= second for at in processes.times)
            assert 0.8 * (2**second - 1) - 1 <= made <= 2**second - 1


async def test_the_slow_start_allows_a_thousand_calls_in_ten_seconds(database: Database) -> None:
    async with cluster(database, 2) as processes:
        await processes.closed_ago(0)
        granted = 0
        for second in range(1, 10):
            # By hand, so that the loads of the machine do not count.
            await processes.sql(
                """WITH closed AS (
                       UPDATE provider_health SET closed_at = clock_timestamp() - make_interval(secs => :s)
                       RETURNING provider, closed_at
                   )
                   UPDATE provider_ramps AS r SET closed_at = c.closed_at
                   FROM closed AS c WHERE r.provider = c.provider""",
                s=second,
            )
            lease = await processes.shared[second % 2].lease(
                "scripted", INSTALLATION, 10_000, [], {}, is_recovering=True
            )
            granted += lease.granted
            assert granted == pytest.approx(2 ** (10 - lease.ramps_for) - 1, abs=1.1)
        assert granted >= 2**9 - 1


async def test_after_the_slow_start_nothing_is_asked_any_more(database: Database) -> None:
    async with cluster(database, 1) as processes:
        (quota,) = processes.quotas
        await processes.closed_ago(10.1)
        await processes.call(quota)
        assert all(quota.take(INSTALLATION) for _ in range(1000))


async def test_the_close_of_a_circuit_that_is_not_stored_yet_is_waited_for(database: Database) -> None:
    async with cluster(database, 1) as processes:
        (quota,) = processes.quotas
        await processes.closed_ago(100)
        await processes.sql("UPDATE provider_health SET circuit = 'half_open'")
        quota.recover()
        call = asyncio.create_task(processes.call(quota))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(call), 0.3)
        await processes.sql(
            "UPDATE provider_health SET circuit = 'closed', closed_at = clock_timestamp() - interval '1.5 s'"
        )
        await asyncio.wait_for(call, 20)


async def test_a_workspace_that_waits_for_the_same_tokens_has_its_turn(database: Database) -> None:
    async with cluster(database, 1, (10, 1)) as processes:
        (quota,) = processes.quotas
        await processes.burst(quota, 10)
        order: list[int] = []

        async def call(who: int) -> None:
            await quota.wait(INSTALLATION, UUID(int=who), always)
            order.append(who)

        large = [asyncio.create_task(call(1)) for _ in range(15)]
        small = [asyncio.create_task(call(2)) for _ in range(3)]
        await asyncio.gather(*large, *small)
    assert order[:6] == [1, 2, 1, 2, 1, 2]


async def test_who_is_no_longer_wanted_leaves_within_a_second(database: Database) -> None:
    async with cluster(database, 1, (1, 1)) as processes:
        (quota,) = processes.quotas
        await processes.call(quota)
        begun = time.monotonic()
        waiting = [asyncio.create_task(quota.wait(INSTALLATION, None, lambda: False)) for _ in range(50)]
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert len(throttled(list(ended))) == 50
        assert time.monotonic() - begun < 10


async def test_a_cancelled_call_leaves_its_token_to_the_next(database: Database) -> None:
    async with cluster(database, 1, (1, 60)) as processes:
        (quota,) = processes.quotas
        first = asyncio.create_task(processes.call(quota))
        second = asyncio.create_task(processes.call(quota))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert len(processes.times) == 1


async def test_without_a_database_a_provider_with_a_quota_is_not_called_and_another_is() -> None:
    for windows, is_called in (([QuotaWindow(calls=5, seconds=1)], False), ([], True)):
        nowhere = SecretStr("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
        engine = create_engine(nowhere, DatabaseSettings(pool_size=1), application="test")
        shared = SharedQuotas(Sessions(engine), engine)
        with pytest.raises(Unavailable):
            await shared.lease("scripted", INSTALLATION, 1, windows, {}, is_recovering=False)
        quota = Quota("scripted", windows, shared)
        if is_called:
            await quota.wait(INSTALLATION, None, always)
        else:
            with pytest.raises(Throttled):
                await quota.wait(INSTALLATION, None, always)
        await engine.dispose()


async def test_a_tenant_cannot_read_how_another_uses_its_key(database: Database) -> None:
    async with cluster(database, 1, (5, 60)) as processes:
        await processes.burst(processes.quotas[0], 3, THEIRS)
    for url in (database.app_url, database.platform_url):
        engine = create_engine(SecretStr(url), DatabaseSettings(pool_size=1), application="test")
        for table in ("provider_quotas", "provider_quota_windows", "provider_ramps"):
            with pytest.raises(ProgrammingError) as refused:
                async with Sessions(engine).unscoped() as session:
                    await session.execute(text(f"SELECT * FROM {table}"))
            assert isinstance(refused.value.orig, InsufficientPrivilege)
        await engine.dispose()
