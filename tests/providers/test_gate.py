"""The one way to a provider: its order, its limits, and what it lets people see."""

import asyncio
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry

from app.provider_settings import BreakerSettings
from app.providers.circuit import Circuit
from app.providers.errors import (
    CircuitOpen,
    CredentialRejected,
    InvalidQuery,
    Outage,
    ProviderError,
    RateLimited,
    SwitchedOff,
    Transient,
)
from app.providers.gate import GatedSource, SourceStats
from app.providers.metrics import ProviderMetrics
from app.providers.ports import Answer, EnrichmentSource, Missed, Query, Unreachable
from tests.providers.stubs import FOUND, Clock, ScriptedAdapter, circuit_row, company, until

QUERY = company("acme.com")


class Gate:
    """A gated source with everything around it in reach."""

    def __init__(self, *, concurrency: int = 100, timeout_seconds: float = 5.0, is_enabled: bool = True) -> None:
        self.adapter = ScriptedAdapter()
        self.adapter.timeout_seconds = timeout_seconds
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.circuit = Circuit("scripted", BreakerSettings(), clock=self.clock)
        self.source = GatedSource(
            self.adapter,
            self.circuit,
            ProviderMetrics(self.registry),
            concurrency=concurrency,
            is_enabled=is_enabled,
        )

    def answers(self, answer: Answer) -> None:
        async def behave(_: Query) -> Answer:
            return answer

        self.adapter.behave = behave

    def raises(self, error: BaseException) -> None:
        async def behave(_: Query) -> Answer:
            raise error

        self.adapter.behave = behave

    def waits_for(self, event: asyncio.Event) -> None:
        async def behave(_: Query) -> Answer:
            await event.wait()
            return FOUND

        self.adapter.behave = behave

    async def open_circuit(self) -> None:
        self.raises(Outage("scripted", "is away"))
        for key in range(5):
            with pytest.raises(Outage):
                await self.source.look_up(company(f"{key}.com"))

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"holdfast_provider_{name}", {"provider": "scripted", **labels})


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.mark.parametrize("answer", [FOUND, Missed(), Missed("legal"), Unreachable("gone")])
async def test_an_answer_comes_through_as_it_is(gate: Gate, answer: Answer):
    gate.answers(answer)
    assert await gate.source.look_up(QUERY) is answer


async def test_it_is_a_source_and_says_what_the_adapter_says(gate: Gate):
    assert isinstance(gate.source, EnrichmentSource)
    assert (gate.source.name, gate.source.credit_cost) == ("scripted", 1)
    assert gate.source.capabilities is gate.adapter.capabilities


async def test_an_open_circuit_refuses_without_a_call_and_says_when_to_come_back(gate: Gate):
    await gate.open_circuit()
    gate.clock.now += 10
    with pytest.raises(CircuitOpen) as refused:
        await gate.source.look_up(QUERY)
    assert refused.value.retry_after == pytest.approx(20)
    assert gate.adapter.calls == 5
    assert gate.source.circuit().state == "open"


async def test_what_waited_while_the_circuit_opened_is_refused_too():
    gate = Gate(concurrency=5)
    released = asyncio.Event()

    async def behave(_: Query) -> Answer:
        await released.wait()
        raise Outage("scripted", "is away")

    gate.adapter.behave = behave
    calls = [asyncio.create_task(gate.source.look_up(company(f"{n}.com"))) for n in range(50)]
    await until(lambda: gate.adapter.calls == 5)
    released.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in ended] == [Outage] * 5 + [CircuitOpen] * 45
    assert gate.adapter.calls == 5


async def test_a_hundred_calls_at_half_open_make_one_probe(gate: Gate):
    await gate.open_circuit()
    gate.clock.now += 30
    released = asyncio.Event()
    gate.waits_for(released)
    calls = [asyncio.create_task(gate.source.look_up(company(f"{n}.com"))) for n in range(100)]
    await until(lambda: sum(call.done() for call in calls) == 99)
    assert gate.adapter.calls == 6
    released.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert ended.count(FOUND) == 1
    assert gate.source.circuit().state == "closed"


