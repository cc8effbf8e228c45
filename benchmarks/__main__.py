"""``python -m benchmarks [NAME …]``: run the benchmarks, print a table, write build/bench.json.

Every figure is a ratio to a floor that was measured in the same run, where there is one.
"""

import argparse
import tempfile
from pathlib import Path

from app.temporal import run_async
from benchmarks.measure import Row, report
from benchmarks.rig import running_rig
from benchmarks.throughput import throughput

OUTPUT = Path("build/bench.json")


async def run(names: list[str]) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as directory:
        async with running_rig(Path(directory), HOLDFAST_CREDITS__LOCAL_GRANT="100000000") as rig:
            if "throughput" in names:
                rows += await throughput(rig, 10_000, 0.80)
            if "large" in names:
                rows += await throughput(rig, 100_000, 0.85)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["throughput", "large"])
    rows = run_async(run(parser.parse_args().names))
    print(report(rows, OUTPUT))


if __name__ == "__main__":
    main()
