"""Rows of the benchmark report, and what processes used."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `floor` is the same measured without what is being measured, `ratio` = value / floor; `target` in
    words, `met` None where there is none."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    target: str | None = None
    met: bool | None = None


@dataclass(slots=True)
class Usage:
    """CPU seconds and peak resident memory (MB) of a role's processes, while they were watched."""

    cpu_seconds: float = 0.0
    peak_mb: float = 0.0


@asynccontextmanager
async def watched(pids: Mapping[str, Sequence[int]], every: float = 1.0) -> AsyncIterator[dict[str, Usage]]:
    """Watch processes and their children by role; the figures are final when the block ends."""
    usage = {role: Usage() for role in pids}
    before = {role: _cpu(_tree(ids)) for role, ids in pids.items()}

    async def sample() -> None:
        while True:
            for role, ids in pids.items():
                usage[role].peak_mb = max(usage[role].peak_mb, _memory_mb(_tree(ids)))
            await asyncio.sleep(every)

    sampling = asyncio.create_task(sample())
    try:
        yield usage
    finally:
        sampling.cancel()
        for role, ids in pids.items():
            usage[role].cpu_seconds = _cpu(_tree(ids)) - before[role]


def _tree(pids: Sequence[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
    return found


def _cpu(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _memory_mb(processes: Sequence[psutil.Process]) -> float:
    """Proportional set size: PostgreSQL's shared buffers are counted once."""
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            try:
                total += process.memory_full_info().pss
            except AttributeError:
                total += process.memory_info().rss
    return total / 2**20


def report(rows: Sequence[Row], path: Path) -> str:
    """Write the rows to `path` as JSON; return them as a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    lines = [f"{'':1} {'figure':58} {'value':>12} {'unit':14} {'floor':>10} {'ratio':>7}  target"]
    for row in rows:
        mark = {True: "✓", False: "✗", None: " "}[row.met]
        floor = f"{row.floor:10.1f}" if row.floor is not None else " " * 10
        ratio = f"{row.ratio:7.3f}" if row.ratio is not None else " " * 7
        lines.append(f"{mark} {row.name:58} {row.value:12.2f} {row.unit:14} {floor} {ratio}  {row.target or ''}")
    return "\n".join(lines)
