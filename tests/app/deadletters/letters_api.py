"""Dead letters over HTTP for tests: jobs that leave some, and redrives without a worker."""

from collections.abc import Iterable
from typing import Any

import httpx

from app.deadletters import redrives
from app.enrichment.redrive import redrive_page
from app.providers.errors import InvalidQuery, ProviderError
from app.providers.ports import Answer, Found, Missed, Query
from app.providers.registry import offers
from tests.api import settings_for
from tests.app.enrichment.jobs_api import SETTINGS, JobsApi
from tests.fakes import FakeSource
from tests.servers import Database
from workflows.contracts.deadletters import RedriveRef

FIELDS = ("city", "industry")


def refuses(query: Query) -> Answer | ProviderError:
    """Knows nothing of unknown.com, and refuses all others."""
    if query.key.endswith("unknown.com"):
        return Missed()
    return InvalidQuery("website", "refuses the query")


def fails_for(*domains: str) -> FakeSource:
    """Finds something of all but these."""

    def answer(query: Query) -> Answer | ProviderError:
        if query.key.removeprefix("domain:") in domains:
            return InvalidQuery("website", "refuses the query")
        return Found(dict.fromkeys(FIELDS, "x"))

    return website(answer)


def website(answer: Any = None) -> FakeSource:
    return FakeSource("website", answer, fields=FIELDS, credit_cost=1)


class LettersApi:
    """The dead letters of the workspace of `api`."""

    def __init__(self, api: JobsApi, database: Database) -> None:
        self.api = api
        self.path = f"{api.tenant.path}/dead-letters"
        self._offers = offers(settings_for(database).providers)

    async def answer(self, path: str = "", **params: Any) -> httpx.Response:
        return await self.api.client.get(self.path + path, params=params, headers=self.api.tenant.headers)

    async def get(self, path: str = "", **params: Any) -> Any:
        answer = await self.answer(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def post(self, path: str, body: object, *, key: str | None = None) -> httpx.Response:
        headers = self.api.tenant.headers | ({"Idempotency-Key": key} if key else {})
        return await self.api.client.post(self.path + path, json=body, headers=headers)

    async def failed_job(self, domains: Iterable[str], source: FakeSource | None = None, **options: Any) -> str:
        """A job that has ended; all but unknown.com were refused, unless `source` did better."""
        body = {
            "entity": "company",
            "records": [{"key": domain, "domain": domain} for domain in domains],
            "fields": FIELDS,
            "providers": ["website"],
            **options,
        }
        job_id: str = (await self.api.started(body))["id"]
        await self.api.work(job_id, source or website(refuses))
        return job_id

    async def redrive(self, body: object) -> dict[str, Any]:
        """Request a redrive, and do what its workflow does."""
        answer = await self.post("/redrive", body)
        assert answer.status_code == 202, answer.text
        redrive_id = answer.json()["data"]["id"]
        await self.work(redrive_id)
        found: dict[str, Any] = await self.get(f"/redrives/{redrive_id}", limit=500)
        return found

    async def work(self, redrive_id: str) -> None:
        ref = RedriveRef(str(self.api.tenant.workspace_id), redrive_id)
        is_last = False
        while not is_last:
            page = await redrive_page(self.api.sessions, ref, self._offers, SETTINGS, low_threshold=0)
            is_last = page.is_last
        await redrives.finish(self.api.sessions, ref)

    async def states(self, **params: Any) -> dict[str, str]:
        """State by reference."""
        return {each["reference"]["id"]: each["state"] for each in await self.get(limit=500, **params)}
