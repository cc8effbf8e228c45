"""Reads of one statement in one round trip, for what every request asks and what clients poll.

A transaction costs three round trips more, and SQLAlchemy as much again. These connections belong to the driver: each
statement is prepared once, and is a transaction of its own.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeAlias
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from app.deadline import Deadline
from app.errors import Unavailable

Parameters: TypeAlias = Mapping[str, str | bytes | UUID | None]

# Of a connection the one cursor, which outlives its statements: to make one costs as much as to send a statement.
_Cursor: TypeAlias = psycopg.AsyncCursor[tuple[Any, ...]]

# As long as a transaction waits for a connection of the engine.
_WAIT_SECONDS = 30
_AWAY = "The database is not available; try again."


class Readers:
    """As many connections as the engine may have, to the same database. They end with the engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._idle: list[_Cursor] = []
        # By statement: psycopg's rows with names ask for them with every answer.
        self._names: dict[str, list[str]] = {}
        self._waits = Deadline(_WAIT_SECONDS)
        self._places = asyncio.Semaphore(engine.pool.size())  # type: ignore[attr-defined]
        event.listen(engine.sync_engine, "engine_disposed", self._close_idle)

    async def rows(self, query: str, parameters: Parameters) -> list[dict[str, Any]]:
        """The rows of one SELECT. Raises Unavailable when the database cannot be reached."""
        if self._places.locked():
            await self._wait()
        else:
            await self._places.acquire()
        try:
            return await self._rows(query, parameters)
        except psycopg.OperationalError as error:
            raise Unavailable(_AWAY, retry_after=1) from error
        finally:
            self._places.release()

    async def _wait(self) -> None:
        try:
            with self._waits.running():
                await self._places.acquire()
        except TimeoutError as error:
            raise Unavailable(_AWAY, retry_after=1) from error

    async def _rows(self, query: str, parameters: Parameters) -> list[dict[str, Any]]:
        if self._idle:
            cursor = self._idle.pop()
            try:
                return await self._on(cursor, query, parameters)
            except psycopg.OperationalError:
                if not cursor.connection.closed:
                    raise
                # The server went away meanwhile; so it did for the others. A read may be asked twice.
                self._close_idle()
        return await self._on(await self._connect(), query, parameters)

    async def _on(self, cursor: _Cursor, query: str, parameters: Parameters) -> list[dict[str, Any]]:
        pgconn = cursor.connection.pgconn
        try:
            await cursor.execute(query, parameters)
            names = self._names.get(query)
            if names is None:
                names = self._names[query] = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
        finally:
            # Not so when the server went away, or the request was cancelled in the middle of an answer.
            if pgconn.transaction_status == TransactionStatus.IDLE:
                self._idle.append(cursor)
            else:
                pgconn.finish()

    async def _connect(self) -> _Cursor:
        """A connection as the engine makes them, taken out of its pool."""
        try:
            made = await self._engine.connect()
            pooled = await made.get_raw_connection()
        except (OperationalError, PoolTimeout) as error:
            raise Unavailable(_AWAY, retry_after=1) from error
        connection: psycopg.AsyncConnection[tuple[Any, ...]] = pooled.driver_connection  # type: ignore[assignment]
        pooled.detach()
        connection.prepare_threshold = 0
        await connection.set_autocommit(True)
        return connection.cursor()

    def _close_idle(self, *_: object) -> None:
        for cursor in self._idle:
            cursor.connection.pgconn.finish()
        self._idle.clear()
