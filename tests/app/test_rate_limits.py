"""Rate limits: by caller and by address, in memory or in Redis, decided before a body is read."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, SecretStr

from app.auth.dependencies import anybody
from app.deps import json_body
from app.envelope import Envelope, envelope
from app.local.ports import LOOPBACK, free_port
from app.main import create_app
from app.ratelimit import RateLimits, Usage, address_key
from app.settings import RateLimitSettings
from tests.api import client_of, new_tenant, settings_for
from tests.people import new_member, new_person
from tests.redis_server import needs_redis, redis_url, running_redis
from tests.servers import Database, PostgresServer


class Note(BaseModel):
    text: str


router = APIRouter(prefix="/api/v1/notes")


@router.post("")
async def leave_note(_: Annotated[None, anybody()], note: Annotated[Note, json_body(Note)]) -> Envelope[Note]:
    return envelope(note)


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture(autouse=True)
async def _in_one_window() -> None:
    """Windows begin at the full minute of the clock, which is not ours to move: no test here runs across one."""
    left = 60 - time.time() % 60
    if left < 5:
        await asyncio.sleep(left)


@asynccontextmanager
async def limited_api(database: Database, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The API with 2 requests a minute to /auth, 3 elsewhere and 1 upload."""
    limits = {"auth": 2, "api": 3, "upload": 1}
    app = create_app(settings_for(database, rate_limits=limits, **settings))
    app.include_router(router)
    async with client_of(app) as client:
        yield client


def assert_limited(answer: httpx.Response, preset: str) -> None:
    assert answer.status_code == 429, answer.text
    assert answer.json()["error"]["code"] == "rate_limited"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert f'"{preset}";r=0;t={answer.headers["Retry-After"]}' in answer.headers["RateLimit"]


async def test_a_caller_is_refused_past_the_limit_and_no_other_is(database: Database):
    one, other = await new_tenant(database), await new_tenant(database)
    async with limited_api(database) as client:
        answers = [await client.get(f"{one.path}/credits", headers=one.headers) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert_limited(answers[-1], "api")
        assert (await client.get(f"{other.path}/credits", headers=other.headers)).status_code == 200


async def test_every_answer_says_what_is_left(database: Database):
    tenant = await new_tenant(database)
    async with limited_api(database) as client:
        answers = [await client.get(f"{tenant.path}/{path}", headers=tenant.headers) for path in ("credits", "nothing")]
        answers += [await client.get(f"{tenant.path}/enrichment/jobs/none", headers=tenant.headers)]
    assert [answer.status_code for answer in answers] == [200, 404, 404]
    assert answers[0].headers["RateLimit-Policy"] == '"api";q=3;w=60'
    assert answers[0].headers["RateLimit"].startswith('"api";r=2;t=')
    # No operation: nothing was asked of anybody.
    assert "RateLimit" not in answers[1].headers
    assert answers[2].headers["RateLimit"].startswith('"api";r=1;t=')


async def test_a_person_counts_once_over_all_workspaces(database: Database):
    tenants = [await new_tenant(database) for _ in range(2)]
    person = await new_member(database, tenants[0].workspace_id, "viewer")
    async with limited_api(database) as client:
        paths = [f"{tenants[0].path}/credits", f"{tenants[1].path}/credits", "/api/v1/providers", "/api/v1/providers"]
        answers = [await client.get(path, headers=person.headers) for path in paths]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 429]


