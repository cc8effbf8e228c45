"""A read-through cache of what is read often and written seldom: in memory, or in Redis where there is one.

Nothing that decides what a caller may do is kept here. A value that was changed by this process, or by any that shares
the Redis, is read anew at once; without Redis other processes may have the old one for as long as it is kept.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Literal, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

KEPT_SECONDS = 10
# For so long after a change nothing is stored: who read before the change may want to store only after it.
_BARRED_SECONDS = 5
_MAX_IN_MEMORY = 10_000
# A cache that is slower than what it spares is none.
_REDIS_SECONDS = 0.25
# Requests do not wait for a Redis that was away a moment ago.
_AWAY_SECONDS = 1.0

_BARRED = b""

Clock = Callable[[], float]

_log = structlog.get_logger(__name__)


class _Memory:
    """Values of this process, the least recently used dropped first."""

    def __init__(self, clock: Clock, size: int) -> None:
        self._clock = clock
        self._size = size
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        until, value = entry
        if until <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: str, value: bytes, seconds: float) -> None:
        self._entries[key] = (self._clock() + seconds, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def add(self, key: str, value: bytes, seconds: float) -> None:
        if self.get(key) is None:
            self.put(key, value, seconds)


class Cache:
    """`get_or_set` and `forget`; never raises for want of Redis: memory stands in, with a warning and a metric."""

    def __init__(
        self,
        metrics: CollectorRegistry,
        redis: Redis | None = None,
        *,
        clock: Clock = time.monotonic,
        size: int = _MAX_IN_MEMORY,
    ) -> None:
        self._redis = redis
        self._clock = clock
        self._memory = _Memory(clock, size)
        self._away_until = 0.0
        self._is_away = False
        self._reads = Counter(
            "holdfast_cache_reads", "Reads through the cache, by what came of them.", ("name", "result"),
            registry=metrics,
        )  # fmt: skip
        self._away = Gauge(
            "holdfast_cache_redis_away", "1 while Redis is away and memory stands in for it.", registry=metrics
        )

    async def get_or_set(self, name: str, key: str, read: Callable[[], Awaitable[bytes]]) -> bytes:
        """The value of `key` among those of `name`; `read` makes it where it is not kept. Never empty.

        Raises what `read` raises; then nothing is kept.
        """
        place = f"holdfast:{name}:{key}"
        found = await self._get(place)
        if found:
            self._reads.labels(name, "hit").inc()
            return found
        self._reads.labels(name, "miss").inc()
        value = await read()
        if found is None:
            await self._add(place, value)
        return value

    async def forget(self, name: str, key: str) -> None:
        """After the change is committed: whoever reads from now on gets what is true."""
        place = f"holdfast:{name}:{key}"
        self._memory.put(place, _BARRED, _BARRED_SECONDS)
        if redis := self._reachable():
            try:
                await redis.set(place, _BARRED, px=int(_BARRED_SECONDS * 1000))
            except (RedisError, OSError) as error:
                self._lost(error)

    async def state(self) -> Literal["ok", "down", "disabled"]:
        """Whether Redis answers; "disabled" without one."""
        if self._redis is None:
            return "disabled"
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            self._lost(error)
            return "down"
        self._back()
        return "ok"

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def _get(self, place: str) -> bytes | None:
        """None: not kept. Empty: it was changed a moment ago, so what is read now must not be kept."""
        if redis := self._reachable():
            try:
                found = await redis.get(place)
            except (RedisError, OSError) as error:
                self._lost(error)
            else:
                self._back()
                # Without decode_responses it is bytes; the library's type does not say so.
                return cast("bytes | None", found)
        return self._memory.get(place)

    async def _add(self, place: str, value: bytes) -> None:
        if redis := self._reachable():
            try:
                await redis.set(place, value, px=int(KEPT_SECONDS * 1000), nx=True)
            except (RedisError, OSError) as error:
                self._lost(error)
            return
        self._memory.add(place, value, KEPT_SECONDS)

    def _reachable(self) -> Redis | None:
        return self._redis if self._clock() >= self._away_until else None

    def _lost(self, error: Exception) -> None:
        self._away_until = self._clock() + _AWAY_SECONDS
        if not self._is_away:
            self._is_away = True
            self._away.set(1)
            _log.warning("redis is away, caching in memory", error=type(error).__name__)

    def _back(self) -> None:
        if self._is_away:
            self._is_away = False
            self._away.set(0)
            _log.info("redis is back")


def open_cache(redis_url: SecretStr | None, metrics: CollectorRegistry, *, clock: Clock = time.monotonic) -> Cache:
    """A cache in Redis, or in memory without a URL. Nothing connects yet. Raises ValueError for what is no URL."""
    if redis_url is None:
        return Cache(metrics, clock=clock)
    redis = Redis.from_url(
        redis_url.get_secret_value(),
        socket_timeout=_REDIS_SECONDS,
        socket_connect_timeout=_REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return Cache(metrics, redis, clock=clock)
