"""The embedded stack: PostgreSQL, Temporal, the sandbox, the API and workers as supervised processes on loopback."""

import asyncio
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from app.local import environment, postgres, temporal
from app.local.environment import Addresses
from app.local.errors import StackError
from app.local.keys import new_encryption_key, new_signing_key, new_webhook_secret
from app.local.parts import HOLDFAST, Parts
from app.local.ports import PortClaims, is_free
from app.local.probes import answers_ok
from app.local.process import Command, end_all
from app.local.program import ROOT, with_our_packages
from app.local.state import DataDirectory, LocalState, Memory, open_data_directory
from app.local.supervisor import Child, Supervisor

_DEFAULT_PORTS = {"api": 8000, "temporal": 7233, "temporal_ui": 8233}
_ROLES = ("api", "worker", "temporal", "postgres", "sandbox")
# Who needs nobody else first; whom all need last. The sandbox outlives the worker, whose last calls it answers: refused
# ones would open circuits, which the next start would find open.
_STOP_ORDER = (("api",), ("worker",), ("temporal", "sandbox"), ("postgres",))
# Seconds after the beginning of the shutdown: 15 in all, with half a second for the rest.
_STOP_BY = {"api": 3.0, "sandbox": 12.5, "worker": 11.0, "temporal": 12.5, "postgres": 14.5}
# Nobody waits for work in the background as somebody does for the API: without this an answer took five times as long
# beside workers that had all the work they could do (measured).
_NICE = {"worker": 7}


@dataclass(frozen=True, slots=True)
class StackOptions:
    """`port` is the API's; None takes 8000, or another when that is taken."""

    data_dir: Path = Path(".holdfast")
    port: int | None = None
    workers: int = 1
    sandbox: bool = True