async def test_no_more_than_its_concurrency_are_in_flight():
    gate = Gate(concurrency=3)
    most = 0

    async def behave(_: Query) -> Answer:
        nonlocal most
        most = max(most, int(gate.metric("calls_in_flight") or 0))
        await asyncio.sleep(0)
        return FOUND

    gate.adapter.behave = behave
    await asyncio.gather(*(gate.source.look_up(QUERY) for _ in range(20)))
    assert most == 3
    assert gate.metric("calls_in_flight") == 0


async def test_a_call_cancelled_in_the_queue_takes_no_place():
    gate = Gate(concurrency=1)
    released = asyncio.Event()
    gate.waits_for(released)
    first = asyncio.create_task(gate.source.look_up(QUERY))
    await until(lambda: gate.adapter.calls == 1)
    queued = asyncio.create_task(gate.source.look_up(QUERY))
    await asyncio.sleep(0)
    queued.cancel()
    released.set()
    assert await first is FOUND
    assert await gate.source.look_up(QUERY) is FOUND
    assert gate.adapter.calls == 2


async def test_a_call_past_its_time_is_cancelled_and_transient():
    gate = Gate(timeout_seconds=0.01)
    cancelled = False

    async def behave(_: Query) -> Answer:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise
        return FOUND

    gate.adapter.behave = behave
    with pytest.raises(Transient, match=r"no answer within 0\.01 s"):
        await gate.source.look_up(QUERY)
    assert cancelled


async def test_calls_that_hang_open_the_circuit():
    gate = Gate(timeout_seconds=0.01)
    gate.waits_for(asyncio.Event())
    ended = await asyncio.gather(*(gate.source.look_up(company(f"{n}.com")) for n in range(5)), return_exceptions=True)
    assert {type(each) for each in ended} == {Transient}
    assert gate.source.circuit().state == "open"


async def test_cancellation_passes_through_and_is_no_verdict(gate: Gate):
    gate.waits_for(asyncio.Event())
    calls = [asyncio.create_task(gate.source.look_up(company(f"{n}.com"))) for n in range(10)]
    await until(lambda: gate.adapter.calls == 10)
    for call in calls:
        call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in ended} == {asyncio.CancelledError}
    assert gate.source.circuit().state == "closed"
    assert gate.source.stats() == SourceStats(None, None)
    assert gate.metric("calls_in_flight") == 0


async def test_five_hundred_dead_domains_open_no_circuit(gate: Gate):
    gate.answers(Unreachable("the domain does not exist"))
    for n in range(500):
        await gate.source.look_up(company(f"dead{n}.com"))
    assert gate.source.circuit().state == "closed"


async def test_without_availability_nothing_is_asked():
    gate = Gate(is_enabled=False)
    with pytest.raises(CredentialRejected):
        await gate.source.look_up(QUERY)
    assert gate.adapter.calls == 0
    assert not gate.source.is_available


async def test_outcomes_and_times_are_counted_by_class(gate: Gate):
    for outcome in (FOUND, Missed(), Unreachable("gone")):
        gate.answers(outcome)
        await gate.source.look_up(QUERY)
    gate.raises(RateLimited("scripted", "slow down"))
    with pytest.raises(RateLimited):
        await gate.source.look_up(QUERY)
    await gate.open_circuit()
    with pytest.raises(CircuitOpen):
        await gate.source.look_up(QUERY)
    counted = {
        outcome: gate.metric("calls_total", outcome=outcome)
        for outcome in ("found", "missed", "unreachable", "rate_limited", "outage", "circuit_open")
    }
    assert counted == {
        "found": 1,
        "missed": 1,
        "unreachable": 1,
        "rate_limited": 1,
        "outage": 5,
        "circuit_open": 1,
    }
    assert gate.metric("call_seconds_count") == 9
    assert gate.metric("circuit_state") == 2


