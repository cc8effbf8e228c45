"""Whatever a provider does to half of its calls: the chunk goes on, each record ends in a documented state, and the
books add up. With ``FAULTS=all`` every fault of every provider, else two of each."""

import os
from collections.abc import Iterator, Mapping

import pytest

from app.enrichment.errors import LookupPostponed
from app.providers.errors import ProviderError, RateLimited
from app.providers.gate import GatedSource
from app.providers.registry import ADAPTERS
from app.sandbox.faults import FaultMode
from tests.app.enrichment.lookups import Lookups
from tests.providers.conftest import Control, control, provider_settings, sandbox, sources

__all__ = ["control", "provider_settings", "sandbox", "sources"]

ENDS = {"found", "missed", "unreachable", "gave_up", "rejected", "malformed"}
RECORDS = 8


def faults() -> Iterator[tuple[str, FaultMode]]:
    modes = list(FaultMode)
    for number, provider in enumerate(ADAPTERS):
        chosen = modes if os.environ.get("FAULTS") == "all" else [modes[(2 * number + n) % len(modes)] for n in (0, 1)]
        yield from ((provider, mode) for mode in chosen)


def subjects(source: GatedSource) -> tuple[str, str, list[str]]:
    """Entity, kind and values of subjects that this provider can look up."""
    needs = source.capabilities.needs
    if frozenset({"domain"}) in needs.get("company", ()):
        return "company", "domain", [f"company-{n}.com" for n in range(RECORDS)]
    if "company" in needs:
        return "company", "name", [f"Company {n}" for n in range(RECORDS)]
    return "person", "email", [f"ana.roe@company-{n}.com" for n in range(RECORDS)]


@pytest.mark.parametrize(("provider", "mode"), list(faults()))
async def test_a_chunk_goes_on_whatever_happens_to_some_of_its_calls(
    lookups: Lookups, sources: Mapping[str, GatedSource], control: Control, provider: str, mode: FaultMode
):
    source = sources[provider]
    entity, subject, values = subjects(source)
    fields = source.capabilities.fields[entity]  # type: ignore[index]
    job_id = await lookups.job(
        values, source, entity=entity, subject=subject, fields=fields, max_wait_seconds=0, on_outage="wait"
    )
    await control("PUT", f"/_faults/{'hunter' if provider == 'hunter_verifier' else provider}", mode=mode, rate=0.5)

    for run in range(60):
        try:
            done = await lookups.run(job_id, source)
        except RateLimited as error:
            # It has said how long it is not to be asked: that is obeyed, and the rest waits.
            if run > 2 and (error.retry_after or 0) > 5:
                assert (await lookups.row(job_id))["failed"] == 0
                return
        except (LookupPostponed, ProviderError):
            pass
        else:
            if done.open_records == 0:
                break
        if run == 2:
            await control("DELETE", "/_faults")
        await lookups.select("UPDATE enrichment_answers SET poll_at = now() WHERE outcome = 'pending'")
    else:
        raise AssertionError("the chunk did not come to its end")

    job = await lookups.row(job_id)
    answers = await lookups.answers(job_id)
    assert {answer["outcome"] for answer in answers} <= ENDS
    assert job["matched"] + job["partial"] + job["not_found"] + job["failed"] == RECORDS
    assert job["charged"] == source.credit_cost * sum(answer["outcome"] == "found" for answer in answers)
