"""Whether a server is ready: one bounded question each."""

import asyncio

from app.errors import Unavailable
from app.local.ports import LOOPBACK
from app.settings import TemporalSettings
from app.temporal import bootstrap, connect

_TIMEOUT_SECONDS = 5.0


async def answers_ok(port: int, path: str) -> bool:
    """Whether GET `path` on loopback is answered with 200."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                status_line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status_line.split(b" ", 2)[1:2] == [b"200"]


async def temporal_is_bootstrapped(address: str) -> bool:
    """Whether Temporal answers. From then on its namespace has our search attributes and retention: the server itself
    starts with a retention of one day, again after its database was lost."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await bootstrap(await connect(TemporalSettings(address=address), lazy=False))
    except (Unavailable, TimeoutError):
        return False
    return True
