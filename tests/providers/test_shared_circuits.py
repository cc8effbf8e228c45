"""The circuit of the whole cluster: what one process learns all know, and one probe is made."""

import asyncio
from statistics import median
from time import monotonic

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.db import Sessions, create_engine
from app.providers.breaker import HELD_SECONDS, PROBE_SECONDS
from app.providers.circuits import SharedCircuits
from app.providers.errors import CircuitOpen, CredentialRejected, Malformed, Outage
from app.settings import DatabaseSettings
from tests.providers.cluster import PROVIDER, RESET_SECONDS, Cluster, Process, eventually
from tests.servers import Database


@pytest.fixture
def cluster(database: Database) -> Cluster:
    return Cluster(database)


async def open_everywhere(cluster: Cluster, process: Process) -> None:
    await process.fail()
    await cluster.all_are("open")


async def test_a_circuit_that_opens_in_one_process_is_open_in_all_within_a_tenth_of_a_second(cluster: Cluster):
    async with cluster.process() as one, cluster.process() as another:
        took = []
        for _ in range(5):
            began = monotonic()
            await one.fail()
            await eventually(lambda: another.state == "open")
            took.append(monotonic() - began)
            with pytest.raises(CircuitOpen) as refused:
                await another.call()
            assert refused.value.retry_after == pytest.approx(RESET_SECONDS, abs=1)
            await cluster.steer("close")
            await cluster.all_are("closed")
        assert median(took) < 0.1


async def test_what_is_stored_says_since_when_until_when_and_why(cluster: Cluster):
    async with cluster.process() as one:
        await one.call("0", Malformed(PROVIDER, "no JSON"))
        await one.fail()
        row = await cluster.is_stored("open")
    assert row.cause == {
        "errors": {"malformed_response": 1, "provider_outage": 5},
        "sample": "vendor: connection refused",
    }
    assert row.opened_at == row.changed_at
    assert row.opens_in == pytest.approx(RESET_SECONDS, abs=2)
    assert (row.probes, row.closed_at) == (0, None)


async def test_one_probe_is_made_in_the_whole_cluster_and_its_answer_closes_the_circuit_everywhere(cluster: Cluster):
    async with cluster.process() as one, cluster.process() as another, cluster.process() as third:
        await open_everywhere(cluster, one)
        await cluster.pass_time(RESET_SECONDS)
        with await one.circuit.probe("a key"):
            for process in (one, another, third):
                with pytest.raises(CircuitOpen) as refused:
                    await process.call()
                assert refused.value.retry_after == PROBE_SECONDS
        await cluster.all_are("closed")
        row = await cluster.is_stored("closed")
        assert row.probes == 1
        assert row.closed_at is not None
        await another.call()


async def test_of_many_calls_in_many_processes_at_once_one_is_the_probe(cluster: Cluster):
    async with cluster.process() as one, cluster.process() as another, cluster.process() as third:
        await open_everywhere(cluster, one)
        await cluster.pass_time(RESET_SECONDS)
        answered = asyncio.Event()

        async def call(process: Process) -> None:
            with await process.circuit.probe("a key"):
                await answered.wait()

        calls = [asyncio.create_task(call(process)) for process in (one, another, third) for _ in range(20)]
        await eventually(lambda: sum(each.done() for each in calls) == 59)
        answered.set()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert ended.count(None) == 1
        assert {type(each) for each in ended if each is not None} == {CircuitOpen}


async def test_a_probe_that_fails_keeps_it_open_everywhere_and_its_cause(cluster: Cluster):
    async with cluster.process() as one, cluster.process() as another:
        await open_everywhere(cluster, one)
        cause = (await cluster.is_stored("open")).cause
        for probes in (1, 2):
            await cluster.pass_time(RESET_SECONDS)
            await another.call("probe", Malformed(PROVIDER, "no JSON"))
            await cluster.all_are("open")
            row = await cluster.is_stored("open")
            assert (row.probes, row.cause) == (probes, cause)
        assert row.opened_at is not None
        assert row.opened_at < row.changed_at


