"""What a waterfall costs beyond its providers: calls for many subjects, answers that need not be bought, memory."""

from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, Usage, watched
from benchmarks.rig import Rig, domains, running_rig

BULK_RECORDS = 10_000
BULK_CALLS = 1_050
REUSED_RECORDS = 50_000
REUSED_PER_SECOND = 5_000
SMALL, LARGE = 10_000, 200_000
_OPTIONS = {"fields": ["name"]}
_MONTH = 30 * 86_400


async def waterfall(directory: Path) -> list[Row]:
    """HTTP calls of a bulk provider, records a second where all is reused, memory of a small and of a large job."""
    environment = {"HOLDFAST_CREDITS__LOCAL_GRANT": "100000000"}
    # Not the vendors' own, which would be measured instead.
    environment |= {f"HOLDFAST_PROVIDERS__{name}__QUOTAS": "[]" for name in ("APOLLO", "HUNTER")}
    async with running_rig(directory, **environment) as rig:
        await rig.shape_providers(latency_ms=5, hit_rate=0.5)
        return [await _bulk(rig), *await _reuse(rig), *await _memory(rig)]


async def _bulk(rig: Rig) -> Row:
    await rig.forget_calls()
    await _finished(rig, domains(BULK_RECORDS, salt="bulk"), providers=["apollo"])
    calls = len(await rig.log("apollo"))
    label = f"apollo, {BULK_RECORDS:,} records: HTTP calls"
    return Row(label, calls, "calls", BULK_RECORDS, calls / BULK_RECORDS, f"≤ {BULK_CALLS:,}", calls <= BULK_CALLS)


async def _reuse(rig: Rig) -> list[Row]:
    names = domains(REUSED_RECORDS, salt="reused")
    bought, _ = await _finished(rig, names, providers=["apollo"])
    await rig.forget_calls()
    reused, _ = await _finished(rig, names, providers=["apollo"], reuse_within_seconds=_MONTH)
    calls = len(await rig.log("apollo"))
    label = f"{REUSED_RECORDS:,} records, all of them reused"
    floor = REUSED_RECORDS / bought
    rate = REUSED_RECORDS / reused
    target = f"≥ {REUSED_PER_SECOND:,} records/s"
    return [
        Row(f"{label}: throughput", rate, "records/s", floor, rate / floor, target, rate >= REUSED_PER_SECOND),
        Row(f"{label}: HTTP calls", calls, "calls", target="0", met=calls == 0),
    ]


async def _memory(rig: Rig) -> list[Row]:
    _, small = await _finished(rig, domains(SMALL, salt="small"), providers=["apollo", "hunter"])
    _, large = await _finished(rig, domains(LARGE, salt="large"), providers=["apollo", "hunter"])
    rows = []
    for role in ("worker", "api"):
        peak, floor = large[role].peak_mb, small[role].peak_mb
        label = f"{LARGE:,} records beside {SMALL:,}: peak memory, {role}"
        rows.append(Row(label, peak, "MB", floor, peak / floor, "≤ 1.1", peak <= 1.1 * floor))
    return rows


async def _finished(rig: Rig, names: list[str], **options: Any) -> tuple[float, dict[str, Usage]]:
    """How many seconds a job over these domains took, and what the processes used."""
    async with watched(rig.state.pids) as usage:
        job = await rig.submit(names, **_OPTIONS, **options)
        job = await rig.until_finished(job["id"], seconds=120 + len(names) / 200)
    assert job["status"] == "completed", job
    assert job["counts"]["failed"] == 0, job
    return (_time(job["finished_at"]) - _time(job["created_at"])).total_seconds(), usage


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
