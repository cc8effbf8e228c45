"""SIGKILL of the worker at random moments of a running job: what is lost, what is charged twice, how much is bought
again, and how soon the next worker makes its first call."""

import asyncio
import math
import os
import signal
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random

from app.settings import EnrichmentSettings
from benchmarks.books import books
from benchmarks.measure import Row
from benchmarks.rig import PROVIDERS, Rig, domains, running_rig

LATENCY_MS = 100.0
HIT_RATE = 0.5
TARGET_SECONDS = 6.0
# The supervisor waits longer after each death, and a worker that comes late finds the heartbeats of the last one
# expired: that would flatter the figure. So a few kills a stack.
ROUNDS, KILLS_A_ROUND = 5, 4
# 100 calls of 100 ms in flight and 1.75 calls a record end at most 571 records a second: four lives of three seconds
# do not see the end of this job.
RECORDS, LONGEST_LIFE_SECONDS = 7_000, 3.0
_OPTIONS = {"fields": ["name"], "providers": list(PROVIDERS)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job whose worker was killed several times.

    `lost` counts records without an end and things bought without an answer, `doubled` charges for what was charged
    before. `repeated` are the calls that each kill caused to be made again, `unexplained` those that no kill did;
    `bound` is what a kill may cause. `seconds` are from each restart to the first call after it, `seconds_from_kill`
    from the kill to that call.
    """

    lost: int
    doubled: int
    violations: list[str]
    repeated: list[int]
    unexplained: int
    bound: int
    seconds: list[float]
    seconds_from_kill: list[float]


async def kills(directory: Path, *, seed: int) -> list[Row]:
    """Twenty kills, at moments drawn from `seed`, on stacks in `directory`."""
    print(f"  kills: seed {seed}")
    random = Random(seed)
    outcomes = []
    for number in range(ROUNDS):
        async with running_rig(directory / f"kills-{number}") as rig:
            outcomes.append(
                await kill_workers(
                    rig, random, kills=KILLS_A_ROUND, records=RECORDS, longest_life_seconds=LONGEST_LIFE_SECONDS
                )
            )
    return rows(outcomes)


async def kill_workers(rig: Rig, random: Random, *, kills: int, records: int, longest_life_seconds: float) -> Outcome:
    """Run one job and kill the stack's only worker so many times, each at a random moment of at most so many seconds
    after its first call.

    The job must be long enough for that. Raises TimeoutError when no call follows a kill, or the job does not end.
    """
    await rig.shape_providers(latency_ms=LATENCY_MS, hit_rate=HIT_RATE)
    calls = CallLog(rig)
    seconds, seconds_from_kill = [], []
    job = await rig.submit(domains(records, salt="kill"), **_OPTIONS)
    await calls.first()
    for _ in range(kills):
        life = random.uniform(0, longest_life_seconds)
        await asyncio.sleep(life)
        killed_at = time.monotonic()
        worker = _kill_worker(rig)
        restarted_at, _ = await asyncio.gather(_restarted(rig, worker), calls.end_life())
        job = await rig.job(job["id"])
        assert job["finished_at"] is None, "the job had ended before the kill"
        called_at = await calls.first()
        seconds.append(called_at - restarted_at)
        seconds_from_kill.append(called_at - killed_at)
        print(
            f"  killed {life:.2f} s after its first call, started again {restarted_at - killed_at:.2f} s later,"
            f" first call {seconds[-1]:.2f} s after that"
        )
    await rig.until_finished(job["id"], seconds=60 + records / 100)
    await calls.end_life()
    return await _outcome(rig, calls, records, seconds, seconds_from_kill)


async def _outcome(
    rig: Rig, calls: "CallLog", records: int, seconds: list[float], seconds_from_kill: list[float]
) -> Outcome:
    shape = EnrichmentSettings()
    audited = await books(rig, records, calls.billed)
    *repeated, unexplained = calls.repeated()
    return Outcome(
        lost=audited.lost,
        doubled=audited.doubled,
        violations=audited.violations,
        repeated=repeated,
        unexplained=unexplained,
        bound=min(shape.calls_per_workspace, shape.window * shape.calls_per_lookup)
        + shape.window * shape.flush_answers,
        seconds=seconds,
        seconds_from_kill=seconds_from_kill,
    )


class CallLog:
    """The calls that the sandbox received, by the life of the worker in which they were made."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._lives: list[Counter[tuple[str, str]]] = []
        self.billed: defaultdict[str, Counter[str]] = defaultdict(Counter)

    async def first(self, *, within_seconds: float = 60) -> float:
        """The moment (monotonic) of the first call of this life. Raises TimeoutError when there is none."""
        async with asyncio.timeout(within_seconds):
            while not await self._total():  # noqa: ASYNC110  the sandbox is another process
                await asyncio.sleep(0.02)
        return time.monotonic()

    async def end_life(self) -> None:
        """Note the calls of the life that ended. Not to be called while a worker makes some."""
        before = -1
        # What a killed worker had sent may still be on its way.
        while before != (total := await self._total()):
            before = total
            await asyncio.sleep(0.03)
        life: Counter[tuple[str, str]] = Counter()
        for provider, received in (await self._rig.sandbox("GET", "/_calls")).items():
            # A visit to www. follows a redirect: it belongs to the call that began at the bare domain.
            life.update({(provider, k): n for k, n in received["by_key"].items() if not k.startswith("www.")})
            self.billed[provider].update(received["charged_by_key"])
        self._lives.append(life)
        await self._rig.sandbox("DELETE", "/_calls")

    def repeated(self) -> list[int]:
        """For each life, how many of its calls were made again, then or later."""
        again = [0] * len(self._lives)
        last: dict[tuple[str, str], int] = {}
        for number, life in enumerate(self._lives):
            for call, times in life.items():
                again[number] += times - 1
                if call in last:
                    again[last[call]] += 1
                last[call] = number
        return again

    async def _total(self) -> int:
        received = await self._rig.sandbox("GET", "/_calls")
        return sum(received[provider]["total"] for provider in PROVIDERS)


def _kill_worker(rig: Rig) -> int:
    [worker] = rig.state.pids["worker"]
    os.kill(worker, signal.SIGKILL)
    return worker


async def _restarted(rig: Rig, killed: int) -> float:
    """The moment (monotonic) at which another worker was started in the place of the killed one."""
    while rig.state.pids["worker"] in ([], [killed]):  # noqa: ASYNC110  the supervisor sets no event for this
        await asyncio.sleep(0.01)
    return time.monotonic()


def rows(outcomes: list[Outcome]) -> list[Row]:
    """The figures of several jobs together."""
    seconds = sorted(each for outcome in outcomes for each in outcome.seconds)
    repeated = [each for outcome in outcomes for each in outcome.repeated]
    label = f"{len(seconds)} kills of the worker"
    lost = sum(outcome.lost for outcome in outcomes)
    doubled = sum(outcome.doubled for outcome in outcomes)
    violations = [violation for outcome in outcomes for violation in outcome.violations]
    unexplained = sum(outcome.unexplained for outcome in outcomes)
    bound = min(outcome.bound for outcome in outcomes)
    most = max(repeated)
    from_kill = max(each for outcome in outcomes for each in outcome.seconds_from_kill)
    p95 = seconds[math.ceil(0.95 * len(seconds)) - 1]
    in_time = p95 <= TARGET_SECONDS
    for violation in violations:
        print(f"  {violation}")
    return [
        Row(f"{label}: lost", lost, "records", target="0", met=lost == 0),
        Row(f"{label}: charged twice", doubled, "charges", target="0", met=doubled == 0),
        Row(f"{label}: rules of the audit broken", len(violations), "rules", target="0", met=not violations),
        Row(f"{label}: most calls repeated after one", most, "calls", target=f"≤ {bound}", met=most <= bound),
        Row(f"{label}: calls repeated in all", sum(repeated), "calls"),
        Row(f"{label}: calls repeated without one", unexplained, "calls", target="0", met=unexplained == 0),
        Row(f"{label}: restart to first call, p95", p95, "s", target=f"≤ {TARGET_SECONDS:g} s", met=in_time),
        Row(f"{label}: restart to first call, longest", seconds[-1], "s"),
        Row(f"{label}: kill to first call, longest", from_kill, "s"),
    ]  # fmt: skip
