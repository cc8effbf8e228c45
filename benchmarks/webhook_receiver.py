"""A receiver of webhooks as a process of its own, as cheap as one can be: it prints its port, and answers every POST
with 204, but for those to ``/hanging``, which it never answers.

    python -m benchmarks.webhook_receiver
"""

import asyncio
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH = b"content-length:"


class Receiver(asyncio.Protocol):
    """Reads as much of HTTP as it takes to know where a request ends."""

    def __init__(self) -> None:
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].lower()
            at = head.index(_LENGTH) + len(_LENGTH)
            whole = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
            if len(self._read) < whole:
                return
            self._read = self._read[whole:]
            if not head.startswith(b"post /hanging"):
                self._transport.write(_ANSWER)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
