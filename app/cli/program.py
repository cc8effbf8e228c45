"""Commands that do their work in a process of their own: what it imports would slow every command down."""

import asyncio
import os
import sys

from app.local.program import with_our_packages


def argv(module: str, *arguments: str) -> list[str]:
    """How to start this module of ours, as a program. `-P`: what lies around in the user's directory is not ours."""
    return [sys.executable, "-P", "-m", module, *arguments]


async def run_program(module: str, *arguments: str, **variables: str) -> int:
    """Run it with `variables` beside those of this process, and end it where this is cancelled; its exit code."""
    process = await asyncio.create_subprocess_exec(
        *argv(module, *arguments), env=with_our_packages({**os.environ, **variables})
    )
    try:
        return await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
