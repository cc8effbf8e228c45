"""`holdfast …` as people run it: a process of its own, in a directory of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

from app.local.state import LocalState, running

ROOT = Path(__file__).parents[3]
_HOLDFAST = (sys.executable, "-P", "-m", "app.cli.main")
_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")},
    "PYTHONPATH": str(ROOT),
    "PYTHONUNBUFFERED": "1",
}


def holdfast(
    *arguments: str | Path, cwd: Path, variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run it to its end, with `variables` beside those that it has anyhow."""
    return subprocess.run(
        [*_HOLDFAST, *map(str, arguments)],
        cwd=cwd,
        env={**_ENVIRONMENT, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def started(*arguments: str | Path, cwd: Path) -> "Iterator[subprocess.Popen[str]]":
    """Run it for the block at the most."""
    process = subprocess.Popen(
        [*_HOLDFAST, *map(str, arguments)],
        cwd=cwd,
        env=_ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def read_until(process: "subprocess.Popen[str]", word: str) -> str:
    """What it prints up to the line with that word, which is returned."""
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return line
    assert process.stderr is not None
    raise AssertionError(f"{word!r} was never said; {process.stderr.read()}")


def wait_for_stack(data_dir: Path, process: "subprocess.Popen[str]") -> LocalState:
    deadline = time.monotonic() + 60
    while (state := running(data_dir)) is None:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return state


@contextmanager
def slow(state: LocalState, provider: str) -> Iterator[None]:
    """The sandbox's provider takes half a second for each answer."""
    _configure(state, provider, {"latency_ms": 500})
    try:
        yield
    finally:
        _configure(state, provider, {"latency_ms": 0})


def _configure(state: LocalState, provider: str, options: Mapping[str, object]) -> None:
    assert state.sandbox_url is not None
    connection = HTTPConnection(state.sandbox_url.removeprefix("http://"), timeout=5)
    try:
        connection.request("PUT", f"/_options/{provider}", json.dumps(options))
        assert connection.getresponse().status == HTTPStatus.OK
    finally:
        connection.close()


def companies(path: Path, count: int) -> Path:
    """A CSV file of so many companies."""
    path.write_text("domain\n" + "".join(f"company-{n}.com\n" for n in range(count)))
    return path
