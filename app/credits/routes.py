"""The credits of a workspace over HTTP."""

from typing import Annotated

from fastapi import APIRouter

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.credits import service
from app.credits.schemas import CreditsOut, EntryCursor, EntryOut
from app.deps import SessionsDep
from app.envelope import Envelope, ListEnvelope, envelope, list_envelope
from app.pagination import CursorText, Limit, page_of

router = APIRouter(prefix="/workspaces/{workspace_id}/credits", tags=["Credits"])

CreditsReader = Annotated[Caller, caller("credits:read")]


@router.get("", operation_id="get_credits", summary="Get the credits of a workspace")
async def get_credits(caller: CreditsReader, sessions: SessionsDep) -> Envelope[CreditsOut]:
    """How many credits there are, how many of them are held for work that is going on, and how many are free."""
    async with sessions.for_workspace(caller.workspace_id) as session:
        return envelope(CreditsOut.of(await service.balance(session, caller.workspace_id)))


@router.get("/entries", operation_id="list_credit_entries", summary="List the entries of the credit ledger")
async def list_credit_entries(
    caller: CreditsReader, sessions: SessionsDep, limit: Limit = 50, cursor: CursorText = None
) -> ListEnvelope[EntryOut]:
    """Every movement of credits, newest first."""
    before = EntryCursor.decode(cursor).before_seq if cursor is not None else None
    async with sessions.for_workspace(caller.workspace_id) as session:
        entries = await service.list_entries(session, caller.workspace_id, before_seq=before, limit=limit + 1)
    page = page_of(entries, limit, lambda entry: EntryCursor(before_seq=entry.seq))
    return list_envelope(page.map(EntryOut.of))
