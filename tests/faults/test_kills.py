"""The benchmark of killed workers in small: the embedded stack, whose supervisor brings the worker back."""

from pathlib import Path
from random import Random

from benchmarks.kills import kill_workers
from benchmarks.rig import running_rig


async def test_a_worker_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with running_rig(tmp_path) as rig:
        outcome = await kill_workers(rig, Random(2), kills=2, records=600, longest_life_seconds=0.3)

    assert (outcome.lost, outcome.doubled, outcome.violations) == (0, 0, [])
    assert len(outcome.repeated) == len(outcome.seconds) == 2
    assert max(outcome.repeated) <= outcome.bound
    assert outcome.unexplained == 0
