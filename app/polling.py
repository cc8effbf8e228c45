"""Waiting in a request for what a workflow writes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5


async def until(look: Callable[[], Awaitable[Found]], is_over: Callable[[Found], bool], *, seconds: float) -> Found:
    """What `look` finds once that `is_over`, or as it is after so long. Looks less often the longer it waits, and
    raises what `look` raises."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + seconds, _FIRST_PAUSE_SECONDS
    found = await look()
    while not is_over(found) and (left := deadline - loop.time()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
        found = await look()
    return found
