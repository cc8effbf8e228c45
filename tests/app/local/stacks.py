"""Stacks of real servers with small programs in the place of ours. As a program: such a stack in the foreground.

python -m tests.app.local.stacks DIR
"""

import asyncio
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from app.local.command import serve
from app.local.environment import Addresses
from app.local.errors import StackError
from app.local.parts import Parts
from app.local.seed import Seeded
from app.local.stack import RunningStack, StackOptions, up
from app.local.state import LocalState
from app.temporal import run_async

_PROGRAM = (sys.executable, str(Path(__file__).with_name("program.py")))


async def prepare(addresses: Addresses) -> Seeded:
    """In the place of migrations and seed: the runtime roles, a table, and a key at the first time only."""
    return await asyncio.to_thread(_prepare, addresses)


def _prepare(addresses: Addresses) -> Seeded:
    with psycopg.connect(libpq(addresses.owner_url)) as connection:
        first = connection.execute("SELECT to_regclass('marks')").fetchone() == (None,)
        if first:
            connection.execute("CREATE TABLE marks (mark text)")
            for url in (make_url(addresses.app_url), make_url(addresses.platform_url)):
                role, password = sql.Identifier(url.username or ""), sql.Literal(url.password or "")
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
                connection.execute(sql.SQL("GRANT ALL ON marks TO {}").format(role))
    return Seeded("the-workspace", "the-key" if first else None)


def libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


PARTS = Parts(api=(*_PROGRAM, "api"), worker=(*_PROGRAM, "worker"), sandbox=(*_PROGRAM, "sandbox"), prepare=prepare)


@asynccontextmanager
async def stack_in(
    data_dir: Path, *, say: Callable[[str], None] = lambda _: None, options: StackOptions | None = None
) -> AsyncIterator[RunningStack]:
    """A stack for the length of the block."""
    stack = await up(replace(options or StackOptions(), data_dir=data_dir), say=say, parts=PARTS)
    try:
        yield stack
    finally:
        await stack.stop()


def mark(state: LocalState, text: str) -> None:
    """Leave something in the database."""
    with psycopg.connect(libpq(state.database_url)) as connection:
        connection.execute("INSERT INTO marks VALUES (%s)", (text,))


def marks(state: LocalState) -> list[str]:
    with psycopg.connect(libpq(state.database_url)) as connection:
        return [text for (text,) in connection.execute("SELECT mark FROM marks")]


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own, on loopback
        content: bytes = answer.read()
    return content


def main() -> None:
    try:
        run_async(serve(StackOptions(Path(sys.argv[1])), parts=PARTS))
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
