"""Members and invitations over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.deps import BODY_ERRORS, Resources, SessionsDep, json_body, json_request
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.idempotency import headers as idempotency
from app.idempotency.answers import Remembered
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import once
from app.mail.ports import Mail
from app.pagination import Before, CursorText, Limit, newest_first, page_of
from app.plan_limits.errors import PlanLimitExceeded
from app.team import service
from app.team.errors import AddressNotVerified, AlreadyMember, LastOwner, TooManyInvitations
from app.team.letters import invitation_mail
from app.team.repository import Invitation
from app.team.schemas import InvitationIn, InvitationOut, MemberCursor, MemberOut, MemberPatch

router = APIRouter(prefix="/workspaces/{workspace_id}", tags=["Members"])

InvitationsWriter = Annotated[Caller, caller("invitations:write")]


@router.get("/members", operation_id="list_members", summary="List the members of a workspace")
async def list_members(
    caller: Annotated[Caller, caller("members:read")],
    sessions: SessionsDep,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> ListEnvelope[MemberOut]:
    """Who has a part in the workspace, and which."""
    after = MemberCursor.decode(cursor).after if cursor is not None else None
    members = await service.list_members(sessions, caller.workspace_id, after=after, limit=limit + 1)
    page = page_of(members, limit, lambda member: MemberCursor(after=member.user_id))
    return list_envelope(page.map(MemberOut.of))


@router.patch(
    "/members/{user_id}",
    operation_id="update_member",
    summary="Change the role of a member",
    responses=errors(LastOwner, *BODY_ERRORS),
    openapi_extra=json_request(MemberPatch),
)
async def update_member(
    caller: Annotated[Caller, caller("members:write")],
    user_id: UUID,
    body: Annotated[MemberPatch, json_body(MemberPatch)],
    sessions: SessionsDep,
) -> Envelope[MemberOut]:
    """Only owners make owners, and change what owners are. The last owner stays one."""
    return envelope(MemberOut.of(await service.change_role(sessions, caller, user_id, body.role)))


@router.delete(
    "/members/{user_id}",
    operation_id="remove_member",
    summary="Remove a member, or leave",
    status_code=204,
    responses=errors(LastOwner),
)
async def remove_member(
    caller: Annotated[Caller, caller("members:write", or_own="user_id")], user_id: UUID, sessions: SessionsDep
) -> None:
    """The person's access ends at once, and so do the API keys that they made. Everybody may remove themself, but for
    the last owner; only owners remove owners."""
    await service.remove(sessions, caller, user_id)


@router.get("/invitations", operation_id="list_invitations", summary="List the open invitations")
async def list_invitations(
    caller: Annotated[Caller, caller("invitations:read")],
    sessions: SessionsDep,
    limit: Limit = 50,
    before: Before = None,
) -> ListEnvelope[InvitationOut]:
    """Those that can still be accepted, newest first."""
    invitations = await service.list_invitations(sessions, caller.workspace_id, before=before, limit=limit + 1)
    page = newest_first(invitations, limit, lambda invitation: invitation.id)
    return list_envelope(page.map(InvitationOut.of))


@router.post(
    "/invitations",
    operation_id="create_invitation",
    summary="Invite somebody by mail",
    status_code=201,
    response_model=Envelope[InvitationOut],
    responses=errors(
        AddressNotVerified,
        AlreadyMember,
        TooManyInvitations,
        PlanLimitExceeded,
        IdempotencyInProgress,
        IdempotencyKeyReused,
        *BODY_ERRORS,
    ),
    openapi_extra=json_request(InvitationIn),
)
async def create_invitation(
    caller: InvitationsWriter,
    body: Annotated[InvitationIn, json_body(InvitationIn)],
    opened: Resources,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The mail has a link that can be used once, within a week, by who has that address. An open invitation of the
    same address ends. Only owners invite owners."""
    settings = opened.settings
    asked = body.model_dump(mode="json")
    first = once(caller.workspace_id, caller.id, f"POST {router.prefix}/invitations", idempotency_key, asked)

    def answer(made: Invitation) -> Remembered:
        return Remembered(201, {}, InvitationOut.of(made).model_dump(mode="json"))

    said, made = await service.invite(
        opened.sessions, caller, body.email, body.role, settings.auth, answer, once=first, limits=opened.plan_limits
    )
    if made is None:
        return idempotency.answer(said, replayed=True)
    mail = invitation_mail(made.invitation, made.token, made.workspace_name, settings.public_url)

    async def letter() -> Mail:
        return mail

    opened.mails.post(letter)
    return idempotency.answer(said, replayed=False)


@router.delete(
    "/invitations/{invitation_id}",
    operation_id="withdraw_invitation",
    summary="Withdraw an invitation",
    status_code=204,
)
async def withdraw_invitation(caller: InvitationsWriter, invitation_id: UUID, sessions: SessionsDep) -> None:
    """Its link no longer works."""
    await service.withdraw(sessions, caller, invitation_id)
