"""Workers that are killed or stopped in mid-delivery: nothing is lost, and what comes twice is one event."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.app.credentials.sealed import KEYS
from tests.app.webhooks.receiver import Received, Receiver, receiving
from tests.app.webhooks.scene import Scene, opened
from tests.processes import Installation
from tests.servers import Database

EVENTS = 150
SETTINGS = {
    "HOLDFAST_CREDENTIALS__KEYS": json.dumps({"first": KEYS.keys["first"].get_secret_value()}),
    "HOLDFAST_WEBHOOKS__ALLOW_PRIVATE": "true",
}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def scene(database: Database, temporal_server: str) -> AsyncIterator[Scene]:
    async with opened(database, temporal_server) as scene:
        yield scene


def installation(database: Database, temporal: str, logs: Path) -> Installation:
    return Installation(database, temporal, "http://127.0.0.1:1", logs, SETTINGS)


async def slowly(_: Received) -> web.Response:
    await asyncio.sleep(0.02)
    return web.Response()


async def test_a_worker_that_is_killed_in_mid_delivery_loses_nothing(
    database: Database, temporal_server: str, tmp_path: Path, scene: Scene, receiver: Receiver
) -> None:
    receiver.answer = slowly
    await scene.endpoint(receiver.url)
    await scene.tell(*range(EVENTS))
    processes = installation(database, temporal_server, tmp_path)
    with processes.worker() as worker:
        await receiver.until(EVENTS // 3)
        worker.kill()
    before = receiver.counts()
    unnoted = sum(before.values()) - len(await scene.attempts())
    with processes.worker():
        deliveries = await scene.until_ended(seconds=60)

    assert {each["state"] for each in deliveries} == {"delivered"}
    counts = receiver.counts()
    assert len(counts) == EVENTS
    twice = sum(counts.values()) - EVENTS
    assert twice <= unnoted <= 100 + 10, "no more than were sent and not committed"
    assert set(counts.values()) <= {1, 2}


async def test_a_worker_that_was_stopped_and_wakes_when_all_is_done_changes_nothing(
    database: Database, temporal_server: str, tmp_path: Path, scene: Scene, receiver: Receiver
) -> None:
    receiver.answer = slowly
    await scene.endpoint(receiver.url)
    await scene.tell(*range(EVENTS))
    processes = installation(database, temporal_server, tmp_path)
    with processes.worker() as sleeper:
        await receiver.until(EVENTS // 3)
        sleeper.signal(signal.SIGSTOP)
        with processes.worker():
            await scene.until_ended(seconds=60)
            ended = await scene.deliveries()
            made = len(await scene.attempts())
            sleeper.signal(signal.SIGCONT)
            # What it had under way is on record when it finds out.
            await scene.until_attempted(made + 1)

    assert await scene.deliveries() == ended
    assert len(receiver.counts()) == EVENTS
