"""Real processes of ours, to be killed: workers and the API, on the test's servers and its sandbox."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from app.local.ports import LOOPBACK, free_port
from tests.servers import Database, wait_for_http

ROOT = Path(__file__).parents[1]


@dataclass
class Process:
    """A running process and where its metrics or API are."""

    popen: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: no chance to say goodbye."""
        self.popen.kill()
        self.popen.wait()


@dataclass
class Installation:
    """What the processes of one test share."""

    database: Database
    temporal_address: str
    sandbox_url: str
    log_directory: Path
    settings: dict[str, str] = field(default_factory=dict)
    prefix: str = field(default_factory=lambda: f"{uuid4().hex[:8]}-")

    @contextmanager
    def worker(self) -> Iterator[Process]:
        """A worker that is ready; killed at the end of the block if it still lives."""
        port = free_port()
        with self._process("worker", [sys.executable, "-m", "worker"], port) as process:
            wait_for_http(port, "/metrics", process.popen, self.log_directory / "worker.log")
            yield process

    @contextmanager
    def api(self) -> Iterator[Process]:
        """An API that is ready; killed at the end of the block if it still lives."""
        port = free_port()
        command = [
            *(sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory"),
            *("--host", LOOPBACK, "--port", str(port), "--log-level", "warning", "--no-access-log"),
        ]
        with self._process("api", command, port) as process:
            wait_for_http(port, "/readiness", process.popen, self.log_directory / "api.log")
            yield process

    @contextmanager
    def _process(self, name: str, command: list[str], port: int) -> Iterator[Process]:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_")},
            "HOLDFAST_DATABASE_URL": self.database.app_url,
            "HOLDFAST_TEMPORAL__ADDRESS": self.temporal_address,
            "HOLDFAST_TEMPORAL__TASK_QUEUE_PREFIX": self.prefix,
            "HOLDFAST_PROVIDERS__HUNTER__BASE_URL": f"{self.sandbox_url}/hunter/v2",
            "HOLDFAST_PROVIDERS__HUNTER__API_KEY": "sandbox-key",
            "HOLDFAST_PROVIDERS__HUNTER__QUOTAS": "[]",
            "HOLDFAST_PROVIDERS__APOLLO__BASE_URL": f"{self.sandbox_url}/apollo/api/v1",
            "HOLDFAST_PROVIDERS__APOLLO__API_KEY": "sandbox-key",
            "HOLDFAST_PROVIDERS__APOLLO__QUOTAS": "[]",
            "HOLDFAST_PROVIDERS__GLEIF__BASE_URL": f"{self.sandbox_url}/gleif/api/v1",
            "HOLDFAST_PROVIDERS__WIKIDATA__BASE_URL": f"{self.sandbox_url}/wikidata",
            "HOLDFAST_PROVIDERS__EDGAR__BASE_URL": f"{self.sandbox_url}/edgar",
            "HOLDFAST_PROVIDERS__GITHUB__BASE_URL": f"{self.sandbox_url}/github",
            "HOLDFAST_PROVIDERS__RDAP__BASE_URL": f"{self.sandbox_url}/rdap",
            **{
                f"HOLDFAST_PROVIDERS__{name}__QUOTAS": "[]" for name in ("GLEIF", "WIKIDATA", "EDGAR", "GITHUB", "RDAP")
            },
            "HOLDFAST_PROVIDERS__WEBSITE__BASE_URL": f"{self.sandbox_url}/website",
            **self.settings,
        }
        if name == "worker":
            environment["HOLDFAST_PLATFORM_DATABASE_URL"] = self.database.platform_url
            environment["HOLDFAST_WORKER_METRICS_PORT"] = str(port)
        with (self.log_directory / f"{name}.log").open("ab") as log:
            popen = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        process = Process(popen, port)
        try:
            yield process
        finally:
            popen.send_signal(signal.SIGCONT)
            process.kill()