async def test_an_error_of_our_own_comes_through_and_is_counted_apart(gate: Gate):
    gate.raises(KeyError("a bug"))
    with pytest.raises(KeyError):
        await gate.source.look_up(QUERY)
    assert gate.metric("calls_total", outcome="no_verdict") == 1


async def test_a_class_of_error_that_it_does_not_know_is_counted_under_the_nearest(gate: Gate):
    class NotYet(Transient):
        is_outage = False

    gate.raises(NotYet("scripted", "later"))
    with pytest.raises(NotYet):
        await gate.source.look_up(QUERY)
    assert gate.metric("calls_total", outcome="transient") == 1


async def test_people_see_success_rate_and_p95_of_the_last_calls(gate: Gate):
    assert gate.source.stats() == SourceStats(None, None)
    for _ in range(3):
        await gate.source.look_up(QUERY)
    gate.raises(ProviderError("scripted", "failed"))
    with pytest.raises(ProviderError):
        await gate.source.look_up(QUERY)
    stats = gate.source.stats()
    assert stats.success_rate == 0.75
    assert stats.p95_seconds is not None
    assert 0 <= stats.p95_seconds < 1


async def test_only_the_last_thousand_calls_are_looked_back_on(gate: Gate):
    gate.raises(InvalidQuery("scripted", "no"))
    for _ in range(10):
        with pytest.raises(InvalidQuery):
            await gate.source.look_up(QUERY)
    gate.answers(FOUND)
    for _ in range(1000):
        await gate.source.look_up(QUERY)
    assert gate.source.stats().success_rate == 1.0


async def test_it_knows_when_the_provider_last_answered(gate: Gate):
    assert gate.source.last_answer_at is None
    gate.raises(Transient("scripted", "failed"))
    with pytest.raises(Transient):
        await gate.source.look_up(QUERY)
    assert gate.source.last_answer_at is None
    gate.answers(Missed())
    await gate.source.look_up(QUERY)
    assert gate.source.last_answer_at is not None


async def test_a_persisted_circuit_is_taken_over(gate: Gate):
    gate.circuit.adopt(circuit_row(state="half_open"))
    assert gate.source.circuit().state == "half_open"
    await gate.source.look_up(QUERY)
    assert gate.source.circuit().state == "closed"


async def test_closing_it_closes_the_adapter(gate: Gate):
    await gate.source.close()
    assert gate.adapter.closed


def test_the_metrics_of_several_providers_share_their_families():
    registry = CollectorRegistry()
    families = ProviderMetrics(registry)
    sources: Mapping[str, GatedSource] = {}
    for name in ("a", "b"):
        adapter = ScriptedAdapter()
        adapter.name = name
        sources = {
            **sources,
            name: GatedSource(adapter, Circuit(name, BreakerSettings()), families, concurrency=1),
        }
    for name in sources:
        assert registry.get_sample_value("holdfast_provider_circuit_state", {"provider": name}) == 0


async def test_what_an_operator_switched_off_is_not_asked_by_those_who_waited_either():
    gate = Gate(concurrency=1)
    released = asyncio.Event()
    gate.waits_for(released)
    first = asyncio.create_task(gate.source.look_up(QUERY))
    await until(lambda: gate.adapter.calls == 1)
    queued = asyncio.create_task(gate.source.look_up(QUERY))
    await asyncio.sleep(0)
    gate.circuit.adopt(circuit_row(is_disabled=True))
    assert not gate.source.is_available
    released.set()
    assert await first is FOUND
    with pytest.raises(SwitchedOff):
        await queued
    with pytest.raises(SwitchedOff):
        await gate.source.look_up(QUERY)
    assert gate.adapter.calls == 1
    gate.circuit.adopt(circuit_row())
    assert await gate.source.look_up(QUERY) is FOUND
