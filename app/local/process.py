"""Child processes: how one is started, recognised after a restart, and ended.

A child must not outlive us. On Linux `setpriv` (util-linux) gives it a parent-death signal; a `preexec_fn` would do
the same but forks Python code in a process that has threads. Elsewhere, and for what slips through, pids are
recorded together with the time of their creation (`ProcessRecord`), so that the next start ends exactly our own.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import psutil

# psutil derives the time of creation from the time of boot, which moves a little when the clock is adjusted.
_CLOCK_DRIFT_SECONDS = 2.0

# Windows has no SIGKILL; there nothing is started, but this module must load to say so.
_KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a child runs as: ourselves, or the user and group given, who keep at most one Linux capability."""

    user: int | None = None
    group: int | None = None
    capability: str | None = None


OURSELVES = Identity()


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run as a child in a session of its own, so that a Ctrl-C reaches only us.

    `environment` is the whole environment of the child (None: ours). `stop_signal` asks it to end in order;
    `death_signal` is what the kernel sends it when we die without having done so.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    identity: Identity = OURSELVES
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = _KILL

    def arguments(self) -> list[str]:
        """The argument vector, behind `setpriv` where that is needed or helps."""
        options: list[str] = []
        if _can_set_death_signal():
            options += ["--pdeathsig", self.death_signal.name]
        if self.identity.capability:
            options += [
                *("--reuid", str(self.identity.user), "--regid", str(self.identity.group), "--clear-groups"),
                # access(2) ignores the capabilities of a user other than root unless this bit is set.
                *("--securebits", "+no_setuid_fixup"),
                *("--bounding-set", f"-all,+{self.identity.capability}"),
                *("--inh-caps", f"-all,+{self.identity.capability}"),
                *("--ambient-caps", f"-all,+{self.identity.capability}"),
            ]
        elif options and self.identity.user is not None:
            options += ["--reuid", str(self.identity.user), "--regid", str(self.identity.group), "--clear-groups"]
        return ["setpriv", *options, "--", *self.argv] if options else list(self.argv)

    def options(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess.Popen` and `asyncio.create_subprocess_exec` alike."""
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "start_new_session": True}
        if self.environment is not None:
            options["env"] = dict(self.environment)
        if self.identity.user is not None:
            # The directory that we are in may be closed to that user.
            options["cwd"] = "/"
            if self.arguments()[0] != "setpriv":
                options |= {"user": self.identity.user, "group": self.identity.group, "extra_groups": []}
        return options

    def start(self, *, output: IO[bytes] | int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        """Start it; both its streams go to `output`."""
        return subprocess.Popen(  # noqa: S603  the argument vector is the project's own
            self.arguments(), stdout=output, stderr=output, **self.options()
        )

    def run(self, *, timeout: float) -> "subprocess.CompletedProcess[str]":
        """Run it to its end and collect what it says. Raises subprocess.TimeoutExpired."""
        return subprocess.run(  # noqa: S603  the argument vector is the project's own
            self.arguments(), capture_output=True, text=True, timeout=timeout, check=False, **self.options()
        )


async def stand_back(pid: int, nice: int) -> None:
    """Have the process `pid`, and what it starts from now on, give way to others by `nice`. Best effort."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    # Linux may share the processor among sessions first, and each child has its own: there only this counts. The kernel
    # takes one such wish in a tenth of a second from who is not root.
    for _ in range(5):
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(nice))  # noqa: ASYNC240  # no disk is behind it
        except BlockingIOError:
            await asyncio.sleep(0.1)
        except OSError:
            return
        else:
            return


@cache
def _can_set_death_signal() -> bool:
    program = shutil.which("setpriv")
    if sys.platform != "linux" or program is None:
        return False
    # The setpriv of busybox has the name but not the option.
    trial = subprocess.run(  # noqa: S603  found on the user's own PATH
        [program, "--pdeathsig", "SIGKILL", "--", "true"], capture_output=True, check=False
    )
    return trial.returncode == 0


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process of ours, recognisable for as long as it lives: a pid alone may have been given to another since."""

    name: str
    pid: int
    created: float

    @classmethod
    def ours(cls, name: str) -> "ProcessRecord":
        """The record of this very process."""
        return cls(name, os.getpid(), psutil.Process().create_time())

    @classmethod
    def of(cls, name: str, pid: int) -> "ProcessRecord | None":
        """The record of a running process; None when it has ended."""
        try:
            return cls(name, pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.created) < _CLOCK_DRIFT_SECONDS
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.Error:
            return False


def end_all(records: Iterable[ProcessRecord], *, grace_seconds: float) -> list[str]:
    """End those of `records` that still live, with their process groups; return the names of those.

    Each is asked by its stop signal (SIGINT for postgres, a fast shutdown; SIGTERM else) and killed after
    `grace_seconds`.
    """
    living = [record for record in records if record.alive()]
    for record in living:
        send(record.pid, signal.SIGINT if record.name == "postgres" else signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and any(record.alive() for record in living):
        time.sleep(0.02)
    for record in living:
        if record.alive():
            kill_group(record.pid)
    while any(record.alive() for record in living):
        time.sleep(0.02)
    return [record.name for record in living]


def send(pid: int, number: signal.Signals) -> None:
    """Signal one process; nothing happens when it has ended already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill_group(pid: int) -> None:
    """Kill the process group that `pid` leads; nothing happens when it has ended already."""
    try:
        os.killpg(pid, _KILL)
    except (ProcessLookupError, PermissionError):  # the latter is macOS on a group of which only zombies are left
        return


def script(name: str) -> Path:
    """A program that a wheel installed beside this interpreter."""
    return Path(sys.executable).parent / name
