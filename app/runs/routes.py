"""Runs of workflows over HTTP: what an operator sees in the Temporal UI, for those who do not see that."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.auth.dependencies import caller, superadmin
from app.auth.permissions import Caller, Person
from app.deps import SessionsDep, TemporalDep
from app.envelope import Envelope, ListEnvelope, envelope, list_envelope
from app.pagination import CursorText, Limit, Page
from app.runs import service
from app.runs.schemas import AnyRunOut, OwnRunOut, RunCursor, RunDetailOut
from app.runs.service import Process, Run, RunFilter, Runs, RunStatus

router = APIRouter(tags=["Runs"])

RunsReader = Annotated[Caller, caller("runs:read")]
Superadmin = Annotated[Person, superadmin()]

ProcessFilter = Annotated[Process | None, Query(description="Only runs of this process.")]
StatusFilter = Annotated[RunStatus | None, Query(description="Only runs with this status.")]


@router.get("/workspaces/{workspace_id}/runs", operation_id="list_runs", summary="List the runs of workflows")
async def list_runs(
    caller: RunsReader,
    temporal: TemporalDep,
    sessions: SessionsDep,
    process: ProcessFilter = None,
    status: StatusFilter = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> ListEnvelope[OwnRunOut]:
    """What runs first, then what ended, the latest first, for as long as Temporal keeps it. A run is listed within a
    second of its start. One that went on as a new run is listed as that. Each says how many dead letters are open of
    its work."""
    runs = await service.list_runs(
        temporal, caller.workspace_id, RunFilter(process, status), after=_after(cursor), limit=limit
    )
    own = await service.with_dead_letters(sessions, caller.workspace_id, runs.runs)
    return list_envelope(Page([OwnRunOut.of_own(each) for each in own], _page(runs).next_cursor))


@router.get(
    "/workspaces/{workspace_id}/runs/{workflow_id:path}",
    operation_id="get_run",
    summary="Get the latest run of a workflow",
)
async def get_run(
    caller: RunsReader,
    workflow_id: Annotated[str, Path(max_length=200, description="As in the list; its `/` may be encoded or not.")],
    temporal: TemporalDep,
    sessions: SessionsDep,
) -> Envelope[RunDetailOut]:
    """With what it waits for: which activity, of which provider, why its last attempt failed and when the next is."""
    detail = await service.get_run(temporal, caller.workspace_id, workflow_id)
    [own] = await service.with_dead_letters(sessions, caller.workspace_id, [detail.run])
    return envelope(RunDetailOut.of_detail(detail, own))


@router.get(
    "/admin/runs", operation_id="list_all_runs", summary="List the runs of all tenants", tags=["Administration"]
)
async def list_all_runs(
    superadmin: Superadmin,  # noqa: ARG001 - who is let in
    temporal: TemporalDep,
    process: ProcessFilter = None,
    status: StatusFilter = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> ListEnvelope[AnyRunOut]:
    """Also those that belong to no workspace. What runs first, then what ended, the latest first."""
    runs = await service.list_runs(temporal, None, RunFilter(process, status), after=_after(cursor), limit=limit)
    return list_envelope(_page(runs).map(AnyRunOut.of))


def _after(cursor: str | None) -> bytes:
    return RunCursor.decode(cursor).token if cursor is not None else b""


def _page(found: Runs) -> Page[Run]:
    return Page(found.runs, RunCursor.at(found.next_token).encode() if found.next_token else None)
