"""Accepting an invitation over HTTP."""

from typing import Annotated

from fastapi import APIRouter

from app.accounts.schemas import LinkIn
from app.auth.dependencies import person
from app.auth.permissions import Person
from app.deps import BODY_ERRORS, SessionsDep, json_body, json_request
from app.envelope import Envelope, envelope, errors
from app.errors import Forbidden
from app.joining import service
from app.team.errors import AlreadyMember, NotInvited
from app.workspaces.schemas import WorkspaceOut

router = APIRouter(prefix="/invitations", tags=["Members"])


@router.post(
    "/accept",
    operation_id="accept_invitation",
    summary="Accept an invitation",
    responses=errors(Forbidden, NotInvited, AlreadyMember, *BODY_ERRORS),
    openapi_extra=json_request(LinkIn),
)
async def accept_invitation(
    person: Annotated[Person, person()], body: Annotated[LinkIn, json_body(LinkIn)], sessions: SessionsDep
) -> Envelope[WorkspaceOut]:
    """With the token of the mail, once, by who is signed in with the invited address.

    It verifies the address; of an account whose address was not, the password, the other sign-ins and the API keys
    end: somebody else may have made it.
    """
    return envelope(WorkspaceOut.of(await service.accept_invitation(sessions, person, body.token.get_secret_value())))