async def test_a_cancelled_probe_lets_another_process_try(cluster: Cluster):
    async with cluster.process() as one, cluster.process() as another:
        await open_everywhere(cluster, one)
        await cluster.pass_time(RESET_SECONDS)

        async def hang() -> None:
            with await one.circuit.probe("a key"):
                await asyncio.Event().wait()

        probe = asyncio.create_task(hang())
        await cluster.is_stored("half_open")
        await eventually(lambda: another.state == "half_open")
        probe.cancel()
        await asyncio.wait([probe])

        async def is_answered() -> bool:
            try:
                await another.call()
            except CircuitOpen:
                return False
            return True

        async with asyncio.timeout(60):
            while not await is_answered():
                await asyncio.sleep(0.005)
        await cluster.all_are("closed")


async def test_a_probe_that_died_with_its_process_is_made_by_another_when_its_lease_is_over(cluster: Cluster):
    async with cluster.process() as dead, cluster.process() as another:
        await open_everywhere(cluster, dead)
        await cluster.pass_time(RESET_SECONDS)
        await dead.circuit.probe("a key")
        await dead.stop()
        await eventually(lambda: another.circuit.version == dead.circuit.version)
        await cluster.pass_time(14.9)
        with pytest.raises(CircuitOpen):
            await another.call()
        await cluster.pass_time(0.2)
        await another.call()
        assert another.state == "closed"
        assert (await cluster.is_stored("closed")).probes == 2


async def test_a_process_that_starts_finds_the_circuit_open(cluster: Cluster):
    async with cluster.process() as one:
        await one.fail()
        await cluster.is_stored("open")
    async with cluster.process() as another:
        with pytest.raises(CircuitOpen) as refused:
            await another.call()
        assert refused.value.retry_after == pytest.approx(RESET_SECONDS, abs=2)


async def test_who_learns_late_adopts_what_others_decided_meanwhile(cluster: Cluster):
    async with cluster.process() as late, cluster.process() as one:
        await late.stop()
        await late.fail()
        await open_everywhere(cluster, one)
        await cluster.is_stored("open")
        await cluster.pass_time(RESET_SECONDS)
        await one.call("probe")
        await cluster.is_stored("closed")
        late.start()
        await cluster.all_are("closed")
        assert (await cluster.stored()).state == "closed"
        assert late.circuit.unsaved is None


async def test_a_process_alone_with_its_knowledge_stores_it_when_it_can(cluster: Cluster):
    async with cluster.process() as late, cluster.process() as one:
        await late.stop()
        await late.fail()
        assert one.state == "closed"
        late.start()
        await cluster.all_are("open")


async def test_who_lost_the_listening_connection_adopts_what_is_stored_when_it_is_back(cluster: Cluster):
    async with cluster.process() as one:
        engine = create_engine(SecretStr(cluster.database.app_url), DatabaseSettings(), application="deaf")
        deaf = Process(Sessions(engine), SharedCircuits(Sessions(engine), engine))
        await deaf.shared.restore()
        deaf.start()
        try:
            async with cluster.transaction() as session:
                query = text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'holdfast deaf' AND datname = current_database()"
                )
                async with asyncio.timeout(60):
                    while not (await session.execute(query)).all():
                        await asyncio.sleep(0.01)
            await one.fail()
            await eventually(lambda: deaf.state == "open")
        finally:
            await deaf.stop()
            await engine.dispose()


async def test_without_a_database_each_process_decides_alone():
    engine = create_engine(SecretStr("postgresql://nobody@127.0.0.1:1/none"), DatabaseSettings(), application="tests")
    alone = Process(Sessions(engine), SharedCircuits(Sessions(engine), engine))
    alone.start()
    try:
        await alone.fail()
        assert alone.state == "open"
        alone.pass_time(RESET_SECONDS)
        with await alone.circuit.probe("a key"), pytest.raises(CircuitOpen):
            await alone.call()
        assert alone.state == "closed"
    finally:
        await alone.stop()
        await engine.dispose()


