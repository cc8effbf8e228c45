"""How many requests one caller, or one address, may send in a minute.

Counted by a sliding window of two counters: a window that begins at the full minute would let through twice the limit
around it, and a log of every request (a moving window) holds 1,200 times for each caller, in Redis as in memory.
"""

import math
import time
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Literal, TypeAlias, get_args
from uuid import UUID

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from prometheus_client import CollectorRegistry, Counter
from pydantic import SecretStr
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from app.settings import RateLimitSettings

Preset = Literal["auth", "api", "upload"]
# "plan": of all callers of a workspace together, as many as its plan allows.
Policy: TypeAlias = Preset | Literal["plan"]

_WINDOW_SECONDS = 60
# What each caller waits at the most because Redis is slow; then it counts as away.
_REDIS_SECONDS = 0.25
# How long nobody asks a Redis that was away.
_AWAY_SECONDS = 5
# Counters in memory at the most: the oldest go, so that no flood of addresses fills it.
_MAX_COUNTERS = 100_000
_SWEEP_SECONDS = 60

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Usage:
    """What is left of a limit after a request; `reset_seconds` until there is more (again)."""

    preset: Policy
    limit: int
    allowed: bool
    remaining: int
    reset_seconds: int

    @property
    def policy(self) -> str:
        """An item of the header RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"{self.preset}";q={self.limit};w={_WINDOW_SECONDS}'

    @property
    def state(self) -> str:
        """An item of the header RateLimit."""
        return f'"{self.preset}";r={self.remaining};t={self.reset_seconds}'


class RateLimits:
    """The limits of one process, or with a `redis_url` of all processes that share it.

    When Redis is away each process counts for itself, and asks again after a few seconds: nobody is refused for that.
    """

    def __init__(self, settings: RateLimitSettings, redis_url: SecretStr | None, registry: CollectorRegistry) -> None:
        self._items: dict[Preset, RateLimitItem] = {
            preset: RateLimitItemPerMinute(amount, namespace=f"holdfast/{preset}")
            for preset in get_args(Preset)
            if (amount := getattr(settings, preset))
        }
        self._memory = SlidingWindowCounterRateLimiter(_Memory())
        self._pool: ConnectionPool | None = None
        self._redis: SlidingWindowCounterRateLimiter | None = None
        if redis_url is not None:
            url = redis_url.get_secret_value()
            self._pool = ConnectionPool.from_url(
                url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
            )
            self._redis = SlidingWindowCounterRateLimiter(
                RedisStorage(f"async+{url}", implementation="redispy", connection_pool=self._pool)  # type: ignore[arg-type]
            )
        self._redis_away = False
        self._ask_redis_at = 0.0
        self._limited = Counter(
            "holdfast_rate_limited_requests", "Requests refused by a limit.", ("preset",), registry=registry
        )
        self._fallbacks = Counter(
            "holdfast_rate_limit_fallbacks", "Requests counted in memory because Redis was away.", registry=registry
        )

    async def hit(self, preset: Preset, who: str) -> Usage | None:
        """Count a request of `who`; None where there is no such limit."""
        item = self._items.get(preset)
        return None if item is None else await self._hit(preset, item, who)

    async def hit_plan(self, workspace_id: UUID, limit: int) -> Usage:
        """Count a request to the workspace, whose plan allows `limit` a minute."""
        return await self._hit("plan", RateLimitItemPerMinute(limit, namespace="holdfast/plan"), str(workspace_id))

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool is not None:
            await self._pool.disconnect()

    async def _hit(self, preset: Policy, item: RateLimitItem, who: str) -> Usage:
        usage = await self._shared(preset, item, who) or await _count(self._memory, preset, item, who)
        if not usage.allowed:
            self._limited.labels(preset).inc()
        return usage

    async def _shared(self, preset: Policy, item: RateLimitItem, who: str) -> Usage | None:
        """None when there is no Redis, or none at the moment."""
        if self._redis is None:
            return None
        now = time.monotonic()
        if self._redis_away:
            if now < self._ask_redis_at:
                self._fallbacks.inc()
                return None
            # This request asks for all; those that come meanwhile do not wait for it.
            self._ask_redis_at = now + _AWAY_SECONDS
        try:
            usage = await _count(self._redis, preset, item, who)
        except (RedisError, OSError) as error:
            self._fallbacks.inc()
            self._ask_redis_at = time.monotonic() + _AWAY_SECONDS
            if not self._redis_away:
                self._redis_away = True
                # The class alone: the message may hold the address with its password.
                _log.warning("rate limits count in memory: Redis is away", error=type(error).__name__)
            return None
        if self._redis_away:
            self._redis_away = False
            _log.info("rate limits count in Redis again")
        return usage


class _Memory(MemoryStorage):
    """Counters in memory, of which those that are over are dropped once a minute.

    The library's own walk through all counters follows every hit: 0.7 ms a request with 10,000 callers (measured).
    """

    def __init__(self) -> None:
        super().__init__()
        self._sweep_at = time.time() + _SWEEP_SECONDS

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        if now >= self._sweep_at or len(self.storage) >= _MAX_COUNTERS:
            self._sweep(now)
        count = await self.get(key) + amount
        self.storage[key] = count
        if count == amount:
            self.expirations[key] = now + expiry
        return count

    async def decr(self, key: str, amount: int = 1) -> int:
        self.storage[key] = max(await self.get(key) - amount, 0)
        return self.storage[key]

    def _sweep(self, now: float) -> None:
        self._sweep_at = now + _SWEEP_SECONDS
        over = [key for key, expires in self.expirations.items() if expires <= now]
        if len(self.expirations) - len(over) >= _MAX_COUNTERS:
            over = list(self.expirations)[: _MAX_COUNTERS // 2]
        for key in over:
            del self.expirations[key]
            self.storage.pop(key, None)


async def _count(limiter: SlidingWindowCounterRateLimiter, preset: Policy, item: RateLimitItem, who: str) -> Usage:
    allowed = await limiter.hit(item, who)
    stats = await limiter.get_window_stats(item, who)
    remaining = stats.remaining if allowed else 0
    return Usage(preset, item.amount, allowed, remaining, max(1, math.ceil(stats.reset_time - time.time())))


def address_key(address: str | None) -> str:
    """Who an address is for a limit: of IPv6 the first 64 bits, which is what one customer of a network has."""
    if address is None:
        return "address:none"
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        parsed = IPv6Address(int(parsed) >> 64 << 64)
    return f"address:{parsed}"
