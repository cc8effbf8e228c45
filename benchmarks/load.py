"""A load generator: `connections` clients, each sends its next request when the last is answered.

Run by benchmarks/api.py as a process of its own, so that the measured server has its core to itself: takes a `Load` as
JSON on stdin, prints a `Measured` as one line of JSON.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import uvloop


@dataclass(frozen=True, slots=True)
class Load:
    """The request that is sent again and again for `seconds`, and to whom; any answer but `status` is a failure."""

    host: str
    port: int
    request: str
    status: int
    connections: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a `Load`: answers a second, and how long they took."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int
    first_failure: str


class _Client(asyncio.Protocol):
    """One connection. An answer ends where its Content-Length says."""

    def __init__(self, load: Load, until: float, took: list[float], failed: list[bytes]) -> None:
        self._request = load.request.encode()
        self._status = b"HTTP/1.1 %d " % load.status
        self._until = until
        self._took = took
        self._failed = failed
        self._received = b""
        self._sent = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        now = time.perf_counter()
        self._took.append(now - self._sent)
        if not head.startswith(self._status):
            self._failed.append(self._received)
        self._received = b""
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._received or error:
            self._failed.append(f"the connection was lost: {error}".encode())
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def run(load: Load) -> Measured:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    failed: list[bytes] = []
    began = time.perf_counter()
    clients = [_Client(load, began + load.seconds, took, failed) for _ in range(load.connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, load.host, load.port)  # type: ignore[misc]
    async with asyncio.timeout(load.seconds + 30):
        await asyncio.gather(*(client.done for client in clients))
    seconds = time.perf_counter() - began
    took.sort()
    return Measured(
        per_second=len(took) / seconds,
        p50_ms=took[len(took) // 2] * 1000,
        p99_ms=took[len(took) * 99 // 100] * 1000,
        failures=len(failed),
        first_failure=failed[0].decode(errors="replace") if failed else "",
    )


def main() -> None:
    print(json.dumps(asdict(uvloop.run(run(Load(**json.load(sys.stdin)))))))


if __name__ == "__main__":
    main()