class RunningStack:
    """A stack of one data directory. `up` makes one."""

    def __init__(
        self, directory: DataDirectory, options: StackOptions, parts: Parts, *, say: Callable[[str], None]
    ) -> None:
        self._directory = directory
        self._options = options
        self._parts = parts
        self._say = say
        self._memory = Memory()
        self._state: LocalState | None = None
        self._supervisor = Supervisor(directory.logs, say=say, changed=self._record)
        self._held = ExitStack()
        self._stopped = False

    @property
    def state(self) -> LocalState:
        """How to reach it, kept current after restarts."""
        if self._state is None:
            raise RuntimeError("the stack is not up")
        return self._state

    async def start(self) -> None:
        """Return when all parts are ready. Raises StackError; then nothing is left running."""
        self._held.enter_context(self._directory.locked())
        try:
            await self._start()
        except OSError as error:
            await self.stop()
            raise StackError(f"Cannot use {self._directory.path}: {error}") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop all parts in order, within 15 s. Idempotent; a cancellation waits for the end."""
        if self._stopped:
            return
        self._stopped = True
        try:
            await self._supervisor.stop(_STOP_ORDER)
        finally:
            self._directory.withdraw()
            self._held.close()

    async def _start(self) -> None:
        self._directory.withdraw()
        self._memory = self._directory.recall()
        for name in await asyncio.to_thread(end_all, self._memory.processes, grace_seconds=8):
            self._say(f"Ended the {name} that an earlier stack left behind.")
        cluster = await asyncio.to_thread(postgres.open_cluster, self._directory.path / "postgres")
        if cluster.exists() and not self._memory.passwords:
            raise StackError(f"{self._directory.path}/state.json is gone; the passwords of the database were in it.")
        self._choose_passwords()
        self._choose_ports()
        self._directory.remember(self._memory)
        addresses = self._addresses()
        await asyncio.gather(
            self._start_postgres(cluster), self._start_temporal(addresses), self._start_sandbox(addresses)
        )
        workspace_id = await self._prepare(addresses)
        await asyncio.gather(
            self._start_api(addresses),
            *(self._start_worker(f"worker-{number}", addresses) for number in range(1, self._options.workers + 1)),
        )
        self._state = LocalState(
            api_url=f"http://127.0.0.1:{self._memory.ports['api']}",
            temporal_address=addresses.temporal_address,
            temporal_ui_url=addresses.temporal_ui_url,
            database_url=addresses.app_url,
            sandbox_url=addresses.sandbox_url,
            workspace_id=workspace_id,
            api_key=self._memory.api_key,
            pids={},
        )
        self._record()

    def _record(self) -> None:
        self._memory.processes = self._supervisor.records()
        try:
            self._directory.remember(self._memory)
            if self._state is not None:
                pids = self._supervisor.pids()
                self._state = replace(self._state, pids={role: pids.get(role, []) for role in _ROLES})
                self._directory.publish(self._state)
        except OSError as error:  # a full disk must not end the supervision too
            self._say(f"Cannot note the processes in {self._directory.path}: {error.strerror}.")

    def _choose_passwords(self) -> None:
        for role in (postgres.SUPERUSER, postgres.OWNER, postgres.APP, postgres.PLATFORM):
            self._memory.passwords.setdefault(role, secrets.token_urlsafe(24))

    def _choose_ports(self) -> None:
        wanted = self._options.port
        if wanted is not None and not is_free(wanted):
            raise StackError(f"Port {wanted} is taken; without --port the stack takes one that is free.")
        claims = PortClaims()
        self._held.callback(claims.close)
        names = ["api", "temporal", "temporal_ui", "temporal_http", "postgres", "sandbox", "dns"]
        names += [f"worker-{number}" for number in range(1, self._options.workers + 1)]
        chosen: dict[str, int] = {}
        for name in names:
            candidates = (wanted if name == "api" else None, self._memory.ports.get(name), _DEFAULT_PORTS.get(name))
            preferred = [port for port in candidates if port is not None]
            chosen[name] = claims.choose(preferred)
        self._memory.ports |= chosen

    def _addresses(self) -> Addresses:
        ports = self._memory.ports
        return Addresses(
            app_url=self._database_url(postgres.APP),
            platform_url=self._database_url(postgres.PLATFORM),
            owner_url=self._database_url(postgres.OWNER),
            api_port=ports["api"],
            signing_key=self._signing_key(),
            encryption_key=self._encryption_key(),
            webhook_secret=self._webhook_secret(),
            mail_directory=self._directory.mail,
            temporal_port=ports["temporal"],
            temporal_ui_port=ports["temporal_ui"],
            sandbox_port=ports["sandbox"] if self._options.sandbox else None,
            dns_port=ports["dns"] if self._options.sandbox else None,
        )

    def _signing_key(self) -> str:
        if self._memory.signing_key is None:
            self._memory.signing_key = new_signing_key()
            self._directory.remember(self._memory)
        return self._memory.signing_key

    def _encryption_key(self) -> str:
        if self._memory.encryption_key is None:
            self._memory.encryption_key = new_encryption_key()
            self._directory.remember(self._memory)
        return self._memory.encryption_key

    def _webhook_secret(self) -> str:
        if self._memory.webhook_secret is None:
            self._memory.webhook_secret = new_webhook_secret()
            self._directory.remember(self._memory)
        return self._memory.webhook_secret

    def _database_url(self, role: str, database: str = postgres.DATABASE) -> str:
        return postgres.url(role, self._memory.passwords[role], self._memory.ports["postgres"], database)

    async def _prepare(self, addresses: Addresses) -> str:
        """Bring the database up to date; the id of the local workspace."""
        memory, before = self._memory, await self._preparation(addresses)
        if memory.workspace_id and memory.api_key and memory.prepared == before:
            return memory.workspace_id
        # The key can be read only when it is made: one that a crash swallowed is replaced.
        lost = () if memory.api_key else ("--new-key",)
        answer = await self._supervisor.run(
            "prepare", _python((*self._parts.prepare, *lost), environment.prepare(addresses))
        )
        seeded = json.loads(answer)
        workspace_id: str = seeded["workspace_id"]
        memory.workspace_id = workspace_id
        memory.api_key = seeded["api_key"] or memory.api_key
        memory.prepared = await self._preparation(addresses)
        self._directory.remember(memory)
        return workspace_id

    async def _preparation(self, addresses: Addresses) -> str:
        """Differs when a preparation has something to do: other migrations, or a database at another revision."""
        revision = await asyncio.to_thread(postgres.revision, addresses.owner_url)
        files = sorted((ROOT / "migrations" / "versions").glob("*.py"))
        parts = [*self._parts.prepare, str(revision), *(file.name + file.read_text() for file in files)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    async def _start_postgres(self, cluster: postgres.Cluster) -> None:
        if not cluster.exists():
            await asyncio.to_thread(cluster.initialise, self._memory.passwords[postgres.SUPERUSER])
        superuser_url = self._database_url(postgres.SUPERUSER, "postgres")
        await self._keep(
            "postgres",
            replace(cluster.command(self._memory.ports["postgres"]), environment=environment.plain()),
            lambda: asyncio.to_thread(postgres.answers, superuser_url),
            before=cluster.release,
        )
        await asyncio.to_thread(
            postgres.ensure_database, superuser_url, owner_password=self._memory.passwords[postgres.OWNER]
        )

    async def _start_temporal(self, addresses: Addresses) -> None:
        http_port = self._memory.ports["temporal_http"]
        command = temporal.server(
            port=addresses.temporal_port,
            http_port=http_port,
            ui_port=addresses.temporal_ui_port,
            database=self._directory.path / "temporal" / "temporal.db",
        )
        await self._keep(
            "temporal",
            replace(command, environment=environment.plain()),
            lambda: answers_ok(http_port, temporal.NAMESPACE_PATH),
        )

    async def _start_sandbox(self, addresses: Addresses) -> None:
        port, dns_port = addresses.sandbox_port, addresses.dns_port
        if port is None or dns_port is None:
            return
        state = self._directory.sandbox / "stripe.json"
        argv = (*self._parts.sandbox, "--port", str(port), "--dns-port", str(dns_port), "--state", str(state))
        if not environment.pays_elsewhere():
            argv = (*argv, "--stripe-webhook", addresses.stripe_webhook_url)
        await self._keep("sandbox", _python(argv, environment.sandbox(addresses)), lambda: answers_ok(port, "/_calls"))

    async def _start_api(self, addresses: Addresses) -> None:
        port = self._memory.ports["api"]
        argv = (*self._parts.api, "--port", str(port))
        await self._keep("api", _python(argv, environment.api(addresses)), lambda: answers_ok(port, "/readiness"))

    async def _start_worker(self, name: str, addresses: Addresses) -> None:
        port = self._memory.ports[name]
        command = _python(self._parts.worker, environment.worker(addresses, metrics_port=port))
        await self._keep("worker", command, lambda: answers_ok(port, "/metrics"), name=name)

    async def _keep(
        self,
        role: str,
        command: Command,
        ready: Callable[[], Awaitable[bool]],
        *,
        name: str | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        nice, stop_by = _NICE.get(role, 0), _STOP_BY[role]
        await self._supervisor.start(Child(role, name or role, command, ready, stop_by, before, nice=nice))


async def up(options: StackOptions, *, say: Callable[[str], None], parts: Parts = HOLDFAST) -> RunningStack:
    """Start the stack of ``options.data_dir`` where it was left, and return when it is ready.

    `say` gets one line for people at a time. Raises StackError with a line of its own when it cannot run here.
    """
    _check_platform()
    for variable in environment.ignored(os.environ):
        say(f"{variable} is not used here: the embedded stack brings its own servers.")
    stack = RunningStack(open_data_directory(options.data_dir), options, parts, say=say)
    await stack.start()
    return stack


def _check_platform() -> None:
    if sys.platform == "win32":
        raise StackError(
            "The embedded stack does not run on Windows, for which Temporal's server has no wheel: use WSL."
        )
    if sys.platform == "linux" and not _is_glibc():
        raise StackError(
            "The embedded stack does not run on musl (Alpine), for which PostgreSQL has no wheel: use glibc."
        )


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except ValueError:
        return False


def _python(argv: tuple[str, ...], variables: Mapping[str, str]) -> Command:
    """One of our programs, found wherever the user is."""
    return Command(argv, environment=with_our_packages(variables))