async def test_a_stranger_is_limited_by_address_and_keeps_nobody_out(database: Database):
    tenant = await new_tenant(database)
    async with limited_api(database) as client:
        bad = {"Authorization": "Bearer hf_live_" + "a" * 43}
        answers = [await client.get(f"{tenant.path}/credits", headers=headers) for headers in (bad, {}, bad, bad)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert_limited(answers[-1], "api")
        assert (await client.get(f"{tenant.path}/credits", headers=tenant.headers)).status_code == 200


async def test_what_is_open_to_all_is_limited_by_address_before_the_body_is_read(database: Database):
    async with limited_api(database, trusted_proxies=["127.0.0.1"]) as client:

        async def post(address: str, content: bytes) -> httpx.Response:
            headers = {"X-Forwarded-For": address, "Content-Type": "application/json"}
            return await client.post("/api/v1/notes", content=content, headers=headers)

        good, bad = b'{"text": "hello"}', b"{"
        answers = [await post("203.0.113.7", content) for content in (good, bad, bad)]
        assert [answer.status_code for answer in answers] == [200, 422, 429]
        assert_limited(answers[-1], "auth")
        assert (await post("203.0.113.8", good)).status_code == 200


async def test_uploads_have_a_limit_of_their_own_before_a_byte_is_read(database: Database):
    tenant = await new_tenant(database)
    async with limited_api(database) as client:
        headers = tenant.headers | {"Content-Type": "multipart/form-data; boundary=x"}
        answers = [
            await client.post(f"{tenant.path}/enrichment/jobs", content=b"nonsense", headers=headers) for _ in range(2)
        ]
    assert [answer.status_code for answer in answers] == [422, 429]
    assert_limited(answers[-1], "upload")
    assert answers[-1].headers["RateLimit-Policy"] == '"api";q=3;w=60, "upload";q=1;w=60'


async def test_a_limit_of_nothing_is_off(database: Database):
    tenant = await new_tenant(database)
    app = create_app(settings_for(database, rate_limits={"api": 0}))
    async with client_of(app) as client:
        answer = await client.get(f"{tenant.path}/credits", headers=tenant.headers)
    assert answer.status_code == 200
    assert "RateLimit" not in answer.headers


async def test_a_refusal_is_counted_and_logged(database: Database, capsys: pytest.CaptureFixture[str]):
    person = await new_person(database)
    async with limited_api(database) as client:
        for _ in range(4):
            answer = await client.get("/api/v1/providers", headers=person.headers)
        metrics = (await client.get("/metrics")).text
    assert_limited(answer, "api")
    assert 'holdfast_rate_limited_requests_total{preset="api"} 1.0' in metrics
    [line] = [line for line in capsys.readouterr().out.splitlines() if "security.rate_limit.hit" in line]
    assert str(person.user_id) in line


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        (None, None, True),
    ],
)
def test_an_ipv6_network_counts_as_one_address(one: str | None, other: str | None, same: bool):
    assert (address_key(one) == address_key(other)) is same


async def test_hits_at_the_same_time_never_exceed_the_limit():
    limits = RateLimits(RateLimitSettings(api=50), None, CollectorRegistry())
    usages = await asyncio.gather(*(hit(limits) for _ in range(200)))
    assert sum(usage.allowed for usage in usages) == 50


async def test_memory_holds_a_bounded_number_of_counters():
    limits = RateLimits(RateLimitSettings(auth=5), None, CollectorRegistry())
    for number in range(100_500):
        await limits.hit("auth", str(number))
    counters = limits._memory.storage.storage  # type: ignore[attr-defined]  # noqa: SLF001
    assert 0 < len(counters) <= 100_000


async def hit(limits: RateLimits) -> Usage:
    usage = await limits.hit("api", "somebody")
    assert usage is not None
    return usage


def metric(registry: CollectorRegistry, name: str) -> float:
    return registry.get_sample_value(name) or 0.0


@needs_redis
async def test_processes_share_their_counters_in_redis(tmp_path: Path):
    port = free_port()
    with running_redis(port, tmp_path):
        async with shared_limits(port, api=5) as (one, _), shared_limits(port, api=5) as (other, _):
            usages = [await hit(limits) for limits in (one, other) * 3]
    assert [usage.allowed for usage in usages] == [True] * 5 + [False]
    assert [usage.remaining for usage in usages] == [4, 3, 2, 1, 0, 0]


@needs_redis
async def test_redis_going_away_refuses_nobody_and_redis_coming_back_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], database: Database
):
    # Building an application is what configures the logs.
    create_app(settings_for(database))
    port = free_port()
    async with shared_limits(port, api=1000) as (limits, registry):
        # Not there yet.
        first = [await hit(limits) for _ in range(20)]
        assert all(usage.allowed for usage in first)
        assert metric(registry, "holdfast_rate_limit_fallbacks_total") == 20
        with running_redis(port, tmp_path):
            limits._ask_redis_at = 0  # noqa: SLF001  # some seconds later
            assert (await hit(limits)).remaining == 999
            assert metric(registry, "holdfast_rate_limit_fallbacks_total") == 20
        assert (await hit(limits)).remaining == 1000 - 21
    lines = [line for line in capsys.readouterr().out.splitlines() if "rate limits" in line]
    assert ["away" in line for line in lines] == [True, False, True]
    assert not any("secret" in line for line in lines)


async def test_a_redis_that_does_not_answer_delays_one_request_and_not_the_next():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, LOOPBACK, 0)
    async with server, shared_limits(server.sockets[0].getsockname()[1], api=10) as (limits, _):
        began = time.monotonic()
        usages = [await hit(limits) for _ in range(11)]
        assert time.monotonic() - began < 2
    assert [usage.allowed for usage in usages] == [True] * 10 + [False]


@asynccontextmanager
async def shared_limits(port: int, **presets: int) -> AsyncIterator[tuple[RateLimits, CollectorRegistry]]:
    registry = CollectorRegistry()
    limits = RateLimits(RateLimitSettings(**presets), SecretStr(redis_url(port)), registry)
    try:
        yield limits, registry
    finally:
        await limits.close()
