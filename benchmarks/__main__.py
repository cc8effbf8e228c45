"""``python -m benchmarks [NAME …]``: run the benchmarks, print a table, write build/bench.json.

Every figure is a ratio to a floor that was measured in the same run, where there is one.
"""

import argparse
import secrets
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from app.temporal import run_async
from benchmarks.api import api
from benchmarks.billing import billing
from benchmarks.events import events
from benchmarks.fairness import fairness
from benchmarks.faults import faults
from benchmarks.gate import gate
from benchmarks.kills import kills
from benchmarks.lookups import lookups
from benchmarks.measure import Row, report
from benchmarks.outages import outages
from benchmarks.rig import running_rig
from benchmarks.throughput import throughput
from benchmarks.waterfall import waterfall
from benchmarks.webhooks import webhooks

OUTPUT = Path("build/bench.json")
ON_ITS_OWN_STACK: Mapping[str, Callable[[Path], Awaitable[list[Row]]]] = {
    "api": api,
    "gate": gate,
    "lookups": lookups,
    "fairness": fairness,
    "waterfall": waterfall,
    "webhooks": webhooks,
    "events": events,
    "billing": billing,
}
ALL = ["throughput", "large", "kills", "outages", "faults", *ON_ITS_OWN_STACK]


async def run(names: list[str], seed: int) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as directory:
        if "throughput" in names or "large" in names:
            async with running_rig(Path(directory), HOLDFAST_CREDITS__LOCAL_GRANT="100000000") as rig:
                if "throughput" in names:
                    rows += await throughput(rig, 10_000, 0.80, runs=3)
                if "large" in names:
                    rows += await throughput(rig, 100_000, 0.85)
        if "kills" in names:
            rows += await kills(Path(directory), seed=seed)
        if "outages" in names:
            rows += await outages(Path(directory))
        if "faults" in names:
            rows += await faults(Path(directory))
        for name, benchmark in ON_ITS_OWN_STACK.items():
            if name in names:
                rows += await benchmark(Path(directory) / name)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=ALL)
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(1_000_000), help="of the moments of the kills; printed, to repeat"
    )
    arguments = parser.parse_args()
    rows = run_async(run(arguments.names, arguments.seed))
    print(report(rows, OUTPUT))


if __name__ == "__main__":
    main()
