"""What people and the workflow do about an erasure, and whom it is about, for tests."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text

from app.enrichment import erase, erase_elsewhere, raw_answers
from app.enrichment.erasures import finish
from app.providers.ports import Answer, Found, Missed, Query
from app.tables import metadata
from tests.app.enrichment.jobs_api import JobsApi
from tests.fakes import FakeSource
from tests.migrations.rows import rows_of
from workflows.contracts.erasures import ErasePage, ErasureRef

ANN = "ann@example.com"
PROVIDERS = {"apollo": {"api_key": "k"}}
PEOPLE = [
    {"key": "by-address", "email": "Ann@Example.com", "full_name": "Ann Lee", "notes": "met in May"},
    {"key": ANN, "email": f" {ANN}", "full_name": "A. Lee"},
    {"key": "by-name", "full_name": "Ann Lee", "domain": "example.com"},
    {"key": "by-name-too", "full_name": "Ann Lee", "domain": "www.example.com", "notes": "the same"},
    {"key": "bob", "email": "bob@example.org", "full_name": "Bob Ray", "notes": f"reports to Ann <{ANN}>"},
    {"key": "joann", "email": "joann@example.com", "full_name": "Jo Ann"},
]
FIELDS = ("email", "title", "bio")


def people(query: Query) -> Answer:
    match query.subject:
        case {"email": "bob@example.org"}:
            return Found({"title": "CTO", "bio": f"Ask my boss, {ANN}"})
        case {"email": "joann@example.com"}:
            return Missed()
    return Found({"email": ANN, "title": "CEO"})


class Erasing:
    """What people and the workflow do about an erasure."""

    def __init__(self, api: JobsApi) -> None:
        self.api = api
        self.path = f"{api.tenant.path}/enrichment/erasures"

    async def post(self, body: object, *, key: str | None = None) -> Any:
        headers = self.api.tenant.headers | ({"Idempotency-Key": key} if key else {})
        return await self.api.client.post(self.path, json=body, headers=headers)

    async def get(self, path: str = "", **params: Any) -> Any:
        answer = await self.api.client.get(self.path + path, params=params, headers=self.api.tenant.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def begin(self, **body: str) -> str:
        answer = await self.post(body)
        assert answer.status_code == 202, answer.text
        erasure_id: str = answer.json()["data"]["id"]
        return erasure_id

    async def look(self, erasure_id: str, *, is_second: bool = False) -> bool:
        """One look at everything; whether something may come back."""
        workspace_id, sessions = str(self.api.tenant.workspace_id), self.api.sessions
        again = False
        for place in (
            erase.erase_records,
            erase_elsewhere.erase_raw_answers,
            erase_elsewhere.erase_events,
            erase_elsewhere.erase_remembered_answers,
        ):
            after: str | None = ""
            while after is not None:
                page = await place(sessions, ErasePage(workspace_id, erasure_id, after, is_second))
                after, again = page.after, again or page.again
        return again

    async def finish(self, erasure_id: str) -> dict[str, Any]:
        await finish(self.api.sessions, ErasureRef(str(self.api.tenant.workspace_id), erasure_id))
        erasure: dict[str, Any] = await self.get(f"/{erasure_id}")
        return erasure

    async def erase(self, **body: str) -> dict[str, Any]:
        erasure_id = await self.begin(**body)
        await self.look(erasure_id)
        return await self.finish(erasure_id)


async def start(api: JobsApi, records: Sequence[dict[str, str]] = PEOPLE, entity: str = "person", **more: Any) -> str:
    body = {"entity": entity, "records": list(records), "fields": FIELDS, "providers": ["apollo"], **more}
    job_id: str = (await api.started(body))["id"]
    return job_id


def apollo(answer: Any = people, **more: Any) -> FakeSource:
    return FakeSource("apollo", answer, **{"fields": FIELDS, "entity": "person", "needs": "full_name", **more})


async def keep_raw(api: JobsApi, job_id: str, *answers: tuple[int, bytes]) -> None:
    async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
        await raw_answers.keep(session, api.tenant.workspace_id, UUID(job_id), "apollo", answers)


async def change(api: JobsApi, statement: str, **values: Any) -> None:
    async with api.sessions.for_workspace(api.tenant.workspace_id) as session:
        await session.execute(text(statement), values)


async def raw_of(api: JobsApi, job_id: str) -> dict[int, bytes]:
    rows = await api.rows("SELECT body FROM enrichment_raw_answers WHERE job_id = :id", id=job_id)
    return {position: raw for row in rows for position, raw in raw_answers.unpack(row["body"]).items()}


async def write_about(api: JobsApi, words: str) -> None:
    """What people and receivers may write: an endpoint's description, its answer, why a letter was discarded."""
    rows = rows_of(api.tenant.workspace_id)
    rows["webhook_endpoints"]["description"] = rows["webhook_attempts"]["answer"] = words
    rows["dead_letters"] |= {"state": "discarded", "discard_reason": words}
    async with api.owner.unscoped() as session:
        for table in ("events", "webhook_endpoints", "webhook_deliveries", "webhook_attempts", "dead_letters"):
            await session.execute(insert(metadata.tables[table]).values(rows[table]))
