"""The client against an API that misbehaves."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from app.cli.client import Api, open_api
from app.cli.errors import CommandFailed
from app.local.ports import LOOPBACK, free_port
from tests.app.cli.jobs_data import JOB_ID, job_data

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def api_that(answers: Handler) -> AsyncIterator[Api]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answers)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        async with open_api(f"http://{LOOPBACK}:{port}/", "key", "workspace") as api:
            yield api
    finally:
        await runner.cleanup()


def event(kind: str, number: int, status: str) -> bytes:
    return f"event: {kind}\nid: {number}\ndata: {json.dumps(job_data(status))}\n\n".encode()


async def test_a_watch_whose_connection_is_cut_goes_on_where_it_was():
    heard: list[str | None] = []

    async def answers(request: web.Request) -> web.StreamResponse:
        heard.append(request.headers.get("Last-Event-ID"))
        stream = web.StreamResponse()
        await stream.prepare(request)
        if len(heard) == 1:
            await stream.write(event("progress", 1, "running") + b": keep-alive\n\nevent: prog")
            assert request.transport is not None
            request.transport.abort()
        else:
            await stream.write(event("done", 2, "completed"))
        return stream

    async with api_that(answers) as api:
        assert [job.status async for job in api.watch(JOB_ID)] == ["running", "completed"]
    assert heard == [None, "1"]


async def test_a_watch_outlives_an_api_that_is_away_for_a_moment():
    calls = 0

    async def answers(_: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        if calls == 1:
            return web.Response(status=503, text="starting")
        return web.Response(body=event("done", 1, "completed"))

    async with api_that(answers) as api:
        assert [job.status async for job in api.watch(JOB_ID)] == ["completed"]


async def test_a_refusal_is_told_in_one_line_with_its_first_details():
    details = [{"field": f"row {n}, column domain", "message": f"wrong\n{n}"} for n in range(1, 9)]

    async def answers(_: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"success": False, "error": {"code": "x", "message": "Rows are wrong.", "details": details}}, status=422
        )

    async with api_that(answers) as api:
        with pytest.raises(CommandFailed) as refused:
            await api.job(JOB_ID)
    said = str(refused.value)
    assert said.startswith("Rows are wrong. row 1, column domain: wrong 1; row 2")
    assert said.endswith("row 5, column domain: wrong 5; and 3 more")


async def test_an_answer_that_is_not_of_the_api_is_told_as_such():
    async def answers(_: web.Request) -> web.StreamResponse:
        return web.Response(status=502, text="<html>Bad Gateway</html>")

    async with api_that(answers) as api:
        with pytest.raises(CommandFailed, match="status 502"):
            await api.jobs(limit=1)


async def test_a_result_that_breaks_off_is_a_failure():
    async def answers(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(b"domain\n")
        assert request.transport is not None
        request.transport.abort()
        return stream

    async with api_that(answers) as api:
        with pytest.raises(CommandFailed):
            async for _ in api.export(JOB_ID, "csv"):
                pass
