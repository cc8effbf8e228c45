"""A hundred thousand rows through a real API process."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.api import Tenant, new_tenant
from tests.processes import Installation, Process
from tests.servers import Database

ROWS = 100_000
MEGABYTE = 2**20


@contextmanager
def peak_memory(process: Process) -> Iterator[list[int]]:
    """The resident bytes of the process when the block began, and the most that it has had since."""
    watched = psutil.Process(process.popen.pid)
    seen = [watched.memory_info().rss] * 2
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            seen[1] = max(seen[1], watched.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@contextmanager
def latencies(url: str, tenant: Tenant) -> Iterator[list[float]]:
    """Seconds that small requests take while the block runs."""
    taken: list[float] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(headers=tenant.headers) as client:
            while not over.wait(0.02):
                began = time.monotonic()
                client.get(url).raise_for_status()
                taken.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield taken
    finally:
        over.set()
        thread.join()


def write_file(path: Path) -> None:
    note = "A description of about a hundred characters, as long as those that real lists of companies have."
    with path.open("w") as file:
        file.write("company_name,url,description\n")
        for n in range(ROWS):
            domain = "10.0.0.1" if n % 100 == 99 else f"https://www.Company-{n % 90_000}.com/about"
            file.write(f'"Company {n}, Inc.",{domain},"{note}"\n')


def test_an_upload_of_100_000_rows_takes_little_memory_and_the_api_answers_meanwhile(
    database: Database, tmp_path: Path
):
    tenant = asyncio.run(new_tenant(database, credit=10 * ROWS))
    write_file(tmp_path / "companies.csv")
    installation = Installation(database, "127.0.0.1:1", "http://127.0.0.1:1", tmp_path)
    with installation.api() as api, httpx.Client(headers=tenant.headers, timeout=120) as client:
        jobs = f"{api.url}{tenant.path}/enrichment/jobs"
        options = {"options": '{"entity": "company", "providers": ["website", "dns"]}'}
        # What the process needs for its first job of any size is not what is measured.
        client.post(jobs, files={"file": b"domain\nacme.com\n"}, data=options).raise_for_status()
        with (
            (tmp_path / "companies.csv").open("rb") as file,
            latencies(jobs, tenant) as taken,
            peak_memory(api) as memory,
        ):
            answer = client.post(jobs, files={"file": file}, data=options)
            with client.stream("GET", f"{jobs}/{answer.json()['data']['id']}/export") as export:
                lines = sum(chunk.count(b"\n") for chunk in export.iter_raw())
    assert answer.status_code == 202
    assert answer.json()["data"]["counts"] == {
        "total": ROWS, "pending": ROWS - 1000, "matched": 0, "partial": 0, "not_found": 0, "failed": 1000,
        "cancelled": 0,
    }  # fmt: skip
    assert lines == ROWS + 1
    assert memory[1] - memory[0] < 150 * MEGABYTE
    assert sorted(taken)[len(taken) // 2] < 0.5
