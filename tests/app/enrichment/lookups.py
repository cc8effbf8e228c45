"""Lookups of one workspace, as a worker runs them, against a real PostgreSQL and fake providers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.credentials.opening import Opener
from app.db import Sessions
from app.enrichment.lookup import look_up
from app.enrichment.places import Places
from app.enrichment.settle import settle
from app.providers.ports import EnrichmentSource
from app.settings import EnrichmentSettings
from tests.builders import job_row, make_job
from workflows.contracts.enrichment import Lookup, LookupDone

SETTINGS = EnrichmentSettings(calls_per_lookup=10, flush_answers=7, flush_seconds=0.05, max_tries=3)


@dataclass(frozen=True, slots=True)
class Lookups:
    sessions: Sessions
    workspace_id: UUID

    async def job(self, domains: Sequence[str], *sources: EnrichmentSource, **options: Any) -> UUID:
        return await make_job(self.sessions, self.workspace_id, domains, sources, **options)

    async def run(
        self, job_id: UUID, source: EnrichmentSource, *, verifier: EnrichmentSource | None = None, is_last: bool = True
    ) -> LookupDone:
        """One run of the lookup of all the job's records at this provider."""
        sources = {each.name: each for each in (source, verifier) if each is not None}
        return await look_up(
            self.sessions,
            sources,
            Lookup(str(self.workspace_id), str(job_id), source.name, 1, 10_000, is_last),
            SETTINGS,
            opener=Opener({}),
            places=Places(100, 4, shared_calls=100),
            stopping=lambda: False,
        )

    async def settle(self, job_id: UUID) -> None:
        await settle(self.sessions, self.workspace_id, job_id, interrupted="")

    async def row(self, job_id: UUID) -> dict[str, Any]:
        return await job_row(self.sessions, self.workspace_id, job_id)

    async def answers(self, job_id: UUID) -> list[dict[str, Any]]:
        return await self.select(
            "SELECT * FROM enrichment_answers WHERE job_id = :job_id ORDER BY position", job_id=job_id
        )

    async def select(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """What the workspace sees in its tables, or what a change of them returns."""
        async with self.sessions.for_workspace(self.workspace_id) as session:
            result = await session.execute(text(query), values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []
