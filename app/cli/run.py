"""Running a command's coroutine so that a signal ends it in order."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from app.cli.errors import Interrupted

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` that cancels `work` at the first SIGINT, SIGTERM or SIGHUP, and lets it clean up to its end.

    Raises Interrupted then.
    """
    return asyncio.run(_interruptible(work))


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def stop(number: int) -> None:
        # Only the first: a second Ctrl-C must not interrupt the clean-up.
        if not received:
            task.cancel()
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise Interrupted(received[0]) from None
        raise
