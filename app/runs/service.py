"""The runs of workflows, as Temporal's own visibility store tells of them.

What is asked there begins with whose runs they are. A query is made of UUIDs and of words of this file: nothing that
a caller wrote is part of one.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from app.db import Sessions
from app.deadletters import service as deadletters
from app.errors import AppError, NotFound, Unavailable
from app.redaction import redact_text
from app.temporal import reaching_temporal
from workflows import ids, options
from workflows.attributes import OUTCOME, PROCESS, PROVIDER, WORKSPACE_ID

Process = Literal["enrichment", "erasures", "credentials", "workspaces", "ledger", "deadletters", "webhook", "billing"]
RunStatus = Literal["running", "completed", "failed", "cancelled", "terminated", "timed_out"]

# Somebody waits for the answer.
_ANSWER_SECONDS = 5
_RPC_TIMEOUT = timedelta(seconds=3)

# One that continued as new goes on under the same id: that run stands for it.
_STATUS_NAMES: Mapping[RunStatus, str] = {
    "running": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Canceled",
    "terminated": "Terminated",
    "timed_out": "TimedOut",
}
_STATUSES: Mapping[WorkflowExecutionStatus | None, RunStatus] = {
    WorkflowExecutionStatus.RUNNING: "running",
    WorkflowExecutionStatus.COMPLETED: "completed",
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "terminated",
    WorkflowExecutionStatus.TIMED_OUT: "timed_out",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a workflow. `workspace_id` is None for what belongs to no workspace; `waiting_for` are the providers
    that it waits for; `outcome` is what its workflow said at the end."""

    workflow_id: str
    run_id: str
    workspace_id: UUID | None
    process: str | None
    workflow: str
    status: RunStatus
    waiting_for: Sequence[str]
    outcome: str | None
    started_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class PendingActivity:
    """What a run waits for. `provider` is None for work on our own database; `attempt` counts from 1. `next_attempt_at`
    is None while an attempt is under way, or waits for a worker."""

    activity: str
    provider: str | None
    attempt: int
    last_failure: str | None
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunDetail:
    """`summary` is what the operators of Temporal read of the workflow."""

    run: Run
    summary: str | None
    pending: Sequence[PendingActivity]


@dataclass(frozen=True, slots=True)
class OwnRun:
    """A run of a workspace, and how many dead letters are open of its work."""

    run: Run
    dead_letters: int


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows."""

    process: Process | None = None
    status: RunStatus | None = None


@dataclass(frozen=True, slots=True)
class Runs:
    """A page of runs. `next_token` is Temporal's, for the page after it; empty at the end."""

    runs: Sequence[Run]
    next_token: bytes


async def list_runs(client: Client, workspace_id: UUID | None, wanted: RunFilter, *, after: bytes, limit: int) -> Runs:
    """Those that run, then those that ended, the latest first; of all workspaces, and of none, where it is None.

    `after` is the `next_token` of the page before, empty for the first. Raises Unavailable.
    """
    found = client.list_workflows(
        _query(workspace_id, wanted), page_size=limit, next_page_token=after, rpc_timeout=_RPC_TIMEOUT
    )
    async with _asking():
        await found.fetch_next_page()
    return Runs([_run(each) for each in found.current_page or ()], found.next_page_token or b"")


async def get_run(client: Client, workspace_id: UUID, workflow_id: str) -> RunDetail:
    """The latest run of the workflow, and what it waits for. Raises NotFound where it is not the workspace's,
    Unavailable."""
    if not ids.is_of_a_workspace(workflow_id):
        raise _no_such_run()
    async with _asking():
        try:
            description = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=_RPC_TIMEOUT)
            summary = await description.static_summary()
        except RPCError as error:
            if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
                raise _no_such_run() from error
            raise
    run = _run(description)
    if run.workspace_id != workspace_id:
        raise _no_such_run()
    return RunDetail(run, summary, [_pending(each) for each in description.raw_description.pending_activities])


async def with_dead_letters(sessions: Sessions, workspace_id: UUID, runs: Sequence[Run]) -> list[OwnRun]:
    """These runs of the workspace, in their order. Raises Unavailable."""
    counts = await deadletters.open_within(sessions, workspace_id, [_work_of(run) for run in runs])
    return [OwnRun(run, counts.get(_work_of(run), 0)) for run in runs]


def _work_of(run: Run) -> str:
    """What a dead letter's payload begins with that is of the run's work: the id of the job, of the endpoint."""
    return run.workflow_id.partition("/")[2]


def _query(workspace_id: UUID | None, wanted: RunFilter) -> str:
    # A namespace may hold workflows that are not ours.
    processes = [wanted.process] if wanted.process else get_args(Process)
    conditions = [
        f"{PROCESS.name} IN ({', '.join(repr(each) for each in processes)})",
        f"ExecutionStatus = '{_STATUS_NAMES[wanted.status]}'"
        if wanted.status
        else "ExecutionStatus != 'ContinuedAsNew'",
    ]
    if workspace_id is not None:
        conditions.insert(0, f"{WORKSPACE_ID.name} = '{workspace_id}'")
    return " AND ".join(conditions)


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            with reaching_temporal():
                yield
    except TimeoutError as error:
        raise Unavailable("Temporal does not answer; try again.", retry_after=1) from error
    except RPCError as error:
        # So it says that its own database is away.
        if error.status != RPCStatusCode.UNKNOWN:
            raise
        raise Unavailable("Temporal cannot answer; try again.", retry_after=1) from error


def _no_such_run() -> NotFound:
    return NotFound("There is no such run.")


def _run(execution: WorkflowExecution) -> Run:
    attributes = execution.typed_search_attributes
    workspace_id = attributes.get(WORKSPACE_ID)
    return Run(
        workflow_id=execution.id,
        run_id=execution.run_id,
        workspace_id=UUID(workspace_id) if workspace_id else None,
        process=attributes.get(PROCESS),
        workflow=execution.workflow_type,
        # Between the end of a run and the start of the one that it continues as, the workflow runs.
        status=_STATUSES.get(execution.status, "running"),
        waiting_for=tuple(attributes.get(PROVIDER, ())),
        outcome=attributes.get(OUTCOME),
        started_at=execution.start_time,
        closed_at=execution.close_time,
    )


def _pending(activity: PendingActivityInfo) -> PendingActivity:
    _, of_provider, provider = activity.activity_options.task_queue.name.rpartition(options.provider_queue(""))
    return PendingActivity(
        activity=activity.activity_type.name,
        provider=provider if of_provider else None,
        attempt=activity.attempt,
        last_failure=_message(activity.last_failure) if activity.HasField("last_failure") else None,
        next_attempt_at=_moment(activity.next_attempt_schedule_time)
        if activity.HasField("next_attempt_schedule_time")
        else None,
    )


def _message(failure: Failure) -> str:
    """What we said ourselves. Of an error that nobody foresaw the message may hold anything."""
    if failure.HasField("timeout_failure_info"):
        return "the worker did not answer in time"
    kind = failure.application_failure_info.type
    return redact_text(failure.message) if kind in _codes(AppError) else "an error that was not foreseen"


def _codes(error: type[AppError]) -> set[str]:
    return {error.code}.union(*(_codes(each) for each in error.__subclasses__()))


def _moment(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(UTC)
