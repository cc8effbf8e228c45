"""The benchmark of faults in small: what a provider does wrong for a second, to a job of ten records, on the embedded
stack. Nothing is lost, nothing is charged twice, and the job ends. With ``FAULTS=all`` every fault, else each third."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from benchmarks.faults import FAULTS, Fault, Outcome, lose_the_way, suffer
from benchmarks.rig import PROVIDERS, Rig, running_rig

RECORDS, SECONDS = 10, 1.0
ENVIRONMENT = {
    f"HOLDFAST_PROVIDERS__{provider.upper()}__{name}": value
    for provider in PROVIDERS
    for name, value in {"BREAKER__RESET_SECONDS": "0.5", "TIMEOUT_SECONDS": "0.4"}.items()
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """A stack whose circuits reset quickly, for all faults."""
    async with running_rig(tmp_path_factory.mktemp("faults"), workers=1, **ENVIRONMENT) as rig:
        yield rig


CHOSEN = FAULTS if os.environ.get("FAULTS") == "all" else FAULTS[::3]


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.name)
async def test_a_fault_loses_nothing_and_charges_nothing_twice(rig: Rig, fault: Fault) -> None:
    small = replace(fault, seconds=SECONDS, records=RECORDS, latency_ms=20, times=min(fault.times, 2))

    outcome = await suffer(rig, small)

    _all_adds_up(outcome)


async def test_providers_that_cannot_be_reached_lose_nothing(tmp_path: Path) -> None:
    unresolved, untrusted = await lose_the_way(tmp_path, ENVIRONMENT, records=RECORDS, seconds=SECONDS)

    for outcome in (unresolved, untrusted):
        _all_adds_up(outcome)
        # No call reached them before, and no record took more than one after.
        assert 0 < outcome.calls <= RECORDS


def _all_adds_up(outcome: Outcome) -> None:
    assert (outcome.books.lost, outcome.books.doubled, outcome.books.violations) == (0, 0, [])
    assert outcome.status == "completed"
    ends = Counter(outcome.records)
    # So few calls open no circuit, and an answer that cannot be read twice is the end of its record.
    failed = ends["failed"] if outcome.name == "malformed JSON" else 0
    assert ends["matched"] + ends["not_found"] + failed == ends["total"]
