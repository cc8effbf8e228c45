"""Jobs over providers that say what no document shows: each record ends as it is documented, the others go on, and
nothing is charged but what was found. What an adapter makes of such answers is the business of tests/fuzz."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from app.errors import AppError
from app.provider_settings import ApolloSettings, BreakerSettings, HunterSettings, ProvidersSettings
from app.providers.ports import EnrichmentSource
from app.providers.registry import open_sources
from tests.app.enrichment.lookups import SETTINGS, Lookups
from tests.fuzz.answers import Said, Vendor, mutated, vendor

DOCUMENTS = Path(__file__).parents[2] / "fuzz" / "documents"
RECORDS = 40
ENDS = {"found", "missed", "rejected", "malformed", "gave_up"}
# Those that say something of one record. What others say of the key or of the provider is told elsewhere.
STATUSES = (*(200,) * 8, 400, 404, 451, 500)


DOMAINS = [f"company-{number}.com" for number in range(RECORDS)]


def documented(name: str) -> Any:
    """What the provider's documents promise for one of the companies, or for all of them in one call."""
    file = {"hunter": "hunter_company", "apollo": "apollo_companies"}[name]
    [body] = json.loads((DOCUMENTS / f"{file}.json").read_text())["answers"].values()
    if name == "apollo":
        body["organizations"] = [{**body["organizations"][0], "primary_domain": domain} for domain in DOMAINS]
    return body


class InTurn(Vendor):
    """A vendor that gives its answers in turn, whatever is asked."""

    answers: Iterator[Said]

    async def answer(self, request: web.Request) -> web.Response:
        self.said = {request.path: next(self.answers)}
        return await super().answer(request)


@asynccontextmanager
async def opened(name: str, answers: list[Said]) -> AsyncIterator[EnrichmentSource]:
    """The real adapter, behind its gate, with a circuit that stays closed."""
    never = BreakerSettings(fail_max=10**6, min_keys=10**6)
    async with vendor(InTurn) as server:
        server.answers = cycle(answers)
        common: dict[str, Any] = {"base_url": server.url, "api_key": SecretStr("k"), "quotas": (), "breaker": never}
        of_each = ProvidersSettings(hunter=HunterSettings(**common), apollo=ApolloSettings(**common))
        async with open_sources(of_each) as sources:
            yield sources[name]


@pytest.mark.parametrize("name", ["hunter", "apollo"])
async def test_each_record_ends_and_nothing_is_charged_wrongly(lookups: Lookups, name: str):
    body = documented(name)
    good = Said(json.dumps(body).encode())
    odd = st.builds(Said, mutated(body), st.sampled_from(STATUSES))

    @settings(
        max_examples=3,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(answers=st.lists(odd, min_size=RECORDS, max_size=RECORDS))
    def collect(answers: list[Said]) -> None:
        lists.append([each for said in answers for each in (said, good)])

    lists: list[list[Said]] = []
    collect()
    for answers in lists:
        async with opened(name, answers) as source:
            await check(lookups, source)


async def check(lookups: Lookups, source: EnrichmentSource) -> None:
    job_id = await lookups.job(DOMAINS, source, fields=("name", "industry"))
    for _ in range(SETTINGS.max_tries + 3):
        # As Temporal does with what is to be tried again, only at once.
        with suppress(AppError):
            await lookups.run(job_id, source)
            break
    outcomes = [answer["outcome"] for answer in await lookups.answers(job_id)]
    assert len(outcomes) == RECORDS
    assert set(outcomes) <= ENDS
    assert "found" in outcomes
    await lookups.settle(job_id)
    job = await lookups.row(job_id)
    assert job["status"] == "completed"
    assert job["charged"] == source.credit_cost * outcomes.count("found")
