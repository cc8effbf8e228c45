"""Whether a server is ready: one bounded question."""

import asyncio

from app.local.ports import LOOPBACK

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
