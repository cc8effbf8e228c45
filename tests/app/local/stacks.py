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

from app.local.command import serve
from app.local.errors import StackError
from app.local.parts import Parts
from app.local.stack import RunningStack, StackOptions, up
from app.local.state import LocalState

_PROGRAMS = Path(__file__).with_name("programs")
_SERVER = (sys.executable, str(_PROGRAMS / "server.py"))

PARTS = Parts(
    prepare=(sys.executable, str(_PROGRAMS / "prepare.py")),
    api=(*_SERVER, "api"),
    worker=(*_SERVER, "worker"),
    sandbox=(*_SERVER, "sandbox"),
)


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


def libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


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
        asyncio.run(serve(StackOptions(Path(sys.argv[1])), parts=PARTS))
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
