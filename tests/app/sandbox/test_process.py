"""`python -m app.sandbox` as its own process."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from app.sandbox.server import Sandbox

ROOT = Path(__file__).parents[3]


async def start(*arguments: str):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.sandbox", *arguments, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_its_ports_serves_and_stops_in_order(number: signal.Signals):
    process = await start("--port", "0", "--dns-port", "0", "--seed", "3")
    ports = json.loads(await asyncio.wait_for(process.stdout.readline(), 5))
    assert ports.keys() == {"http_port", "dns_port"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{ports['http_port']}") as session:
        async with session.get("/_health") as answer:
            assert answer.status == 200
        # A connection that is kept open must not hold up the end.
        process.send_signal(number)
        rest, errors = await asyncio.wait_for(process.communicate(), 5)
    assert (process.returncode, rest, errors) == (0, b"", b"")


async def test_a_taken_port_ends_it_with_one_line(sandbox: Sandbox):
    process = await start("--port", str(sandbox.http_port))
    said, errors = await asyncio.wait_for(process.communicate(), 5)
    assert (process.returncode, said) == (1, b"")
    assert errors.count(b"\n") == 1
    assert b"cannot listen" in errors
