"""DNS on the wire: UDP, and TCP with a length before each message (RFC 1035, sections 4.2.1 and 4.2.2)."""

import asyncio
from typing import Any

from app.sandbox.dns import Query, parse_query, reply
from app.sandbox.emulator import Fate
from app.sandbox.station import Station

UDP_LIMIT = 512
"""Bytes of a datagram without EDNS, which this resolver does not speak."""


class DatagramResolver(asyncio.DatagramProtocol):
    """DNS over UDP. A dropped and a withheld answer look the same here: silence."""

    def __init__(self, station: Station[Query]) -> None:
        self._station = station
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to answer."""
        self._transport = transport  # type: ignore[assignment] # a datagram endpoint gives no other

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """A query, or noise."""
        query = parse_query(data)
        if query is None or self._transport is None:
            return
        answer, delay = self._station.receive(query)
        if answer.fate is not Fate.SENT:
            return
        message = reply(query, answer, limit=UDP_LIMIT)
        if delay:
            self._loop.call_later(delay, self._send, message, addr)
        else:
            self._transport.sendto(message, addr)

    def _send(self, message: bytes, addr: tuple[str | Any, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(message, addr)


class StreamResolver(asyncio.Protocol):
    """DNS over TCP. Answers may overtake each other, as RFC 7766 allows."""

    def __init__(self, station: Station[Query], connections: set[asyncio.Transport]) -> None:
        self._station = station
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = transport  # type: ignore[assignment] # a stream server gives no other
        self._connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The client is gone."""
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Some bytes of queries."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 2 and len(buffer) >= (size := int.from_bytes(buffer[:2], "big")) + 2:
            message = bytes(buffer[2 : size + 2])
            del buffer[: size + 2]
            self._receive(message)

    def _receive(self, message: bytes) -> None:
        query = parse_query(message)
        if query is None:
            return self._close()
        answer, delay = self._station.receive(query)
        if answer.fate is Fate.DROPPED:
            self._loop.call_later(delay, self._close)
        elif answer.fate is Fate.SENT:
            self._loop.call_later(delay, self._send, reply(query, answer))
        return None

    def _send(self, message: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(len(message).to_bytes(2, "big") + message)

    def _close(self) -> None:
        self._transport.close()
