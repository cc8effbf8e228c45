"""PostgreSQL: engines, and transactions that are opened *for* a workspace.

``sessions`` in a signature means: I open a transaction. ``session`` means: I join yours.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias
from uuid import UUID

import orjson
import psycopg
import structlog
import uuid_utils.compat
from pydantic import SecretStr
from sqlalchemy import MetaData, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.errors import Unavailable
from app.readers import Parameters, Readers
from app.settings import DatabaseSettings

log = structlog.get_logger(__name__)

# One transaction on one connection. Plain rows, no identity map: the hot paths of this product move batches.
Session: TypeAlias = AsyncConnection

# Every table of every domain registers here; app/tables.py imports them all for the migrations.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

_SET_WORKSPACE = text("SELECT set_config('holdfast.workspace_id', :workspace_id, true)")

# OFFSET 0 keeps the planner from merging the parts, and the lateral references make it run each after the one before:
# first who calls, then the setting, then what the policies show to that.
_READ_OWN = """
    SELECT who.*, found.*
    FROM ({} OFFSET 0) AS who
         CROSS JOIN LATERAL (
             SELECT nullif(
                        set_config('holdfast.workspace_id', coalesce(who.own_workspace_id::text, ''), true), ''
                    )::uuid AS workspace_id
             OFFSET 0
         ) AS own
         LEFT JOIN LATERAL ({} OFFSET 0) AS found ON true
"""


@dataclass(frozen=True, slots=True)
class OwnRead:
    """A SELECT that sees rows of one workspace only (row-level security).

    `query` has placeholders as ``%(name)s`` and compares with ``own.workspace_id``, by which it is executed after the
    workspace was set.
    """

    query: str
    parameters: Parameters

    def __post_init__(self) -> None:
        if "own.workspace_id" not in self.query:
            raise ValueError("the query does not mention own.workspace_id")


_SET_USER = text("SELECT set_config('holdfast.user_id', :user_id, true)")


def new_id() -> UUID:
    """A UUIDv7, made here because production may be PostgreSQL 15."""
    return uuid_utils.compat.uuid7()


def create_engine(url: SecretStr, settings: DatabaseSettings, *, application: str) -> AsyncEngine:
    """An engine of its own pool. Nothing connects yet.

    `application` is what operators see in pg_stat_activity.
    """
    milliseconds = int(settings.statement_timeout_seconds * 1000)
    return create_async_engine(
        make_url(url.get_secret_value()).set(drivername="postgresql+psycopg"),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=30,
        # Values are tenants' data: an error's text must not carry them into a log.
        hide_parameters=True,
        json_deserializer=orjson.loads,
        connect_args={
            "application_name": f"holdfast {application}",
            "connect_timeout": 5,
            "options": f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout=60s"
            " -c timezone=UTC",
        },
    )


async def enter_workspace(session: Session, workspace_id: UUID) -> None:
    """From here on the transaction sees and writes rows of this workspace, and no longer those of another."""
    await session.execute(_SET_WORKSPACE, {"workspace_id": str(workspace_id)})


class Sessions:
    """Opens transactions on one engine: commit at the end of the block, rollback on an exception."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._readers = Readers(engine)

    async def read(self, query: str, parameters: Parameters) -> list[dict[str, Any]]:
        """The rows of one SELECT that names no workspace, in one round trip.

        `query` has placeholders as ``%(name)s``. Raises Unavailable when the database cannot be reached.
        """
        return await self._readers.rows(query, parameters)

    async def read_own(self, workspace_id: UUID, own: OwnRead) -> list[dict[str, Any]]:
        """The rows that `own` finds in this workspace, in one round trip.

        Raises Unavailable when the database cannot be reached.
        """
        query = _READ_OWN.format("SELECT %(own)s AS own_workspace_id", own.query)
        return await self._readers.rows(query, {**own.parameters, "own": str(workspace_id)})

    async def read_as(self, who: str, parameters: Parameters, own: OwnRead) -> list[dict[str, Any]]:
        """The rows that `own` finds in the workspace of a caller, and who that is, in one round trip.

        `who` is a SELECT of at most one caller and of the ``own_workspace_id`` that may be read; where that is NULL or
        `own` finds nothing, the columns of `own` are NULL. Raises Unavailable when the database cannot be reached.
        """
        return await self._readers.rows(_READ_OWN.format(who, own.query), {**parameters, **own.parameters})

    @asynccontextmanager
    async def for_workspace(self, workspace_id: UUID) -> AsyncIterator[Session]:
        """A transaction that sees and writes rows of this workspace only (row-level security).

        Raises Unavailable when the database cannot be reached or went away.
        """
        async with self.unscoped() as session:
            await enter_workspace(session, workspace_id)
            yield session

    @asynccontextmanager
    async def for_user(self, user_id: UUID) -> AsyncIterator[Session]:
        """A transaction that sees and writes what belongs to this person, and nothing of any workspace.

        Raises Unavailable when the database cannot be reached or went away.
        """
        async with self.unscoped() as session:
            await session.execute(_SET_USER, {"user_id": str(user_id)})
            yield session

    @asynccontextmanager
    async def for_member(self, workspace_id: UUID, user_id: UUID) -> AsyncIterator[Session]:
        """A transaction that sees and writes what belongs to this person and rows of this workspace.

        Whether the person has a part in the workspace is the caller's to know. Raises Unavailable when the database
        cannot be reached or went away.
        """
        async with self.for_user(user_id) as session:
            await enter_workspace(session, workspace_id)
            yield session

    @asynccontextmanager
    async def unscoped(self) -> AsyncIterator[Session]:
        """A transaction that names no workspace: of tenant tables it sees nothing, unless the role is the platform's.

        Raises Unavailable when the database cannot be reached or went away.
        """
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (OperationalError, PoolTimeout) as error:
            raise Unavailable("The database is not available; try again.", retry_after=1) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise Unavailable("The database connection was lost; try again.", retry_after=1) from error
            raise


