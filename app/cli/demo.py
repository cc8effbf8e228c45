"""``holdfast demo``: a real CSV through an outage and a killed worker, and then the audit."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import aiohttp
from rich.console import Console

from app.cli.audit import audit_stack
from app.cli.connection import Connection, own_stack
from app.cli.console import new_console
from app.cli.display import clock, display, outcome
from app.cli.errors import CommandFailed
from app.cli.follow import save
from app.cli.job import Job, ProviderProgress
from app.cli.run import run
from app.local.process import end_all, send
from app.local.stack import StackOptions
from app.local.state import DataDirectory, LocalState, running

EXAMPLE = Path(__file__).parents[2] / "examples" / "companies.csv"
# Never one that the user names: it is emptied first.
DIRECTORY = Path(".holdfast") / "demo"

_FIELDS = ["description", "industry", "employee_count", "phone", "linkedin_url", "mail_provider"]
# The sandbox answers so slowly that both blows fall in mid-run: jobs are told of once a second.
_LATENCY_MS = {"website": 100, "dns": 100, "hunter": 300, "apollo": 300}
_OUTAGE_SECONDS = 10
# Calls of hunter after which it goes away, and calls of both that cost most between its return and the kill.
_OUTAGE_AFTER_CALLS = 50
_KILL_AFTER_CALLS = 40
# The default of 30 s would make the recovery, not the outage, the longest part.
_ENVIRONMENT = {"HOLDFAST_PROVIDERS__HUNTER__BREAKER__RESET_SECONDS": "3"}


def demo() -> None:
    """Enrich the example file while a provider goes away for 10 s and the worker is killed, then audit the database.

    Takes about a minute, and a directory of its own that begins empty: .holdfast/demo.
    """
    run(_demo(new_console()))


async def _demo(console: Console) -> None:
    if not EXAMPLE.is_file():
        raise CommandFailed(f"{EXAMPLE} is missing: the demo needs a checkout of the repository.")
    await asyncio.to_thread(_begin_anew, DIRECTORY)
    _set_environment(os.environ)
    async with own_stack(StackOptions(DIRECTORY), console) as connection:
        if connection.stack is None or connection.stack.sandbox_url is None:
            raise CommandFailed("The demo needs the sandbox.")
        async with aiohttp.ClientSession(connection.stack.sandbox_url) as sandbox:
            job = await _enrich(connection, connection.stack, sandbox, console)
        result = DIRECTORY / f"{EXAMPLE.stem}.enriched.csv"
        await save(connection, job.id, result)
        console.print("\nThe audit, from the database:")
        await audit_stack(connection.stack, against_sandbox=True)
        console.print(f"\nResult       {result}")
        console.print(f"Temporal UI  {job.url}")
        console.print(f"To look around in it: .venv/bin/holdfast up --data-dir {DIRECTORY}")


async def _enrich(connection: Connection, stack: LocalState, sandbox: aiohttp.ClientSession, console: Console) -> Job:
    """Run the job with both blows. Raises CommandFailed where something of what is to be seen did not happen."""
    prices = await connection.api.prices()
    for provider, latency_ms in _LATENCY_MS.items():
        await _put(sandbox, f"/_options/{provider}", {"latency_ms": latency_ms})
    job = await connection.api.start_job(EXAMPLE, {"entity": "company", "fields": _FIELDS})
    console.print(f"Job {job.id}: {job.total:,} companies of {EXAMPLE.name}; the sandbox is the providers,")
    console.print(
        "each slowed down to 100 or 300 ms an answer; hunter's circuit tries again after 3 s instead of 30.\n"
    )
    script = _Script(stack, sandbox, console)
    with display(console, prices) as screen:
        async for now in connection.api.watch(job.id):
            screen.show(now)
            await script.see(now)
            job = now
    console.print(outcome(job))
    if job.status != "completed":
        raise CommandFailed(f"Job {job.id} {job.status}: {job.error}")
    if missing := script.missing():
        raise CommandFailed(f"The demo did not show all: {', '.join(missing)}.")
    return job


class _Script:
    """What is done to the job as it goes on, and what is seen of it."""

    def __init__(self, stack: LocalState, sandbox: aiohttp.ClientSession, console: Console) -> None:
        self._stack = stack
        self._sandbox = sandbox
        self._console = console
        self._began = time.monotonic()
        self._seen: set[str] = set()
        self._calls = 0

    async def see(self, job: Job) -> None:
        """Look at the job and do what is due."""
        hunter, apollo = _provider(job, "hunter"), _provider(job, "apollo")
        if self._is_due("the outage", hunter.calls >= _OUTAGE_AFTER_CALLS):
            await _put(self._sandbox, "/_faults/hunter", {"mode": "outage", "seconds": _OUTAGE_SECONDS})
            self._say(f"OUTAGE: hunter answers nothing but errors for {_OUTAGE_SECONDS} s.")
        if self._is_due("the open circuit", hunter.circuit == "open", after="the outage"):
            self._say("Hunter's circuit is open: it is not called any more, but for a probe now and then.")
        if self._is_due("the waiting job", job.status == "waiting", after="the outage"):
            until = f" at {clock(hunter.waiting_until)}" if hunter.waiting_until else ""
            self._say(f"The job is `waiting`: Temporal asks again{until}. No worker is blocked, nothing fails.")
        calls = hunter.calls + apollo.calls
        if self._is_due("the recovery", hunter.circuit == "closed", after="the open circuit"):
            self._calls = calls
            self._say("Hunter is back: the circuit is closed, and the job goes on where it was.")
        if self._is_due("the kill", calls >= self._calls + _KILL_AFTER_CALLS, after="the recovery"):
            self._calls = calls
            self._kill_worker()
        if self._is_due("the work after the kill", calls > self._calls, after="the kill"):
            self._say("The lookups that died go on in the new worker, from the last committed answer.")

    def missing(self) -> list[str]:
        """What should have been seen and was not."""
        scenes = ("the outage", "the open circuit", "the waiting job", "the recovery", "the kill")
        return [scene for scene in scenes if scene not in self._seen]

    def _is_due(self, scene: str, condition: bool, *, after: str | None = None) -> bool:
        if scene in self._seen or not condition or (after is not None and after not in self._seen):
            return False
        self._seen.add(scene)
        return True

    def _kill_worker(self) -> None:
        stack = running(DIRECTORY) or self._stack
        for pid in stack.pids["worker"]:
            send(pid, signal.SIGKILL)
            self._say(f"KILL -9: the worker (process {pid}) is gone, with calls in flight that cost money.")

    def _say(self, line: str) -> None:
        self._console.print(f"  {time.monotonic() - self._began:4.1f} s  {line}")


def _begin_anew(directory: Path) -> None:
    """Empty the demo's directory, and end what an earlier demo that was killed may have left. Raises CommandFailed."""
    data = DataDirectory(directory.absolute())
    if holder := data.holder():
        raise CommandFailed(f"A stack runs in {directory} (process {holder.pid}): stop it first.")
    end_all(data.recall().processes, grace_seconds=8)
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CommandFailed(f"Cannot empty {directory}: {error.strerror}.") from None


def _set_environment(environment: MutableMapping[str, str]) -> None:
    """What the stack's processes inherit: the demo's settings and none of the user's, who may have real providers."""
    for name in [name for name in environment if name.startswith("HOLDFAST_")]:
        del environment[name]
    environment.update(_ENVIRONMENT)


async def _put(sandbox: aiohttp.ClientSession, path: str, body: Mapping[str, object]) -> None:
    try:
        async with sandbox.put(path, json=body) as answer:
            answer.raise_for_status()
    except aiohttp.ClientError as error:
        raise CommandFailed(f"The sandbox did not take {path}: {error}.") from None


def _provider(job: Job, name: str) -> ProviderProgress:
    return next(each for each in job.providers if each.name == name)
