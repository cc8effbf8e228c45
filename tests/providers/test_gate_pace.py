"""How the gate keeps to a provider's pace: what it refuses to ask, for whom, and when it starts slowly."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from app.provider_settings import BreakerSettings, QuotaWindow
from app.providers.circuit import Circuit
from app.providers.errors import Outage, RateLimited, Throttled
from app.providers.gate import AnnouncingAdapter, GatedSource
from app.providers.metrics import ProviderMetrics
from app.providers.ports import Answer, Query, RateInfo
from app.providers.quota import INSTALLATION, Lease, Quota
from tests.providers.stubs import FOUND, Clock, ScriptedAdapter, company, until

OURS, THEIRS = UUID(int=1), UUID(int=2)
QUERY = company("acme.com")


def of(workspace_id: UUID, *, own_key: bool = False) -> Query:
    key = SecretStr("own") if own_key else None
    return Query("company", "domain:acme.com", {"domain": "acme.com"}, api_key=key, workspace_id=workspace_id)


class FakeLeases:
    """Grants what it is asked for, up to `left`, and keeps what it heard."""

    def __init__(self, left: int = 1_000_000) -> None:
        self.left = left
        self.resets_in = 100.0
        self.ramps_for = 0.0
        self.recovering: list[bool] = []
        self.announced: list[Mapping[int, int]] = []
        self.blocks: list[tuple[str, float | None]] = []

    async def lease(
        self,
        provider: str,  # noqa: ARG002
        credential: str,  # noqa: ARG002
        wanted: int,
        windows: Sequence[QuotaWindow],  # noqa: ARG002
        announced: Mapping[int, int],
        *,
        is_recovering: bool,
    ) -> Lease:
        self.recovering.append(is_recovering)
        self.announced.append(announced)
        granted = min(wanted, self.left)
        self.left -= granted
        return Lease(granted, self.resets_in, self.ramps_for)

    async def block(self, provider: str, credential: str, hint: float | None, *, began_ago: float) -> float:  # noqa: ARG002
        self.blocks.append((credential, hint))
        return 1.0 if hint is None else hint


class TalkativeAdapter(ScriptedAdapter):
    """Its vendor says how many calls are left."""

    def announce(self, query: Query, rates: Sequence[RateInfo]) -> None:
        """Set by the gate."""

    async def look_up(self, query: Query) -> Answer:
        self.announce(query, [RateInfo(60, 7)])
        return await super().look_up(query)


class Gate:
    """A gated source whose clock stands still."""

    def __init__(
        self,
        leases: FakeLeases | None = None,
        *,
        windows: Sequence[QuotaWindow] = (),
        concurrency: int = 100,
        adapter: ScriptedAdapter | None = None,
    ) -> None:
        self.adapter = adapter or ScriptedAdapter()
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.quota = Quota("scripted", windows, leases, clock=self.clock)
        self.circuit = Circuit("scripted", BreakerSettings(), clock=self.clock)
        self.source = GatedSource(
            self.adapter, self.circuit, ProviderMetrics(self.registry), concurrency=concurrency, quota=self.quota
        )

    def raises(self, error: Exception) -> None:
        async def behave(_: Query) -> Answer:
            raise error

        self.adapter.behave = behave

    def counted(self, outcome: str) -> float | None:
        labels = {"provider": "scripted", "outcome": outcome}
        return self.registry.get_sample_value("holdfast_provider_calls_total", labels)


async def test_nobody_is_asked_before_the_time_that_a_provider_has_named_is_over() -> None:
    gate = Gate()
    gate.raises(RateLimited("scripted", "slow down", retry_after=30))
    with pytest.raises(RateLimited):
        await gate.source.look_up(QUERY)
    gate.adapter.behave = None
    gate.clock.now += 10
    with pytest.raises(Throttled) as put_off:
        await gate.source.look_up(QUERY)
    assert put_off.value.retry_after == pytest.approx(20)
    assert gate.adapter.calls == 1
    assert (gate.counted("rate_limited"), gate.counted("throttled")) == (1, 1)
    gate.clock.now += 20
    assert await gate.source.look_up(QUERY) is FOUND


async def test_a_refusal_of_one_key_does_not_hold_back_another() -> None:
    gate = Gate()
    gate.raises(RateLimited("scripted", "slow down", retry_after=30))
    with pytest.raises(RateLimited):
        await gate.source.look_up(of(OURS, own_key=True))
    gate.adapter.behave = None
    assert await gate.source.look_up(of(THEIRS, own_key=True)) is FOUND
    assert await gate.source.look_up(of(OURS)) is FOUND
    with pytest.raises(Throttled):
        await gate.source.look_up(of(OURS, own_key=True))


async def test_a_refusal_is_told_once_however_many_calls_were_under_way() -> None:
    leases = FakeLeases()
    gate = Gate(leases)
    released = asyncio.Event()

    async def behave(_: Query) -> Answer:
        await released.wait()
        raise RateLimited("scripted", "slow down", retry_after=30)

    gate.adapter.behave = behave
    calls = [asyncio.create_task(gate.source.look_up(QUERY)) for _ in range(50)]
    await until(lambda: gate.adapter.calls == 50)
    released.set()
    await asyncio.gather(*calls, return_exceptions=True)
    await gate.quota.close()
    assert leases.blocks == [(INSTALLATION, 30.0)]


async def test_a_zero_is_no_time_to_wait() -> None:
    leases = FakeLeases()
    gate = Gate(leases)
    gate.raises(RateLimited("scripted", "slow down", retry_after=0))
    with pytest.raises(RateLimited):
        await gate.source.look_up(QUERY)
    await gate.quota.close()
    assert leases.blocks == [(INSTALLATION, None)]


async def test_a_spent_quota_puts_off_and_says_until_when() -> None:
    gate = Gate(FakeLeases(left=1), windows=[QuotaWindow(calls=1, seconds=100)])
    await gate.source.look_up(QUERY)
    with pytest.raises(Throttled) as put_off:
        await gate.source.look_up(QUERY)
    assert put_off.value.retry_after == 100
    assert gate.adapter.calls == 1


async def test_a_circuit_that_closes_is_followed_by_a_slow_start() -> None:
    leases = FakeLeases()
    gate = Gate(leases)
    await gate.source.look_up(QUERY)
    gate.raises(Outage("scripted", "is away"))
    for key in range(5):
        with pytest.raises(Outage):
            await gate.source.look_up(company(f"{key}.com"))
    gate.adapter.behave = None
    gate.clock.now += 30
    leases.left, leases.ramps_for = 1, 9.0
    await gate.source.look_up(QUERY)  # the probe, which is the first call
    await gate.source.look_up(QUERY)
    with pytest.raises(Throttled):
        await gate.source.look_up(QUERY)
    assert leases.recovering == [False, True, True]


async def test_what_a_provider_says_is_left_is_told_with_the_next_block() -> None:
    leases = FakeLeases()
    gate = Gate(leases, windows=[QuotaWindow(calls=20, seconds=60)], adapter=TalkativeAdapter())
    assert isinstance(gate.adapter, AnnouncingAdapter)
    await gate.source.look_up(QUERY)
    await gate.source.look_up(QUERY)
    # After a pause it may be true no longer.
    gate.clock.now += 2
    await gate.source.look_up(QUERY)
    assert leases.announced == [{}, {60: 7}, {}]


async def test_a_provider_that_hangs_leaves_the_others_their_places() -> None:
    hanging, other = Gate(concurrency=3), Gate(concurrency=3)
    hangs = asyncio.Event()

    async def behave(_: Query) -> Answer:
        await hangs.wait()
        return FOUND

    hanging.adapter.behave = behave
    stuck = [asyncio.create_task(hanging.source.look_up(QUERY)) for _ in range(100)]
    await until(lambda: hanging.adapter.calls == 3)
    assert await asyncio.gather(*(other.source.look_up(QUERY) for _ in range(1000))) == [FOUND] * 1000
    assert hanging.adapter.calls == 3
    hangs.set()
    await asyncio.gather(*stuck)


async def test_a_small_job_passes_the_queue_of_a_large_one() -> None:
    gate = Gate(concurrency=1)
    order: list[UUID | None] = []

    async def behave(query: Query) -> Answer:
        order.append(query.workspace_id)
        await asyncio.sleep(0)
        return FOUND

    gate.adapter.behave = behave
    large = [asyncio.create_task(gate.source.look_up(of(OURS))) for _ in range(1000)]
    await until(lambda: bool(order))
    small = [asyncio.create_task(gate.source.look_up(of(THEIRS))) for _ in range(50)]
    await asyncio.sleep(0)
    queued = gate.registry.get_sample_value("holdfast_provider_calls_queued", {"provider": "scripted"})
    assert queued is not None
    assert queued > 1000
    await asyncio.gather(*small)
    assert len(order) <= 110
    await asyncio.gather(*large)


async def test_who_is_no_longer_wanted_after_the_queue_is_not_asked_for() -> None:
    gate = Gate(concurrency=1)
    wanted = True
    held = asyncio.Event()

    async def behave(_: Query) -> Answer:
        await held.wait()
        return FOUND

    gate.adapter.behave = behave
    query = Query("company", "a key", {"domain": "acme.com"}, is_wanted=lambda: wanted)
    calls = [asyncio.create_task(gate.source.look_up(query)) for _ in range(10)]
    await until(lambda: gate.adapter.calls == 1)
    wanted = False
    held.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in ended[1:]] == [Throttled] * 9
    assert gate.adapter.calls == 1