async def in_batches(
    sessions: "Sessions", work: Callable[[Session], Awaitable[int]], *, batch: int, max_batches: int
) -> int:
    """Do `work` on up to `batch` rows a transaction, until one finds fewer or `max_batches` are done; on how many."""
    done = 0
    for _ in range(max_batches):
        async with sessions.unscoped() as session:
            now = await work(session)
        done += now
        if now < batch:
            break
    return done


async def follow(
    engine: AsyncEngine, channel: str, heard: Callable[[str], Awaitable[None]], *, retry_seconds: float = 1.0
) -> NoReturn:
    """Call `heard` with each payload sent to a channel, and with an empty one at the beginning and after each time in
    which the connection was lost: what was sent meanwhile is to be looked for."""
    while True:
        try:
            async with aclosing(notifications(engine, channel)) as news:
                async for payload in news:
                    await heard(payload)
        except Unavailable as error:
            log.warning("notifications are not heard", channel=channel, error=error.message)
        await asyncio.sleep(retry_seconds)


async def notifications(engine: AsyncEngine, channel: str) -> AsyncGenerator[str, None]:
    """The payloads sent to a channel from now on, on a connection of its own; begins with one empty payload, so that
    whatever came before is looked at once.

    Raises Unavailable when the connection is lost: what was sent meanwhile is lost too, so look again.
    """
    try:
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            if driver is None:
                raise Unavailable("The database connection was lost; try again.", retry_after=1)
            try:
                await driver.set_autocommit(True)
                await driver.execute(f"LISTEN {channel}")
                yield ""
                async for notification in driver.notifies():
                    yield notification.payload
            finally:
                # The pool would hand it on as it is: on one that commits each statement no workspace is ever set.
                await connection.invalidate()
    except (OperationalError, psycopg.OperationalError) as error:
        raise Unavailable("The database connection was lost; try again.", retry_after=1) from error
