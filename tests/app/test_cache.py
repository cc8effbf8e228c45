"""The cache: values read once, forgotten at once, and never missed for want of Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis import Redis

from app.cache import KEPT_SECONDS, Cache, open_cache
from app.local.ports import free_port
from app.logging import configure_logging
from tests.redis_server import PASSWORD, needs_redis, redis_url, running_redis


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Source:
    """What is cached, and how often it was read."""

    def __init__(self, value: bytes = b"one") -> None:
        self.value = value
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        return self.value


def counts(registry: CollectorRegistry) -> tuple[float, float]:
    hit, miss = (
        registry.get_sample_value("holdfast_cache_reads_total", {"name": "settings", "result": result}) or 0
        for result in ("hit", "miss")
    )
    return hit, miss


async def test_a_value_is_read_once_and_counted():
    registry, source = CollectorRegistry(), Source()
    cache = Cache(registry)
    assert [await cache.get_or_set("settings", "a", source.read) for _ in range(3)] == [b"one"] * 3
    assert source.reads == 1
    assert counts(registry) == (2, 1)


async def test_a_value_ends_by_itself():
    clock, source = Clock(), Source()
    cache = Cache(CollectorRegistry(), clock=clock)
    await cache.get_or_set("settings", "a", source.read)
    clock.now += KEPT_SECONDS - 0.1
    await cache.get_or_set("settings", "a", source.read)
    assert source.reads == 1
    clock.now += 0.2
    await cache.get_or_set("settings", "a", source.read)
    assert source.reads == 2


async def test_memory_holds_so_many_values_and_drops_the_least_used():
    cache = Cache(CollectorRegistry(), size=2)
    source = Source()
    for key in ("a", "b", "a", "c"):
        await cache.get_or_set("settings", key, source.read)
    assert source.reads == 3
    await cache.get_or_set("settings", "a", source.read)
    assert source.reads == 3
    await cache.get_or_set("settings", "b", source.read)
    assert source.reads == 4


async def test_what_cannot_be_read_is_not_kept():
    async def fail() -> bytes:
        raise LookupError

    source = Source()
    cache = Cache(CollectorRegistry())
    with pytest.raises(LookupError):
        await cache.get_or_set("settings", "a", fail)
    assert await cache.get_or_set("settings", "a", source.read) == b"one"


async def forgets(cache: Cache) -> None:
    source = Source()
    await cache.get_or_set("settings", "a", source.read)
    source.value = b"two"
    await cache.forget("settings", "a")
    assert await cache.get_or_set("settings", "a", source.read) == b"two"


async def keeps_nothing_that_was_read_before_the_change(cache: Cache) -> None:
    source = Source()
    was_read, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> bytes:
        value = await source.read()
        was_read.set()
        await go_on.wait()
        return value

    reader = asyncio.create_task(cache.get_or_set("settings", "a", slow))
    await was_read.wait()
    source.value = b"two"
    await cache.forget("settings", "a")
    go_on.set()
    assert await reader == b"one"
    assert await cache.get_or_set("settings", "a", source.read) == b"two"


RULES: list[Callable[[Cache], Awaitable[None]]] = [forgets, keeps_nothing_that_was_read_before_the_change]


@pytest.mark.parametrize("rule", RULES)
async def test_memory_keeps_the_rules(rule: Callable[[Cache], Awaitable[None]]):
    await rule(Cache(CollectorRegistry()))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis."""
    with running_redis(free_port(), tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
async def redis_cache(redis: str) -> AsyncIterator[Cache]:
    with Redis.from_url(redis) as client:
        client.flushall()
    cache = open_cache(SecretStr(redis), CollectorRegistry())
    yield cache
    await cache.close()


@needs_redis
@pytest.mark.parametrize("rule", RULES)
async def test_redis_keeps_the_rules(redis_cache: Cache, rule: Callable[[Cache], Awaitable[None]]):
    await rule(redis_cache)


@needs_redis
async def test_processes_that_share_a_redis_share_what_it_keeps_and_forgets(redis_cache: Cache, redis: str):
    other = open_cache(SecretStr(redis), CollectorRegistry())
    source = Source()
    await redis_cache.get_or_set("settings", "a", source.read)
    await other.get_or_set("settings", "a", source.read)
    assert source.reads == 1
    source.value = b"two"
    await other.forget("settings", "a")
    assert await redis_cache.get_or_set("settings", "a", source.read) == b"two"
    await other.close()


@needs_redis
async def test_what_redis_keeps_ends_by_itself(redis_cache: Cache, redis: str):
    await redis_cache.get_or_set("settings", "a", Source().read)
    with Redis.from_url(redis) as client:
        left = client.pttl("holdfast:settings:a")
    assert isinstance(left, int)
    assert 0 < left <= KEPT_SECONDS * 1000


async def test_memory_stands_in_while_redis_is_away(capsys: pytest.CaptureFixture[str]):
    configure_logging("INFO")
    registry, clock, source = CollectorRegistry(), Clock(), Source()
    cache = open_cache(SecretStr(redis_url(free_port())), registry, clock=clock)

    def away() -> float | None:
        return registry.get_sample_value("holdfast_cache_redis_away")

    assert await cache.get_or_set("settings", "a", source.read) == b"one"
    assert await cache.get_or_set("settings", "a", source.read) == b"one"
    assert await cache.state() == "down"
    assert source.reads == 1
    assert away() == 1
    # One line, and not one for each request; without the address, which has the password.
    [line] = [line for line in capsys.readouterr().out.splitlines() if "redis" in line]
    assert PASSWORD not in line
    source.value = b"two"
    await cache.forget("settings", "a")
    assert await cache.get_or_set("settings", "a", source.read) == b"two"
    await cache.close()


@needs_redis
async def test_a_redis_that_comes_back_is_used_again(tmp_path: Path):
    registry, clock, source = CollectorRegistry(), Clock(), Source()
    port = free_port()
    cache = open_cache(SecretStr(redis_url(port)), registry, clock=clock)
    await cache.get_or_set("settings", "a", source.read)
    with running_redis(port, tmp_path) as url, Redis.from_url(url) as client:
        clock.now += 2
        await cache.get_or_set("settings", "a", source.read)
        assert client.get("holdfast:settings:a") == b"one"
        assert registry.get_sample_value("holdfast_cache_redis_away") == 0
        assert await cache.state() == "ok"
    await cache.close()


async def test_without_redis_there_is_none_to_ask():
    assert await open_cache(None, CollectorRegistry()).state() == "disabled"
