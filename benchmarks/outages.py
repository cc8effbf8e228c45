"""A provider that goes away under load, and one that hangs beside others: what it receives while it is away, how the
backlog drains, whether all adds up, and what the others notice."""

import asyncio
import bisect
import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from app.provider_settings import BreakerSettings
from benchmarks.books import books
from benchmarks.measure import Row
from benchmarks.rig import ANSWERED, Rig, domains, running_rig

WORKERS = 4
QUOTA_PER_SECOND = 200
LATENCY_MS = 50.0
# A worker can know of a failure when its answer is there, and of another's open circuit a tenth of a second later.
KNOWN_SECONDS = LATENCY_MS / 1000 + 0.1
BACKLOG, CALLS_BEFORE = 10_000, 500
DOWN_SECONDS = 60.0
LONGEST_DRAIN = 1.2
OVER_QUOTA = 1.05
_RATE_LIMITED = 403
_DOWN = 503

_ENVIRONMENT = {
    "HOLDFAST_PROVIDERS__HUNTER__QUOTAS": f'[{{"calls": {QUOTA_PER_SECOND}, "seconds": 1}}]',
}

HANGING_RECORDS, BESIDE_RECORDS, BESIDE_RUNS = 2_000, 3_000, 3
# A hanging call hangs for as long as all that is measured beside it takes.
_HANGS = {"HOLDFAST_PROVIDERS__HUNTER__TIMEOUT_SECONDS": "120"}
BESIDE_TARGET = 0.95


async def outages(directory: Path) -> list[Row]:
    """The outage under load and the hanging provider, on stacks in `directory`."""
    async with running_rig(directory / "outage", workers=WORKERS, **_ENVIRONMENT) as rig:
        rows = await outage_under_load(rig)
    async with running_rig(directory / "hanging", workers=1, **_HANGS) as rig:
        return rows + await beside_a_hanging_provider(rig)


async def outage_under_load(rig: Rig) -> list[Row]:
    """Take the provider of a job down for a minute once it has answered some calls."""
    await rig.shape_providers(latency_ms=LATENCY_MS, hit_rate=0.5)
    # The vendor's own limit is where ours may be at the most: a refusal says that we were too fast.
    await rig.sandbox("PUT", "/_options/hunter", requests_per_second=int(QUOTA_PER_SECOND * OVER_QUOTA))
    records = BACKLOG + CALLS_BEFORE
    job = await rig.submit(domains(records, salt="outage"), fields=["name"], providers=["hunter"])
    async with asyncio.timeout(60):
        while len(await rig.log("hunter")) < CALLS_BEFORE / 2:  # noqa: ASYNC110  the sandbox is another process
            await asyncio.sleep(0.05)
    down_at = time.monotonic()
    await rig.fault("hunter", "outage")
    await asyncio.sleep(DOWN_SECONDS)
    up_at = await rig.mend()
    print(f"  down after {down_at:.1f}, up at {up_at:.1f}; {(await rig.job(job['id']))['counts']}")
    job = await rig.until_finished(job["id"], seconds=300, every=0.5)
    finished_at = datetime.fromisoformat(job["finished_at"]).timestamp() - time.time() + time.monotonic()
    log = await rig.log("hunter")
    audited = await books(rig, records, await rig.billed())
    for violation in audited.violations:
        print(f"  {violation}")

    label = f"{WORKERS} workers, down {DOWN_SECONDS:.0f} s"
    refused = [at for at, status in log if status == _DOWN]
    late = [at for at in refused if at > refused[0] + KNOWN_SECONDS]
    breaker = BreakerSettings()
    windows = math.ceil(DOWN_SECONDS / breaker.reset_seconds)
    most = breaker.fail_max * WORKERS + windows
    print(f"  calls while down, seconds after the first: {[round(at - refused[0], 2) for at in late]}")

    answered = [at for at, status in log if status in ANSWERED]
    closed_at = next(at for at in answered if at >= up_at)
    backlog = records - sum(at < closed_at for at in answered)
    drained, allowed = finished_at - closed_at, LONGEST_DRAIN * backlog / QUOTA_PER_SECOND
    fastest = QUOTA_PER_SECOND * OVER_QUOTA
    times = [at for at, _ in log]
    by_second = max(Counter(math.floor(at) for at in times).values())
    storm = sum(status == _RATE_LIMITED for _, status in log)
    print(f"  calls a second after the close: {_by_second(times, closed_at)}")
    added_up = not audited.violations
    return [
        Row(f"{label}: calls sent before the first refusal was known", len(refused) - len(late), "calls"),
        Row(f"{label}: calls after that, while down", len(late), "calls", target=f"≤ {most}", met=len(late) <= most),
        Row(f"{label}: recovery to the circuit's close", closed_at - up_at, "s"),
        Row(f"{label}: records left at the close", backlog, "records"),
        Row(f"{label}: close to the end of the job", drained, "s", backlog / QUOTA_PER_SECOND,
            drained * QUOTA_PER_SECOND / backlog, f"≤ {allowed:.1f} s", drained <= allowed),
        Row(f"{label}: most calls in a second of the clock", by_second, "calls", QUOTA_PER_SECOND,
            by_second / QUOTA_PER_SECOND, f"≤ {fastest:g}", by_second <= fastest),
        Row(f"{label}: most calls in any second", most_in_a_second(times), "calls", QUOTA_PER_SECOND,
            most_in_a_second(times) / QUOTA_PER_SECOND),
        Row(f"{label}: refused by the vendor as too fast", storm, "calls", target="0", met=storm == 0),
        Row(f"{label}: lost", audited.lost, "records", target="0", met=audited.lost == 0),
        Row(f"{label}: charged twice", audited.doubled, "charges", target="0", met=audited.doubled == 0),
        Row(f"{label}: billed again, our cost", audited.again, "calls"),
        Row(f"{label}: rules of the audit broken", len(audited.violations), "rules", target="0", met=added_up),
    ]  # fmt: skip


