"""What the stack keeps in its data directory: who runs, what it remembers, and what it tells other programs.

DIR/lock         held by the running stack; names its process
DIR/state.json   passwords, ports and child processes, for the next start
DIR/local.json   how to reach what runs now; there only from ready to the end
DIR/mail         what the API would have mailed
DIR/sandbox      what the sandbox's Stripe has: customers, subscriptions, invoices
DIR/postgres  DIR/temporal  DIR/logs
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from app.local.errors import StackError
from app.local.process import ProcessRecord

if sys.platform != "win32":  # there nothing is started, but this module must load to say so
    import fcntl


@dataclass(frozen=True, slots=True)
class LocalState:
    """The content of ``local.json``. `pids` has a list for each of api, worker, temporal, postgres and sandbox."""

    api_url: str
    temporal_address: str
    temporal_ui_url: str
    database_url: str  # of the role that the API uses
    sandbox_url: str | None
    workspace_id: str
    api_key: str | None
    pids: Mapping[str, list[int]]


@dataclass(slots=True)
class Memory:
    """The content of ``state.json``."""

    passwords: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    workspace_id: str | None = None
    api_key: str | None = None
    # What signs access tokens: those of before a restart stay good.
    signing_key: str | None = None
    # What encrypts provider credentials: without it they cannot be read any more.
    encryption_key: str | None = None
    # What the sandbox's Stripe signs its events with.
    webhook_secret: str | None = None
    # What brought the database up to date last, so that a warm start need not do it again.
    prepared: str | None = None
    processes: list[ProcessRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The directory of one stack. `open_data_directory` makes one."""

    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def mail(self) -> Path:
        return self.path / "mail"

    @property
    def sandbox(self) -> Path:
        return self.path / "sandbox"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other stack out. Raises StackError that names the one that runs."""
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(self._occupied()) from None
            # Not by replacement, as elsewhere: the lock belongs to the file itself.
            lock.truncate(0)
            lock.write(json.dumps(asdict(ProcessRecord.ours("holdfast"))))
            lock.flush()
            yield

    def recall(self) -> Memory:
        """What the last stack here left; empty at the first start. Raises StackError when it cannot be read."""
        path = self.path / "state.json"
        try:
            stored = json.loads(path.read_text())
            return Memory(
                passwords=stored["passwords"],
                ports=stored["ports"],
                workspace_id=stored["workspace_id"],
                api_key=stored["api_key"],
                signing_key=stored.get("signing_key"),
                encryption_key=stored.get("encryption_key"),
                webhook_secret=stored.get("webhook_secret"),
                prepared=stored["prepared"],
                processes=[ProcessRecord(**each) for each in stored["processes"]],
            )
        except FileNotFoundError:
            return Memory()
        except (ValueError, KeyError, TypeError) as error:
            raise StackError(f"{path} is damaged ({error}); the passwords of the database were in it.") from error

    def remember(self, memory: Memory) -> None:
        _write_private(self.path / "state.json", asdict(memory))

    def publish(self, state: LocalState) -> None:
        _write_private(self.path / "local.json", asdict(state))

    def withdraw(self) -> None:
        (self.path / "local.json").unlink(missing_ok=True)

    def published(self) -> LocalState | None:
        try:
            return LocalState(**json.loads((self.path / "local.json").read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def holder(self) -> ProcessRecord | None:
        """The process of the stack that runs here, ready or not."""
        try:
            record = ProcessRecord(**json.loads((self.path / "lock").read_text()))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return record if record.alive() else None

    def _occupied(self) -> str:
        holder, state = self.holder(), self.published()
        who = f"process {holder.pid}" if holder else "another process"
        where = f" at {state.api_url}" if state else ""
        return f"A stack already runs in {self.path}: {who}{where}."


def open_data_directory(path: Path) -> DataDirectory:
    """The data directory at `path`, made where it is missing. Raises StackError."""
    path = path.absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        # PostgreSQL enters with a user of its own; what is private is private below.
        for private in ("logs", "mail", "sandbox", "temporal"):
            (path / private).mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise StackError(
            f"Cannot use {path} as data directory: {error.strerror}. Choose another with --data-dir."
        ) from error
    return DataDirectory(path)


def running(data_dir: Path) -> LocalState | None:
    """How to reach the stack that serves this directory; None when none does, or it is not ready yet."""
    directory = DataDirectory(data_dir.absolute())
    return directory.published() if directory.holder() else None


def _write_private(path: Path, content: Mapping[str, object]) -> None:
    # mkstemp makes files that only we may read.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
