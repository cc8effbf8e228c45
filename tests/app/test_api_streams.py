"""Answers that are streams, and requests whose client goes away, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse

from app.deps import body_stream
from app.local.ports import LOOPBACK
from app.main import create_app
from tests.api import serving, settings_for
from tests.servers import Database, PostgresServer

router = APIRouter()


@router.get("/broken")
async def broken() -> StreamingResponse:
    async def rows() -> AsyncIterator[bytes]:
        yield b"the first row\n"
        raise ZeroDivisionError

    return StreamingResponse(rows(), media_type="text/csv")


@router.post("/read")
async def read(request: Request) -> int:
    return len([chunk async for chunk in body_stream(request, 1000)])


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
def app(database: Database) -> FastAPI:
    app = create_app(settings_for(database))
    app.include_router(router)
    return app


def lines(capsys: pytest.CaptureFixture[str], event: str) -> list[dict[str, object]]:
    parsed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in parsed if line["event"] == event]


async def test_a_stream_that_breaks_does_not_look_complete(app: FastAPI, capsys: pytest.CaptureFixture[str]):
    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}") as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/broken")
    [failed] = lines(capsys, "request failed")
    assert "ZeroDivisionError" in str(failed["exception"])


async def test_a_client_that_goes_away_in_mid_body_is_no_error_of_ours(
    app: FastAPI, capsys: pytest.CaptureFixture[str]
):
    async with serving(app) as port, asyncio.timeout(30):
        _, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    # The server waits for its requests before it ends.
    [line] = lines(capsys, "request")
    assert line["status"] == 499


async def test_a_request_on_a_kept_connection_inherits_nothing_from_the_one_before(app: FastAPI):
    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}") as client:
        first = await client.get("/nothing", headers={"X-Request-Id": "first"})
        second = await client.get("/nothing")
    assert first.json()["meta"]["request_id"] == "first"
    assert second.json()["meta"]["request_id"] != "first"