async def test_every_change_is_told_once_in_the_order_in_which_it_was_stored(cluster: Cluster):
    async with cluster.process() as one, cluster.process():
        await open_everywhere(cluster, one)
        await cluster.pass_time(RESET_SECONDS)
        await one.call("probe")
        await cluster.is_stored("closed")
        await cluster.all_are("closed")
    assert [(each.state, each.probes) for each in cluster.changes] == [("open", 0), ("half_open", 1), ("closed", 1)]
    opened, _, closed = cluster.changes
    assert opened.cause["sample"] == "vendor: connection refused"
    assert closed.cause == {}
    assert opened.opens_until is not None
    assert opened.at < closed.at


async def test_a_change_whose_telling_fails_is_not_stored(cluster: Cluster):
    async def fails(*_: object) -> None:
        raise Outage(PROVIDER, "cannot be told")

    async with cluster.process(fails, starts=False) as one:
        await one.fail()
        with pytest.raises(ExceptionGroup):
            await one.shared.run()
        assert (await cluster.stored()).state == "closed"


async def test_held_open_by_hand_it_stays_open_past_its_time_until_it_is_closed_by_hand(cluster: Cluster):
    async with cluster.process() as one, cluster.process() as another:
        began = monotonic()
        await cluster.steer("open")
        await cluster.all_are("open")
        assert monotonic() - began < 2
        await cluster.pass_time(10 * RESET_SECONDS)
        for process in (one, another):
            with pytest.raises(CircuitOpen) as refused:
                await process.call()
            assert refused.value.retry_after == HELD_SECONDS
            assert process.circuit.view().opens_until is None
        await cluster.steer("close")
        await cluster.all_are("closed")
        await one.call()
        assert (await cluster.stored()).closed_at is not None


async def test_what_a_hand_did_is_told_by_one_of_the_processes(cluster: Cluster):
    async with cluster.process(), cluster.process(), cluster.process():
        await cluster.steer("open")
        await eventually(lambda: len(cluster.changes) == 1)
        await cluster.steer("close")
        await eventually(lambda: len(cluster.changes) == 2)
        await cluster.all_are("closed")
    assert [each.state for each in cluster.changes] == ["open", "closed"]
    assert cluster.changes[0].cause == {"reason": "Maintenance"}


async def test_closing_by_hand_ends_the_wait_for_a_probe(cluster: Cluster):
    async with cluster.process() as one, cluster.process() as another:
        await open_everywhere(cluster, one)
        await cluster.steer("close")
        await cluster.all_are("closed")
        await another.call()


async def test_a_call_that_was_under_way_when_it_was_held_open_does_not_close_it(cluster: Cluster):
    async with cluster.process() as one:
        with one.circuit.admit("a key"):
            await cluster.steer("open")
            await cluster.all_are("open")
        assert one.state == "open"
        assert (await cluster.stored()).is_held


async def test_a_provider_that_is_disabled_by_hand_refuses_all_until_it_is_enabled(cluster: Cluster):
    async with cluster.process() as one, cluster.process() as another:
        await cluster.steer("disable")
        await eventually(lambda: one.circuit.is_disabled and another.circuit.is_disabled)
        for process in (one, another):
            with pytest.raises(CredentialRejected):
                await process.call()
        async with cluster.process() as third:
            with pytest.raises(CredentialRejected):
                await third.call()
        await cluster.steer("enable")
        await eventually(lambda: not one.circuit.is_disabled and not another.circuit.is_disabled)
        await one.call()


async def test_a_probe_that_is_not_due_by_the_databases_clock_is_refused_and_the_clocks_agree_again(cluster: Cluster):
    async with cluster.process() as one:
        await one.fail()
        await cluster.is_stored("open")
        one.pass_time(RESET_SECONDS)
        with pytest.raises(CircuitOpen) as refused:
            await one.call()
        assert refused.value.retry_after == pytest.approx(RESET_SECONDS, abs=5)
        assert one.state == "open"
        assert (await cluster.stored()).probes == 0
