"""Programs of ours, with the variables that a test names."""

import io
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout

import pytest


def run_program(command: Sequence[str], *, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run it as a process of its own, which has of the variables with our prefix those of `environment` alone."""
    return subprocess.run(
        command,
        env={**_others(), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_here(
    main: Callable[[], None], *arguments: str, environment: Mapping[str, str], stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """What `run_program` would return of a program with this `main`. It takes milliseconds, where a process takes two
    seconds to import what a program needs."""
    output, errors = io.StringIO(), io.StringIO()
    level = logging.getLogger().level
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        for name in os.environ.keys() - _others().keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", [main.__module__, *arguments])
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        # On a thread: the test may run in an event loop, and the program starts one.
        with ThreadPoolExecutor(1) as thread:
            ended = thread.submit(main).exception()
    logging.getLogger().setLevel(level)
    code: object = 0
    if isinstance(ended, SystemExit):
        code = ended.code or 0
    elif ended is not None:
        code = "".join(traceback.format_exception(ended))
    if isinstance(code, str):
        errors.write(code + "\n")
        code = 1
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())


def _others() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
