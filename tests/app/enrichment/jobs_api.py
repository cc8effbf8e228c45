"""Enrichment jobs over HTTP for tests, and what they leave in the database."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from pydantic import SecretStr
from sqlalchemy import text

from app.credentials.opening import Opener
from app.credits.service import grant
from app.db import Sessions, create_engine
from app.enrichment.lookup import look_up
from app.enrichment.places import Places
from app.enrichment.plan import plan
from app.enrichment.settle import settle
from app.settings import DatabaseSettings, EnrichmentSettings
from tests.api import Tenant, new_tenant, owner_sessions, running_api
from tests.fakes import FakeSource
from tests.servers import Database
from workflows.contracts.enrichment import JobRef, Lookup

SETTINGS = EnrichmentSettings(flush_seconds=0.02)


@dataclass(frozen=True, slots=True)
class JobsApi:
    """A client of one workspace's jobs. `sessions` are the API's role on the same database, `owner` its owner."""

    client: httpx.AsyncClient
    tenant: Tenant
    sessions: Sessions
    owner: Sessions

    @property
    def path(self) -> str:
        return f"{self.tenant.path}/enrichment/jobs"

    async def get(self, path: str = "", **params: Any) -> httpx.Response:
        return await self.client.get(self.path + path, params=params, headers=self.tenant.headers)

    async def post(self, path: str, *, key: str | None = None) -> httpx.Response:
        return await self.client.post(self.path + path, headers=self._headers(key))

    async def start(self, body: object, *, key: str | None = None) -> httpx.Response:
        return await self.client.post(self.path, headers=self._headers(key), content=json.dumps(body))

    async def upload(
        self, file: bytes, options: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> httpx.Response:
        return await self.client.post(
            self.path,
            headers=self._headers(key),
            files={"file": ("companies.csv", file, "text/csv")},
            data={"options": json.dumps({"entity": "company"} | dict(options or {}))},
        )

    async def started(self, body: object) -> dict[str, Any]:
        answer = await self.start(body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json()["data"])

    async def records(self, job_id: str, **params: Any) -> list[dict[str, Any]]:
        answer = await self.get(f"/{job_id}/records", **params)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])

    async def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """What the workspace has in its tables."""
        async with self.sessions.for_workspace(self.tenant.workspace_id) as session:
            return [dict(row) for row in (await session.execute(text(query), values)).mappings()]

    async def commands(self) -> list[dict[str, Any]]:
        """The workspace's outbox, of which the API's role sees nothing."""
        query = text("SELECT * FROM outbox_commands WHERE workspace_id = :workspace_id ORDER BY id")
        async with self.owner.unscoped() as session:
            rows = await session.execute(query, {"workspace_id": self.tenant.workspace_id})
            return [dict(row) for row in rows.mappings()]

    async def grant(self, amount: int) -> None:
        async with self.owner.for_workspace(self.tenant.workspace_id) as session:
            await grant(session, self.tenant.workspace_id, amount, key="more", reason="More credits for a test")

    async def work(
        self,
        job_id: str,
        *sources: FakeSource,
        end: bool = True,
        opener: Opener | None = None,
        verifier: FakeSource | None = None,
    ) -> None:
        """Do what the job's workflow does, these sources standing in for its providers; settle it unless `end` is
        false. `opener` opens the workspace's own credentials."""
        known = {each.name: each for each in (*sources, *([verifier] if verifier else []))}
        workspace_id = str(self.tenant.workspace_id)
        progress = await plan(self.sessions, JobRef(workspace_id, job_id), SETTINGS, run_id=None)
        for source in sources:
            command = Lookup(
                workspace_id, job_id, source.name, progress.first, progress.last, source.name == progress.providers[-1]
            )
            await look_up(
                self.sessions,
                known,
                command,
                SETTINGS,
                opener=opener or Opener({}),
                places=Places(100, 4, shared_calls=100),
                stopping=lambda: False,
            )
        if end:
            await settle(self.sessions, self.tenant.workspace_id, UUID(job_id), interrupted="")

    def _headers(self, key: str | None) -> dict[str, str]:
        return self.tenant.headers | ({"Idempotency-Key": key} if key else {})


@asynccontextmanager
async def jobs_api(database: Database, /, *, credit: int = 1000, **overrides: object) -> AsyncIterator[JobsApi]:
    """The API on this database, and a new workspace with `credit` credits."""
    tenant = await new_tenant(database, credit=credit)
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(pool_size=2), application="tests")
    try:
        async with running_api(database, **overrides) as client, owner_sessions(database) as owner:
            yield JobsApi(client, tenant, Sessions(engine), owner)
    finally:
        await engine.dispose()
