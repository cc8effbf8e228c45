"""Commands to Temporal, written in the caller's transaction: what commits is sent, what rolls back never happened."""

from typing import Any
from uuid import UUID

from app.db import Session
from app.outbox import repository


async def start_workflow(
    session: Session,
    workspace_id: UUID,
    *,
    workflow: str,
    workflow_id: str,
    argument: dict[str, Any],
    summary: str,
    process: str,
    again: bool = False,
) -> None:
    """Start `workflow` with `argument` once the transaction commits; an id that exists already is not started again,
    but with `again` where what ran under it has ended.

    `summary` is read by operators in the Temporal UI: no personal data, no secret. `process` is the search attribute.
    """
    body = {"workflow": workflow, "argument": argument, "summary": summary, "process": process, "again": again}
    await repository.add(session, workspace_id, workflow_id, "start", body)


async def wake(session: Session, workspace_id: UUID, workflow_id: str) -> None:
    """Tell the workflow to look again once the transaction commits; one that is over ignores it."""
    await repository.add(session, workspace_id, workflow_id, "signal", {"signal": "wake"})


async def review(session: Session, workspace_id: UUID, workflow_id: str) -> None:
    """Tell the workflow, once the transaction commits, that whom it waits for has changed, so that it shows that to
    operators. For the begin and the end of a wait, not for each of its steps: a workflow takes a bounded number of
    signals."""
    await repository.add(session, workspace_id, workflow_id, "signal", {"signal": "waits_changed"})
