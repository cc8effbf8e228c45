"""The circuits of this process and those of all others: one connection listens, one loop stores."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db import Session, Sessions, follow, new_id
from app.errors import Unavailable
from app.providers import circuit_rows
from app.providers.circuit import Circuit, Unsaved
from app.providers.circuit_rows import CircuitRow
from app.providers.ports import CircuitChange

log = structlog.get_logger(__name__)

# How long a call that would be the probe waits to hear whether it may.
_LEASE_PATIENCE_SECONDS = 2.0
_RETRY_SECONDS = 1.0
# So often it is looked anyway: a connection that is dead on the way looks alive from here.
_LOOK_SECONDS = 5.0

Told = Callable[[Session, CircuitChange], Awaitable[None]]


async def nobody(session: Session, change: CircuitChange) -> None:
    """For those who need not hear of changes."""


class SharedCircuits:
    """Stores each change of a circuit at once, and adopts those of other processes and of operators within
    milliseconds. Without a database each process decides alone; what it decided is stored when the database is back,
    unless others have been faster.

    `told` is called in the transaction that stores a change, exactly once for it in all processes. `sessions` and
    `engine` may be of any role that it can work with.
    """

    def __init__(self, sessions: Sessions, engine: AsyncEngine, told: Told = nobody) -> None:
        self._sessions = sessions
        self._engine = engine
        self._told = told
        self._me = new_id()
        self._circuits: dict[str, Circuit] = {}
        self._to_free: set[str] = set()
        # What this process writes keeps its order: a probe is not taken of a circuit whose opening is not stored yet.
        self._writing = asyncio.Lock()
        self._due = asyncio.Event()

    def add(self, circuit: Circuit) -> None:
        """Keep this one in step, from `restore` on."""
        self._circuits[circuit.provider] = circuit

    async def restore(self) -> None:
        """Before the first call: a circuit that was open when the processes ended is still open.

        Raises Unavailable without a database.
        """
        async with self._sessions.unscoped() as session:
            await circuit_rows.ensure(session, self._circuits.keys())
        await self._look()

    async def run(self) -> None:
        """Store and listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._store())

    async def lease(self, circuit: Circuit) -> CircuitRow:
        """Ask for the one probe of the cluster: the circuit as it is stored then, `is_ours` where it was granted.

        Raises Unavailable.
        """
        try:
            async with asyncio.timeout(_LEASE_PATIENCE_SECONDS), self._writing:
                if circuit.unsaved is not None:
                    await self._save(circuit, circuit.unsaved)
                # The one that this process gives back it may as well keep.
                self._to_free.discard(circuit.provider)
                return await self._lease(circuit)
        except TimeoutError:
            # It may have been granted all the same.
            self.free(circuit)
            raise Unavailable("The database is slow; try again.", retry_after=1) from None

    def free(self, circuit: Circuit) -> None:
        """Have the probe given back, without a verdict."""
        self._to_free.add(circuit.provider)
        self._due.set()

    def save(self) -> None:
        """Have what is `unsaved` stored."""
        self._due.set()

    async def _store(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            try:
                await self._free_all()
                await self._save_all()
                await self._look()
            except Unavailable as error:
                log.warning("circuits not stored", error=error.message)
                self._due.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def _lease(self, circuit: Circuit) -> CircuitRow:
        async with self._sessions.unscoped() as session:
            row = await circuit_rows.lease(session, circuit.provider, self._me, seconds=circuit.lease_seconds)
            if row is None:
                return await circuit_rows.read_one(session, circuit.provider, self._me)
            await self._told(session, row.change())
            return row

    async def _free_all(self) -> None:
        async with self._writing:
            while self._to_free:
                provider = next(iter(self._to_free))
                async with self._sessions.unscoped() as session:
                    row = await circuit_rows.free(session, provider, self._me)
                self._to_free.discard(provider)
                if row is not None:
                    self._circuits[provider].adopt(row)

    async def _save_all(self) -> None:
        for circuit in self._circuits.values():
            async with self._writing:
                if circuit.unsaved is not None:
                    await self._save(circuit, circuit.unsaved)

    async def _save(self, circuit: Circuit, unsaved: Unsaved) -> None:
        async with self._sessions.unscoped() as session:
            # While a connection was waited for a newer change may have been adopted, and with it its version.
            if circuit.unsaved is not unsaved:
                return
            row = await circuit_rows.store(
                session,
                circuit.provider,
                circuit.version,
                unsaved.state,
                unsaved.cause,
                opens_in=circuit.seconds_until(unsaved.opens_until),
            )
            if row is not None:
                await self._told(session, row.change())
            else:
                newer = await circuit_rows.read_one(session, circuit.provider, self._me)
        if row is not None:
            circuit.saved(unsaved, row)
        else:
            circuit.adopt(newer)

    async def _listen(self) -> None:
        async def heard(_: str) -> None:
            await self._look()

        await follow(self._engine, circuit_rows.CHANNEL, heard, retry_seconds=_RETRY_SECONDS)

    async def _look(self) -> None:
        async with self._sessions.unscoped() as session:
            rows = await circuit_rows.read(session, self._me)
        for row in rows:
            if row.provider in self._circuits:
                self._circuits[row.provider].adopt(row)
        for row in rows:
            if not row.is_announced:
                await self._announce(row.provider)

    async def _announce(self, provider: str) -> None:
        async with self._sessions.unscoped() as session:
            row = await circuit_rows.announce(session, provider)
            if row is not None:
                await self._told(session, row.change())
