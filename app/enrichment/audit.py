"""Does everything add up? Said by the rows themselves, not by what the program believes of its doings."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from app.credits import audit as ledger
from app.db import Sessions
from app.enrichment import audit_repository as repository
from app.enrichment.audit_repository import Audit

check_charges = repository.differences
"""The rules of the ledger that span domains: what was charged and is held, against jobs and answers."""


async def audit(sessions: Sessions, workspace_id: UUID) -> Audit:
    """Count and check all jobs, results and credits of a workspace; right at any moment, also while jobs run."""
    async with sessions.for_workspace(workspace_id) as session:
        figures = await repository.audit(session)
        differences = [*await ledger.check(session), *await check_charges(session)]
    return replace(figures, violations=[*map(str, differences), *figures.violations])


async def answered_subjects(sessions: Sessions, workspace_id: UUID) -> Mapping[str, set[str]]:
    """What each provider gave an answer for, also that it knows nothing: subject keys (``domain:example.com``) by
    provider."""
    answered: dict[str, set[str]] = {}
    async with sessions.for_workspace(workspace_id) as session:
        for provider, subject_key in await repository.answered_subjects(session):
            answered.setdefault(provider, set()).add(subject_key)
    return answered
