"""Builders of data: workspaces with credits, and jobs as submit would leave them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from app.credits import service as credits
from app.db import Sessions, new_id
from app.enrichment.audit import audit
from app.enrichment.start import start_job
from app.providers.ports import EnrichmentSource, Entity
from tests.fakes import FAKE_FIELDS, FakeSource


async def make_workspace(owner: Sessions, *, credit: int = 100_000) -> UUID:
    workspace_id = new_id()
    async with owner.for_workspace(workspace_id) as session:
        await session.execute(text("INSERT INTO workspaces (id, name) VALUES (:id, 'Test')"), {"id": workspace_id})
        if credit:
            await credits.grant(session, workspace_id, credit, key="test", reason="test")
    return workspace_id


async def make_job(
    sessions: Sessions,
    workspace_id: UUID,
    domains: Sequence[str],
    sources: Sequence[EnrichmentSource],
    *,
    fields: Sequence[str] = FAKE_FIELDS,
    chunk: int = 500,
    window: int = 4,
    hold: int | None = None,
    on_outage: str = "wait",
    max_wait_seconds: float = 86_400,
    start: bool = True,
    entity: Entity = "company",
    reuse_within_seconds: float = 0,
    max_credits_per_record: int | None = None,
    verifier: FakeSource | None = None,
    subject: str = "domain",
) -> UUID:
    """A job over these domains, or over what is the `subject` (equal ones share a leader), its hold, and its start
    command."""
    asked = [*sources, *([verifier] if verifier else [])]
    job_id = new_id()
    first_of: dict[str, int] = {}
    leaders = [first_of.setdefault(domain, position) for position, domain in enumerate(domains, 1)]
    worst_case = len(first_of) * sum(source.credit_cost for source in asked)
    held = worst_case if hold is None else hold
    async with sessions.for_workspace(workspace_id) as session:
        await session.execute(
            text("""
                INSERT INTO enrichment_jobs (workspace_id, id, entity, columns, fields, on_outage, max_wait_seconds,
                    min_confidence, reuse_within_seconds, max_credits_per_record, chunk, "window", total, held,
                    worst_case)
                VALUES (:workspace_id, :id, :entity, '{domain}', :fields, :on_outage, :max_wait_seconds, 0.5,
                    :reuse_within_seconds, :max_credits_per_record, :chunk, :window, :total, :held, :worst_case)
            """),
            {
                "workspace_id": workspace_id,
                "id": job_id,
                "entity": entity,
                "reuse_within_seconds": reuse_within_seconds,
                "max_credits_per_record": max_credits_per_record,
                "fields": list(fields),
                "on_outage": on_outage,
                "max_wait_seconds": max_wait_seconds,
                "chunk": chunk,
                "window": window,
                "total": len(domains),
                "held": held,
                "worst_case": worst_case,
            },
        )
        await session.execute(
            text("""
                INSERT INTO enrichment_job_providers
                    (workspace_id, job_id, provider, position, credit_cost, verifies)
                VALUES (:workspace_id, :job_id, :provider, :position, :credit_cost, :verifies)
            """),
            [
                {
                    "workspace_id": workspace_id,
                    "job_id": job_id,
                    "provider": source.name,
                    "position": position,
                    "credit_cost": source.credit_cost,
                    "verifies": source is verifier,
                }
                for position, source in enumerate(asked, start=1)
            ],
        )
        await session.execute(
            text("""
                INSERT INTO enrichment_records
                    (workspace_id, job_id, position, key, input, subject, subject_key, leader)
                SELECT :workspace_id, :job_id, n, n::text, subject::json, subject::json, key, leader
                FROM unnest(CAST(:subjects AS text[]), CAST(:keys AS text[]), CAST(:leaders AS int[]))
                     WITH ORDINALITY AS r(subject, key, leader, n)
            """),
            {
                "workspace_id": workspace_id,
                "job_id": job_id,
                "subjects": [orjson.dumps({subject: domain}).decode() for domain in domains],
                "keys": [f"{subject}:{domain}" for domain in domains],
                "leaders": leaders,
            },
        )
        if start:
            only_ask = [source.name for source in sources] if len(domains) == 1 else ()
            await start_job(session, workspace_id, job_id, total=len(domains), only_ask=only_ask)
        await credits.hold(
            session, workspace_id, held, key=f"hold:{job_id}", reason="test", reference=("enrichment_job", str(job_id))
        )
    return job_id


async def job_row(sessions: Sessions, workspace_id: UUID, job_id: UUID) -> dict[str, Any]:
    async with sessions.for_workspace(workspace_id) as session:
        row = await session.execute(text("SELECT * FROM enrichment_jobs WHERE id = :id"), {"id": job_id})
        return dict(row.mappings().one())


async def wish(sessions: Sessions, workspace_id: UUID, job_id: UUID, state: str) -> None:
    """Write the desired state, as pause, resume and cancel do; the wake is the caller's."""
    async with sessions.for_workspace(workspace_id) as session:
        await session.execute(
            text("UPDATE enrichment_jobs SET desired_state = :state WHERE id = :id"), {"state": state, "id": job_id}
        )


async def violations(sessions: Sessions, workspace_id: UUID) -> list[str]:
    """What does not add up in this workspace; must be empty at all times."""
    return (await audit(sessions, workspace_id)).violations
