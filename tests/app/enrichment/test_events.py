"""The progress of a job as server-sent events, from a real server: what streams must be seen to stream."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.db import Sessions, create_engine
from app.enrichment import progress
from app.enrichment.progress import Watches
from app.enrichment.repository import Job
from app.enrichment.service import get_job
from app.errors import Unavailable
from app.local.ports import LOOPBACK
from app.main import create_app
from app.providers.ports import Found
from app.settings import DatabaseSettings
from tests.api import serving, settings_for
from tests.app.enrichment.jobs_api import JobsApi, jobs_api
from tests.fakes import FakeSource
from tests.servers import Database

BODY = {"entity": "company", "fields": ["city"], "providers": ["website"], "records": [{"domain": "acme.com"}]}


@dataclass
class Event:
    """One server-sent event, and when it came."""

    kind: str = ""
    id: str = ""
    data: Any = None
    at: float = field(default_factory=time.monotonic)


@asynccontextmanager
async def listening(
    api: JobsApi, port: int, job_id: str, last_event_id: str | None = None
) -> AsyncIterator[AsyncIterator[Event]]:
    headers = api.tenant.headers | ({"Last-Event-ID": last_event_id} if last_event_id else {})
    url = f"http://{LOOPBACK}:{port}{api.path}/{job_id}/events"
    async with httpx.AsyncClient(timeout=10) as client, client.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield events_of(answer)


async def events_of(answer: httpx.Response) -> AsyncIterator[Event]:
    event = Event()
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        match name:
            case "event":
                event = Event(kind=value)
            case "id":
                event.id = value
            case "data":
                event.data = json.loads(value)
            case "":
                if event.kind:
                    yield event
                event = Event()


@asynccontextmanager
async def served(database: Database) -> AsyncIterator[tuple[JobsApi, int]]:
    async with jobs_api(database) as api, serving(create_app(settings_for(database))) as port:
        yield api, port


def found() -> FakeSource:
    return FakeSource("website", lambda _: Found({"city": "Oslo"}), fields=("city",), credit_cost=1)


async def test_a_change_is_told_as_progress_and_the_end_as_one_done(shared_database: Database):
    async with served(shared_database) as (api, port):
        job = await api.started(BODY)
        async with listening(api, port, job["id"]) as events:
            first = await anext(events)
            await api.work(job["id"], found(), end=False)
            second = await anext(events)
            await api.work(job["id"])
            rest = [event async for event in events]
        ended = (await api.get(f"/{job['id']}")).json()["data"]
    assert (first.kind, first.data) == ("progress", job)
    assert (second.kind, second.data["counts"]["matched"]) == ("progress", 1)
    assert second.at - first.at > 0.9
    assert [(event.kind, event.data) for event in rest] == [("done", ended)]
    assert len({first.id, second.id, rest[0].id}) == 3


async def test_a_client_that_comes_back_hears_of_what_it_has_not_heard(shared_database: Database):
    async with served(shared_database) as (api, port):
        job = await api.started(BODY)
        async with listening(api, port, job["id"]) as events:
            first = await anext(events)
        async with listening(api, port, job["id"], first.id) as events:
            await api.post(f"/{job['id']}/cancel")
            await api.work(job["id"])
            second = await anext(events)
        assert (second.kind, second.data["status"]) == ("done", "cancelled")
        answer = await api.client.get(
            f"{api.path}/{job['id']}/events", headers=api.tenant.headers | {"Last-Event-ID": second.id}
        )
    # What tells an EventSource to stay away.
    assert answer.status_code == 204


async def test_many_who_watch_one_job_read_it_once_a_second(shared_database: Database):
    async with jobs_api(shared_database) as api:
        job = await get_job(api.sessions, api.tenant.workspace_id, (await api.started(BODY))["id"])
        watches = Watches(api.sessions)
        held = [watches.of(api.tenant.workspace_id, job.id) for _ in range(20)]
        read = await asyncio.gather(*(watch.job() for watch in held))
        assert len({id(watch) for watch in held}) == 1
        assert len({id(each) for each in read}) == 1


async def test_a_client_that_waits_long_is_kept_alive_also_while_the_database_is_away(shared_database: Database):
    engine = create_engine(SecretStr(f"postgresql://nobody@{LOOPBACK}:1/none"), DatabaseSettings(), application="tests")
    async with jobs_api(shared_database) as api:
        job_id = (await api.started(BODY))["id"]
        watch = Watches(Sessions(engine)).of(api.tenant.workspace_id, job_id)
        with pytest.raises(Unavailable):
            await watch.job()
        stream = progress.events(watch, _render, None, every_seconds=0.01, keep_alive_seconds=0.02)
        assert [await anext(stream), await anext(stream)] == [b": keep-alive\n\n"] * 2
        await stream.aclose()
    await engine.dispose()


def _render(job: Job) -> bytes:
    return str(job.id).encode()
