"""Circuits of real processes: how fast they hear of each other, and what a killed one leaves behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg

from tests.servers import Database

ROOT = Path(__file__).parents[2]


class Worker:
    """A process that runs `circuit_process`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        self.tell(command)
        return self.hear()

    def insist(self, command: str, wanted: str) -> None:
        """Ask until it is so: by the database's clock the time may not be over yet."""
        deadline = time.monotonic() + 10
        while (said := self.ask(command)) != wanted:
            assert said == "refused"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def worker(database: Database) -> Iterator[Worker]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.providers.circuit_process", database.platform_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            started = Worker(process)
            assert started.hear() == "ready"
            yield started
        finally:
            process.kill()


def test_a_circuit_that_opens_in_one_process_is_open_in_another_within_a_tenth_of_a_second(database: Database):
    took = []
    with worker(database) as one, worker(database) as another:
        for _ in range(5):
            one.ask("await closed")
            another.ask("await closed")
            another.tell("await open")
            assert one.ask("fail") == "open"
            opened_at = float(one.ask("await open half_open"))
            took.append(float(another.hear()) - opened_at)
            one.insist("answer", "closed")
    assert median(took) < 0.1


def test_of_two_processes_one_is_granted_the_probe(database: Database):
    with worker(database) as one, worker(database) as another:
        one.ask("fail")
        another.ask("await open half_open")
        said = ["refused", "refused"]
        deadline = time.monotonic() + 10
        while said == ["refused", "refused"]:
            assert time.monotonic() < deadline
            for each in (one, another):
                each.tell("probe")
            said = sorted([one.hear(), another.hear()])
        assert said == ["half_open", "refused"]
        assert (one.ask("probe"), another.ask("probe")) == ("refused", "refused")


def test_a_killed_probe_bars_the_way_for_its_lease_and_no_longer(database: Database):
    with worker(database) as one:
        one.ask("fail")
        one.insist("probe", "half_open")
        one.kill()
    with worker(database) as another:
        assert another.ask("probe") == "refused"
    with psycopg.connect(database.owner_url.replace("+psycopg", ""), autocommit=True) as connection:
        left = connection.execute("SELECT extract(epoch FROM probe_until - now()) FROM provider_health").fetchone()
        assert left is not None
        assert 0 < left[0] <= 15
        connection.execute("UPDATE provider_health SET probe_until = now()")
    with worker(database) as third:
        assert third.ask("answer") == "closed"
