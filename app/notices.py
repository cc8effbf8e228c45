"""What other processes announce by NOTIFY, to whoever in this one waits for it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncEngine

from app.db import follow


class Notices:
    """Listens to a channel from the first time on that somebody expects something there, on one connection however many
    wait."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._listening: dict[str, asyncio.Task[None]] = {}
        self._expected: dict[str, dict[str, set[asyncio.Event]]] = {}

    @contextmanager
    def expected(self, channel: str, payload: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever this was announced, or may have been: once when listening begins, and after
        each time in which the connection was lost. Look before you wait: what was announced earlier is not heard."""
        if channel not in self._listening:
            self._listening[channel] = asyncio.create_task(self._listen(channel))
        heard = asyncio.Event()
        of_channel = self._expected.setdefault(channel, {})
        of_channel.setdefault(payload, set()).add(heard)
        try:
            yield heard
        finally:
            of_channel[payload].remove(heard)
            if not of_channel[payload]:
                del of_channel[payload]

    async def close(self) -> None:
        """Hear nothing any more."""
        for task in self._listening.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _listen(self, channel: str) -> None:
        async def heard(payload: str) -> None:
            of_channel = self._expected.get(channel, {})
            waiting = [of_channel.get(payload, set())] if payload else list(of_channel.values())
            for events in waiting:
                for event in events:
                    event.set()

        await follow(self._engine, channel, heard)
