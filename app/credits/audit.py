"""Does the ledger add up? A difference is said, to people and to machines, and never repaired."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter

from app.credits import audit_repository as repository
from app.credits.audit_repository import Difference
from app.db import Session, Sessions
from app.webhooks import service as webhooks
from workflows.contracts.ledger import Audited, AuditRange

log = structlog.get_logger(__name__)

Check: TypeAlias = Callable[[Session], Awaitable[Sequence[Difference]]]

# How many workspaces are listed at a time, and how long an activity goes on before it says how far it got.
_PAGE = 200
_SECONDS = 30.0

check = repository.differences
"""The rules of the ledger alone: entries, account and lots say the same."""


class Differences:
    """Says a difference to the operators: a line in the log, an error named ``ledger.difference``, and metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._found = Counter(
            "holdfast_ledger_differences",
            "Workspaces found in which a rule of the ledger does not hold, at each audit.",
            ("rule",),
            registry=registry,
        )
        self._audited = Counter(
            "holdfast_ledger_audits", "Ledgers of workspaces that were compared with the rules.", registry=registry
        )

    def say(self, workspace_id: UUID, found: Sequence[Difference]) -> None:
        """What one audit of the workspace found, if anything."""
        self._audited.inc()
        for each in found:
            self._found.labels(each.rule).inc()
            log.error(
                "ledger.difference",
                workspace_id=str(workspace_id),
                rule=each.rule,
                problem=each.problem,
                places=each.count,
            )


async def audit_range(
    sessions: Sessions, platform_sessions: Sessions, wanted: AuditRange, differences: Differences, check: Check
) -> Audited:
    """Check the first workspaces of the range, as many as there is time for, each in a transaction of its own."""
    async with platform_sessions.unscoped() as session:
        workspaces = await repository.accounts(
            session, after=UUID(wanted.after), through=UUID(wanted.through), limit=_PAGE
        )
    deadline = time.monotonic() + _SECONDS
    audited = found = 0
    last = wanted.after
    for workspace_id in workspaces:
        async with sessions.for_workspace(workspace_id) as session:
            await repository.be_patient(session)
            problems = await check(session)
            for each in problems:
                await _tell(session, workspace_id, each)
        differences.say(workspace_id, problems)
        audited, found, last = audited + 1, found + len(problems), str(workspace_id)
        if time.monotonic() > deadline:
            break
    return Audited(audited, found, last)


async def _tell(session: Session, workspace_id: UUID, found: Difference) -> None:
    """An event of the workspace: each audit finds what nobody has set right, so it is told again where it has grown."""
    await webhooks.publish(
        session,
        workspace_id,
        "credits.difference",
        {"rule": found.rule, "problem": found.problem, "places": found.count},
        key=f"{found.rule}:{found.count}",
    )
