"""Processes that share their circuits: each with connections, clocks and a circuit of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pydantic import SecretStr
from sqlalchemy import text

from app.db import Session, Sessions, create_engine
from app.provider_settings import BreakerSettings
from app.providers import circuit_rows
from app.providers.circuit import Circuit
from app.providers.circuit_rows import CircuitRow, Hand
from app.providers.circuits import SharedCircuits, Told
from app.providers.errors import Outage, ProviderError
from app.providers.ports import CircuitChange
from app.settings import DatabaseSettings
from tests.providers.stubs import Clock
from tests.servers import Database

PROVIDER = "vendor"
RESET_SECONDS = 30.0
SETTINGS = BreakerSettings(fail_max=5, min_keys=5, reset_seconds=RESET_SECONDS)


class Process:
    """One worker process as far as its circuit goes."""

    def __init__(self, sessions: Sessions, shared: SharedCircuits) -> None:
        self.sessions = sessions
        self.shared = shared
        self.clock = Clock()
        self.wall = Clock(1_700_000_000.0)
        self.circuit = Circuit(
            PROVIDER, SETTINGS, shared=shared, call_seconds=10, clock=self.clock, wall_clock=self.wall
        )
        shared.add(self.circuit)
        self._running: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        return self.circuit.view().state

    def start(self) -> None:
        self._running = asyncio.create_task(self.shared.run())

    async def stop(self) -> None:
        """End what runs beside the calls, as a process that stands still does."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def call(self, key: str = "a key", error: ProviderError | None = None) -> None:
        """One call that is answered, or fails with `error`; raises CircuitOpen where it is not made."""
        self.circuit.check()
        admitted = self.circuit.admit(key) if self.circuit.is_closed else await self.circuit.probe(key)
        try:
            with admitted:
                if error is not None:
                    raise error
        except ProviderError as raised:
            if raised is not error:
                raise

    async def fail(self) -> None:
        """Five keys whose calls fail."""
        for key in range(5):
            await self.call(str(key), Outage(PROVIDER, "connection refused"))

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.wall.now += seconds


class Cluster:
    """All processes on one database, and what they were told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.processes: list[Process] = []
        self.changes: list[CircuitChange] = []

    async def told(self, session: Session, change: CircuitChange) -> None:
        await session.execute(text("SELECT 1"))
        self.changes.append(change)

    @asynccontextmanager
    async def process(self, told: Told | None = None, *, starts: bool = True) -> AsyncIterator[Process]:
        """A process that has read what is stored, and keeps in step unless it does not `starts`."""
        engine = create_engine(
            SecretStr(self.database.platform_url), DatabaseSettings(pool_size=4), application="tests"
        )
        process = Process(Sessions(engine), SharedCircuits(Sessions(engine), engine, told or self.told))
        self.processes.append(process)
        try:
            await process.shared.restore()
            if starts:
                process.start()
            yield process
        finally:
            self.processes.remove(process)
            await process.stop()
            await engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Of an operator, or of time passing in the database."""
        engine = create_engine(SecretStr(self.database.app_url), DatabaseSettings(pool_size=1), application="tests")
        try:
            async with Sessions(engine).unscoped() as session:
                yield session
        finally:
            await engine.dispose()

    async def stored(self) -> CircuitRow:
        async with self.transaction() as session:
            return (await circuit_rows.read(session))[0]

    async def steer(self, hand: Hand) -> None:
        async with self.transaction() as session:
            await circuit_rows.steer(session, PROVIDER, hand, "Maintenance")

    async def pass_time(self, seconds: float) -> None:
        """Let time pass in the database and in all processes."""
        async with self.transaction() as session:
            await session.execute(
                text(
                    "UPDATE provider_health SET opens_until = opens_until - make_interval(secs => :seconds),"
                    " probe_until = probe_until - make_interval(secs => :seconds)"
                ),
                {"seconds": seconds},
            )
        for process in self.processes:
            process.pass_time(seconds)

    async def all_are(self, state: str) -> None:
        await eventually(lambda: all(process.state == state for process in self.processes))

    async def is_stored(self, state: str) -> CircuitRow:
        return await found(self.stored, lambda row: row.state == state)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something holds; five seconds are the patience."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def found(look: Callable[[], Awaitable[CircuitRow]], is_it: Callable[[CircuitRow], bool]) -> CircuitRow:
    """Look until what is wanted is there; five seconds are the patience."""
    async with asyncio.timeout(60):
        while not is_it(row := await look()):
            await asyncio.sleep(0.005)
    return row
