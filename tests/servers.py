"""The real servers that tests run against: PostgreSQL and Temporal, started once per test process.

They end with the fixture, and with the test process when that is killed.
"""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql

from app.local import postgres, temporal
from app.local.ports import LOOPBACK, free_port
from app.local.process import Command
from migrations.upgrade import upgrade

TEMPLATE = "holdfast_template"
_START_SECONDS = 30

_SETTINGS = {
    **dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit"), "off"),
    # How slowly a password can be guessed, which is most of what a connection costs: every test makes several.
    "scram_iterations": "1",
}

# A database is five hundred small files: in memory it is made in a tenth of the time that a disk takes. There must be
# room for the servers of all test processes. In it goes a directory with a random name, hence the noqa.
_MEMORY = Path("/dev/shm")  # noqa: S108
_MEMORY_BYTES = 2 * 1024**3
_PREFIX = "holdfast-postgres-"
_STARTED_SECONDS_AGO = 3600


@dataclass(frozen=True)
class Database:
    """One database, as each of the roles sees it: ``postgresql+psycopg://…``."""

    owner_url: str
    app_url: str
    platform_url: str


@dataclass
class PostgresServer:
    """A PostgreSQL that survives no stop of the machine. The same passwords hold in all its databases: roles belong to
    the server."""

    port: int
    password: str = "test"
    _migrated: bool = field(default=False, repr=False)

    @property
    def superuser_url(self) -> str:
        return postgres.url(postgres.SUPERUSER, self.password, self.port, "postgres")

    def database(self, name: str) -> Database:
        return Database(
            *(
                postgres.url(role, self.password, self.port, name)
                for role in (postgres.OWNER, postgres.APP, postgres.PLATFORM)
            )
        )

    def renew_password(self) -> None:
        """Store the superuser's password as the server's settings say; initdb knew none."""
        self._execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(postgres.SUPERUSER), self.password))

    @contextmanager
    def empty_database(self) -> Iterator[Database]:
        """A database of the owner with nothing in it, dropped afterwards."""
        with self._database(template="template1") as database:
            yield database

    @contextmanager
    def migrated_database(self) -> Iterator[Database]:
        """A copy of the template, which is migrated once, dropped afterwards."""
        if not self._migrated:
            self._create(TEMPLATE, template="template1")
            template = self.database(TEMPLATE)
            upgrade(template.owner_url, app_url=template.app_url, platform_url=template.platform_url)
            self._migrated = True
        with self._database(template=TEMPLATE) as database:
            yield database

    @contextmanager
    def _database(self, *, template: str) -> Iterator[Database]:
        name = f"test_{uuid4().hex}"
        self._create(name, template=template)
        try:
            yield self.database(name)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _create(self, name: str, *, template: str) -> None:
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY OWNER {}").format(
                *map(sql.Identifier, (name, template, postgres.OWNER))
            )
        )

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=postgres.SUPERUSER,
            password=self.password,
            dbname="postgres",
            autocommit=True,
        ) as connection:
            connection.execute(statement)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL on a random port, in memory where there is enough."""
    _give_back_memory()
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES
    with tempfile.TemporaryDirectory(
        prefix=_PREFIX, dir=_MEMORY if in_memory else None, ignore_cleanup_errors=True
    ) as directory:
        # The server may run as another user than the tests.
        Path(directory).chmod(0o755)
        server = PostgresServer(free_port())
        cluster = postgres.open_cluster(Path(directory) / "data")
        cluster.initialise(server.password, durable=False)
        command = cluster.command(server.port, _SETTINGS)
        with running(replace(command, stop_signal=signal.SIGQUIT), Path(directory) / "log") as process:
            wait_until(lambda: postgres.answers(server.superuser_url), process, Path(directory) / "log")
            server.renew_password()
            postgres.ensure_database(server.superuser_url, owner_password=server.password)
            yield server


def _give_back_memory() -> None:
    """Remove what test processes left in memory that were killed: a server of theirs is gone with them."""
    for directory in _MEMORY.glob(f"{_PREFIX}*"):
        try:
            is_old = directory.stat().st_mtime < time.time() - _STARTED_SECONDS_AGO
        except FileNotFoundError:
            continue
        if is_old and not (directory / "data" / "postmaster.pid").exists():
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running_temporal() -> Iterator[str]:
    """A Temporal server in memory, with time skipping; yields its ``host:port``."""
    port = free_port()
    http_port = free_port(avoiding={port})
    command = temporal.server(
        port=port,
        http_port=http_port,
        ui_port=None,
        database=None,
        dynamic_config={
            # The name up to server 1.32, and the name after it.
            "frontend.WorkflowTimeSkippingEnabled": "true",
            "system.workflowTimeSkippingEnabled": "true",
        },
    )
    with tempfile.TemporaryDirectory(prefix="holdfast-temporal-") as directory:
        log = Path(directory) / "log"
        with running(replace(command, stop_signal=signal.SIGKILL), log) as process:
            wait_until(lambda: _serves(http_port, temporal.NAMESPACE_PATH), process, log)
            yield f"{LOOPBACK}:{port}"


@contextmanager
def running(command: Command, log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run `command` for the length of the block, its output in `log`."""
    with log.open("ab") as output:
        process = command.start(output=output)
    try:
        yield process
    finally:
        process.send_signal(command.stop_signal)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Poll until `condition` holds; fail with the log when the process ends first or takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text()}")
        time.sleep(0.02)


def wait_for_http(port: int, path: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the process answers GET `path` with 200."""
    wait_until(lambda: _serves(port, path), process, log)


def _serves(port: int, path: str) -> bool:
    connection = HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