def most_in_a_second(times: Sequence[float]) -> int:
    """The most of these moments (sorted) that lie within one second, wherever it begins."""
    return max((bisect.bisect_left(times, at + 1) - number for number, at in enumerate(times)), default=0)


def _by_second(times: Sequence[float], since: float) -> list[int]:
    seconds = Counter(math.floor(at - since) for at in times if at >= since)
    return [seconds[number] for number in range(max(seconds, default=-1) + 1)]


async def beside_a_hanging_provider(rig: Rig) -> list[Row]:
    """Throughput of jobs of one provider, without and with a job whose provider hangs."""
    await rig.shape_providers(latency_ms=20, hit_rate=0.5)
    await _beside(rig, "warm")
    alone = [await _beside(rig, f"alone-{run}") for run in range(BESIDE_RUNS)]
    await rig.fault("hunter", "hang")
    await rig.submit(domains(HANGING_RECORDS, salt="hang"), fields=["name"], providers=["hunter"])
    async with asyncio.timeout(30):
        while not await rig.log("hunter"):  # noqa: ASYNC110  the sandbox is another process
            await asyncio.sleep(0.05)
    beside = [await _beside(rig, f"beside-{run}") for run in range(BESIDE_RUNS)]
    hanging = sum(status == 0 for _, status in await rig.log("hunter"))
    floor, value = statistics.median(alone), statistics.median(beside)
    print(f"  {hanging} calls hang; alone {alone}, beside {beside}")
    return [
        Row("throughput of apollo while hunter hangs", value, "records/s", floor, value / floor,
            f"≥ {BESIDE_TARGET}", value / floor >= BESIDE_TARGET),
    ]  # fmt: skip


async def _beside(rig: Rig, salt: str) -> float:
    """Records a second of a job that asks apollo only."""
    job = await rig.submit(domains(BESIDE_RECORDS, salt=salt), fields=["name"], providers=["apollo"])
    job = await rig.until_finished(job["id"], seconds=100, every=0.5)
    assert job["status"] == "completed", job
    took = datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["created_at"])
    return BESIDE_RECORDS / took.total_seconds()
