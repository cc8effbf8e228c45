"""Deliveries a second from one worker against a bare loop of the same signed posts, how soon an event is sent, and what
an endpoint that hangs means to the others."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from statistics import median
from uuid import UUID

import aiohttp
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from app.credentials.sealing import Sealer
from app.db import Sessions, create_engine, new_id
from app.settings import CredentialSettings, DatabaseSettings, WebhookSettings
from app.webhooks.endpoints import add_endpoint
from app.webhooks.service import publish
from app.webhooks.signing import key_of, signed
from benchmarks.measure import Row
from benchmarks.rig import Rig, running_rig
from workflows import ids

EVENTS = 20_000
LEAST_PER_SECOND = 300.0
STEADY_PER_SECOND, STEADY_SECONDS = 100, 20
MOST_P99_MS = 1000.0
ENDPOINTS = 50
# Of those with one that hangs and of those without, in turn; of each turn's p99 the median counts.
TURNS, TURN_SECONDS = 7, 6
MOST_SLOWER = 1.10

_CONCURRENCY = WebhookSettings().concurrency
_DATA = {"job_id": "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10", "status": "completed", "credits": {"charged": 1234}}


class Scene:
    """One stack, a workspace with endpoints at a receiver, and what is stored of its deliveries."""

    def __init__(self, rig: Rig, sessions: Sessions, sealer: Sealer, receiver: str) -> None:
        self.rig = rig
        self.sessions = sessions
        self.receiver = receiver
        self.workspace_id = UUID(rig.workspace_id)
        self._sealer = sealer

    async def tenant(self, name: str) -> "Scene":
        return Scene(await self.rig.tenant(name), self.sessions, self._sealer, self.receiver)

    async def endpoint(self, path: str) -> tuple[UUID, str]:
        async with self.sessions.for_workspace(self.workspace_id) as session:
            return await add_endpoint(
                session,
                self._sealer,
                self.workspace_id,
                url=f"{self.receiver}{path}",
                event_types=["enrichment.records.completed"],
            )

    async def tell(self, count: int) -> None:
        """So many events in one transaction, each of another job."""
        async with self.sessions.for_workspace(self.workspace_id) as session:
            for _ in range(count):
                data = {**_DATA, "job_id": str(new_id())}
                await publish(session, self.workspace_id, "enrichment.records.completed", data)

    async def tell_steadily(self, seconds: float, per_second: float) -> None:
        """One transaction an event, in step with the clock."""
        begun = time.monotonic()
        for number in range(int(seconds * per_second)):
            await asyncio.sleep(max(0.0, begun + number / per_second - time.monotonic()))
            await self.tell(1)

    async def until_delivered(self, count: int, *, seconds: float) -> None:
        query = text("SELECT count(*) FROM webhook_deliveries WHERE workspace_id = :id AND state = 'delivered'")
        async with asyncio.timeout(seconds):
            while True:
                async with self.sessions.for_workspace(self.workspace_id) as session:
                    if (await session.execute(query, {"id": self.workspace_id})).scalar_one() >= count:
                        return
                await asyncio.sleep(0.5)

    async def latencies_ms(self, *, since: datetime, without: str = "") -> list[float]:
        """From each event since then to the first attempt at each endpoint, but that of one path; sorted."""
        query = text("""
            SELECT extract(epoch FROM min(a.started_at) - min(e.created_at))::float8 * 1000 AS ms
            FROM webhook_deliveries AS d
                 JOIN events AS e ON e.workspace_id = d.workspace_id AND e.id = d.event_id
                 JOIN webhook_endpoints AS o ON o.workspace_id = d.workspace_id AND o.id = d.endpoint_id
                 JOIN webhook_attempts AS a ON a.workspace_id = d.workspace_id AND a.delivery_id = d.id
            WHERE d.workspace_id = :id AND e.created_at >= :since AND o.url <> :without GROUP BY d.id ORDER BY ms
        """)
        async with self.sessions.for_workspace(self.workspace_id) as session:
            values = {"id": self.workspace_id, "since": since, "without": self.receiver + without}
            return list((await session.execute(query, values)).scalars())

    async def rate(self) -> tuple[float, int]:
        """Attempts a second, from the beginning of the first to the end of the last, and how many there were."""
        query = text("""
            SELECT count(*) AS attempts,
                   extract(epoch FROM max(started_at + milliseconds * interval '1 ms') - min(started_at))::float8
                   AS seconds
            FROM webhook_attempts WHERE workspace_id = :id
        """)
        async with self.sessions.for_workspace(self.workspace_id) as session:
            row = (await session.execute(query, {"id": self.workspace_id})).one()
        return row.attempts / row.seconds, row.attempts

    async def wakes(self, endpoint_id: UUID) -> int:
        """Signals of all runs."""
        client = await Client.connect(self.rig.state.temporal_address)
        kind = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
        workflow_id, count = ids.webhook_endpoint(str(endpoint_id)), 0
        async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'"):
            history = await client.get_workflow_handle(workflow_id, run_id=run.run_id).fetch_history()
            count += sum(event.event_type == kind for event in history.events)
        return count


async def webhooks(directory: Path) -> list[Row]:
    """On a stack in `directory`, with one worker and a receiver on this machine."""
    async with running_rig(directory) as rig, _receiving() as receiver, _database(rig) as sessions:
        secret = json.loads((rig.data_dir / "state.json").read_text())["encryption_key"]
        sealer = Sealer.of(CredentialSettings(keys={"local": SecretStr(secret)}))
        scene = Scene(rig, sessions, sealer, receiver)
        return [
            *await _throughput(await scene.tenant("throughput")),
            *await _steady(await scene.tenant("steady")),
            *await _hanging(await scene.tenant("all well"), await scene.tenant("one hangs")),
        ]


async def _throughput(scene: Scene) -> list[Row]:
    endpoint_id, secret = await scene.endpoint("/")
    floor = median([await _floor(scene.receiver, secret, 5_000) for _ in range(3)])
    begun = time.monotonic()
    for _ in range(EVENTS // 1000):
        await scene.tell(1000)
    await scene.until_delivered(EVENTS, seconds=300)
    seconds = time.monotonic() - begun
    rate, attempts = await scene.rate()
    wakes = await scene.wakes(endpoint_id) / seconds
    label = f"{EVENTS:,} events to one endpoint"
    return [
        Row(
            f"{label}: deliveries",
            rate,
            "/s",
            floor,
            rate / floor,
            f"≥ {LEAST_PER_SECOND:g}/s",
            rate >= LEAST_PER_SECOND,
        ),
        Row(f"{label}: wakes", wakes, "/s", target="≤ 2/s", met=wakes <= 2),
        Row(f"{label}: attempts beyond one an event", attempts - EVENTS, "", target="0", met=attempts == EVENTS),
    ]


async def _steady(scene: Scene) -> list[Row]:
    await scene.endpoint("/")
    since = datetime.now(UTC)
    await scene.tell_steadily(STEADY_SECONDS, STEADY_PER_SECOND)
    await scene.until_delivered(STEADY_SECONDS * STEADY_PER_SECOND, seconds=30)
    latencies = await scene.latencies_ms(since=since)
    p99 = _p99(latencies)
    label = f"{STEADY_PER_SECOND} events/s: from the event to its first attempt"
    return [
        Row(f"{label}: p50", median(latencies), "ms"),
        Row(f"{label}: p99", p99, "ms", target=f"< {MOST_P99_MS:g} ms", met=p99 < MOST_P99_MS),
    ]


async def _hanging(well: Scene, hanging: Scene) -> list[Row]:
    for scene, paths in ((well, ENDPOINTS), (hanging, ENDPOINTS - 1)):
        for number in range(paths):
            await scene.endpoint(f"/{number}")
    await hanging.endpoint("/hanging")
    latencies: dict[Scene, list[list[float]]] = {well: [], hanging: []}
    events = int(TURN_SECONDS * STEADY_PER_SECOND / ENDPOINTS)
    # In turn: the machine is not as busy in one minute as in the next.
    for turn in range(TURNS):
        for scene, others in ((well, ENDPOINTS), (hanging, ENDPOINTS - 1)):
            # The runs of all endpoints begin with the first event, which is another matter.
            await scene.tell(1)
            await scene.until_delivered((turn * (events + 1) + 1) * others, seconds=60)
            since = datetime.now(UTC)
            await scene.tell_steadily(events * ENDPOINTS / STEADY_PER_SECOND, STEADY_PER_SECOND / ENDPOINTS)
            await scene.until_delivered((turn + 1) * (events + 1) * others, seconds=60)
            latencies[scene].append(await scene.latencies_ms(since=since, without="/hanging"))
    before, after = (median(map(_p99, latencies[scene])) for scene in (well, hanging))
    return [
        Row(f"{ENDPOINTS} endpoints, 2 events/s to all: p50", median(chain(*latencies[well])), "ms"),
        Row(
            f"1 hanging endpoint of {ENDPOINTS}: p99 of the others",
            after,
            "ms",
            before,
            after / before,
            f"≤ {MOST_SLOWER:g} of that without it",
            after / before <= MOST_SLOWER,
        ),
    ]


async def _floor(receiver: str, secret: str, count: int) -> float:
    """Signed posts a second of a loop that stores nothing, with as many under way."""
    key = key_of(secret)
    left = iter(range(count))
    body = json.dumps({"id": "x" * 36, "type": "x" * 28, "version": 1, "timestamp": "x" * 27, "data": _DATA}).encode()

    async def post(session: aiohttp.ClientSession) -> None:
        for _ in left:
            headers = signed([key], new_id(), int(time.time()), body)
            async with session.post(receiver, data=body, headers=headers) as answer:
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        begun = time.perf_counter()
        await asyncio.gather(*(post(session) for _ in range(_CONCURRENCY)))
        return count / (time.perf_counter() - begun)


def _p99(sorted_values: Sequence[float]) -> float:
    return sorted_values[int(len(sorted_values) * 0.99)]


@asynccontextmanager
async def _receiving() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.webhook_receiver", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def _database(rig: Rig) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(rig.owner_url), DatabaseSettings(pool_size=4), application="benchmark")
    try:
        yield Sessions(engine)
    finally:
        await engine.dispose()
