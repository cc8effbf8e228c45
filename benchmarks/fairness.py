"""What a small job of one workspace notices of another workspace's hundred large ones."""

import asyncio
import statistics
from datetime import datetime
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.rig import PROVIDERS, Rig, domains, running_rig

LATENCY_MS = 20.0
JOBS, RECORDS = 100, 1_000
SMALL, RUNS = 50, 5
# The small job may take this many times as long as alone, and so many seconds more.
TIMES, SECONDS = 2.0, 0.5
# Until the large jobs have taken every place there is, and between two small ones.
SETTLE_SECONDS, PAUSE_SECONDS = 5.0, 1.0

_OPTIONS = {"fields": ["name"], "providers": list(PROVIDERS)}
_ENVIRONMENT = {"HOLDFAST_RATE_LIMITS__UPLOAD": "0", "HOLDFAST_RATE_LIMITS__API": "0"}


async def fairness(directory: Path, *, workers: int = 1) -> list[Row]:
    """The small job alone and beside the large ones, on a stack in `directory`."""
    async with running_rig(directory, workers=workers, **_ENVIRONMENT) as rig:
        await rig.shape_providers(latency_ms=LATENCY_MS, hit_rate=0.5)
        small = await rig.tenant("small")
        await _small_job(small, "warm")
        alone = [await _small_job(small, f"alone-{run}") for run in range(RUNS)]
        large = [await rig.submit(domains(RECORDS, salt=f"large-{number}"), **_OPTIONS) for number in range(JOBS)]
        await asyncio.sleep(SETTLE_SECONDS)
        beside = []
        for run in range(RUNS):
            beside.append(await _small_job(small, f"beside-{run}"))
            await asyncio.sleep(PAUSE_SECONDS)
        unfinished = [job for job in large if (await rig.job(job["id"]))["finished_at"] is None]
        print(f"  alone {alone}, beside {beside}; {len(unfinished)} large jobs unfinished at the end")
        assert unfinished, "the large jobs had ended: nothing was measured"
    floor, value = statistics.median(alone), statistics.median(beside)
    allowed = TIMES * floor + SECONDS
    return [
        Row(f"{SMALL} records beside {JOBS} jobs of {RECORDS:,}: median of {RUNS}", value, "s", floor, value / floor,
            f"≤ {allowed:.2f} s", value <= allowed),
        Row(f"{SMALL} records beside {JOBS} jobs of {RECORDS:,}: longest", max(beside), "s"),
    ]  # fmt: skip


async def _small_job(rig: Rig, salt: str) -> float:
    """Seconds from the request for a small job to its end."""
    job = await rig.submit(domains(SMALL, salt=salt), **_OPTIONS)
    job = await rig.until_finished(job["id"], seconds=300, every=0.1)
    assert job["status"] == "completed", job
    return (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()
