"""What a single lookup takes over the provider's own latency, from the request to its answer."""

import asyncio
import time
from pathlib import Path
from statistics import median

from benchmarks.measure import Row
from benchmarks.rig import Rig, running_rig

LATENCY_MS = 20.0
WARM, LOOKUPS = 30, 300
# Between two of them: the job of one is settled after its answer, and not to be measured with the next.
PAUSE_SECONDS = 0.2
MOST_P50_MS, MOST_P99_MS = 60.0, 150.0

_OPTIONS = {"entity": "company", "fields": ["name"], "providers": ["hunter"], "wait_seconds": 30}


async def lookups(directory: Path) -> list[Row]:
    """One at a time, on a stack in `directory`, of a provider that answers after `LATENCY_MS`."""
    async with running_rig(directory, HOLDFAST_RATE_LIMITS__API="0") as rig:
        await rig.shape_providers(latency_ms=LATENCY_MS, hit_rate=1.0)
        for number in range(WARM):
            await _overhead_ms(rig, f"warm-{number}.com")
        overheads = sorted([await _overhead_ms(rig, f"lookup-{number}.com") for number in range(LOOKUPS)])
    p50, p99 = median(overheads), overheads[int(len(overheads) * 0.99)]
    return [
        Row(f"a single lookup, over its provider: {name}", value, "ms", target=f"≤ {most:g} ms", met=value <= most)
        for name, value, most in (("p50", p50, MOST_P50_MS), ("p99", p99, MOST_P99_MS))
    ]


async def _overhead_ms(rig: Rig, domain: str) -> float:
    begun = time.perf_counter()
    answer = await rig.look_up({"domain": domain}, **_OPTIONS)
    taken = (time.perf_counter() - begun) * 1000
    assert answer["record"]["status"] == "matched", answer
    await asyncio.sleep(PAUSE_SECONDS)
    return taken - LATENCY_MS
