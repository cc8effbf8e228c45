"""The audit log of a workspace over HTTP."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from app.audit_log import service
from app.audit_log.repository import ActorType, EntryFilter
from app.audit_log.schemas import AuditEntryOut
from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.db import Sessions
from app.deps import SessionsDep
from app.envelope import ListEnvelope, list_envelope
from app.pagination import Before, Limit, newest_first

router = APIRouter(prefix="/workspaces/{workspace_id}/audit-log", tags=["Audit log"])

AuditReader = Annotated[Caller, caller("audit_log:read")]

_EXPORT_CONTENT = {
    "application/x-ndjson": {
        "schema": {"type": "string"},
        "example": '{"id":"019d6f0e-5b10-7a02-8c11-3f1c5a9d2e44","action":"enrichment_job.pause"}\n',
    }
}


async def _filter(
    actor_id: Annotated[UUID | None, Query(description="Only changes by this user or API key.")] = None,
    actor_type: Annotated[ActorType | None, Query(description="Only changes by actors of this kind.")] = None,
    action: Annotated[
        str | None, Query(max_length=100, pattern=r"^[a-z0-9_.]+$", description="Only this: `enrichment_job.pause`.")
    ] = None,
    target_type: Annotated[
        str | None, Query(max_length=100, pattern=r"^[a-z0-9_]+$", description="Only changes of such things.")
    ] = None,
    target_id: Annotated[
        str | None, Query(max_length=200, pattern=r"^[!-~]+$", description="Only changes of the thing with this id.")
    ] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only changes made then or later.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Only changes made earlier.")] = None,
) -> EntryFilter:
    return EntryFilter(actor_id, actor_type, action, target_type, target_id, since, until)


Wanted = Annotated[EntryFilter, Depends(_filter)]


@router.get("", operation_id="list_audit_entries", summary="List the audit log")
async def list_audit_entries(
    caller: AuditReader, sessions: SessionsDep, wanted: Wanted, limit: Limit = 50, before: Before = None
) -> ListEnvelope[AuditEntryOut]:
    """What people and API keys changed in the workspace, the newest first."""
    entries = await service.list_entries(sessions, caller.workspace_id, wanted, before=before, limit=limit + 1)
    page = newest_first(entries, limit, lambda entry: entry.id)
    return list_envelope(page.map(AuditEntryOut.of))


@router.get(
    "/export",
    operation_id="export_audit_log",
    summary="Export the audit log",
    response_class=StreamingResponse,
    responses={200: {"content": _EXPORT_CONTENT, "description": "The entries in order of time, a JSON object a line."}},
)
async def export_audit_log(
    caller: AuditReader,
    sessions: SessionsDep,
    wanted: Wanted,
    format: Annotated[Literal["jsonl"], Query(description="A JSON object a line.")] = "jsonl",
) -> Response:
    """All entries that the filters leave, the oldest first, each as the list shows it."""
    name = f"audit-log-{caller.workspace_id}.{format}"
    return StreamingResponse(
        _lines(sessions, caller.workspace_id, wanted),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _lines(sessions: Sessions, workspace_id: UUID, wanted: EntryFilter) -> AsyncIterator[bytes]:
    async for entries in service.batches(sessions, workspace_id, wanted):
        yield b"".join(AuditEntryOut.of(entry).line() for entry in entries)
