"""The people of a workspace: members with roles, and invitations by mail.

Who changes people holds the workspace's row, and reads what is so only then: of two owners who demote each other one
is the first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from app.audit_log import service as audit_log
from app.auth import service as auth
from app.auth.opaque import new_token, token_hash
from app.auth.permissions import ROLES, Caller, Person, Role
from app.db import Session, Sessions, new_id
from app.errors import Forbidden, NoSuchWorkspace, NotFound
from app.idempotency import service as idempotency
from app.idempotency.answers import Once, Remembered
from app.plan_limits import service as plan_limits
from app.plan_limits.limits import LimitsByPlan
from app.settings import AuthSettings
from app.team import repository
from app.team.errors import AddressNotVerified, AlreadyMember, LastOwner, TooManyInvitations
from app.team.repository import Invitation, Invited, Member

MAX_OPEN_INVITATIONS = 100
# Withdrawn and renewed ones too: an invitation is a mail to somebody who did not ask for it.
MAX_MAILS_A_DAY = 500
MAX_MAILS_A_DAY_TO_ONE = 5

# What only an owner may give, take or touch.
_OWNER: Role = "owner"
_MANAGES_PEOPLE = ROLES[ROLES.index("admin") :]


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """An invitation that was just made, its token, which can never be read again, and the workspace's name."""

    invitation: Invitation
    token: str
    workspace_name: str


async def lock(session: Session, workspace_id: UUID) -> str:
    """Keep the workspace, its people and its keys as they are to the end of the transaction; its name.

    Raises NoSuchWorkspace when it was deleted.
    """
    name = await repository.lock_workspace(session, workspace_id)
    if name is None:
        raise NoSuchWorkspace
    return name


async def add_owner(session: Session, workspace_id: UUID, user_id: UUID) -> None:
    """Make the person an owner of a workspace that is being made. The session is `for_member` of both."""
    await repository.add_member(session, workspace_id, user_id, _OWNER)


async def list_members(sessions: Sessions, workspace_id: UUID, *, after: UUID | None, limit: int) -> list[Member]:
    """In order of user id; `after` continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.members(session, after=after, limit=limit)


async def change_role(sessions: Sessions, caller: Caller, user_id: UUID, role: Role) -> Member:
    """Give a member another role. Raises NotFound, LastOwner, and Forbidden where an owner is needed."""
    async with sessions.for_workspace(caller.workspace_id) as session:
        await lock(session, caller.workspace_id)
        member = await _member(session, user_id)
        await _check_may_manage(session, caller, member.role, role)
        if member.role == role:
            return member
        await _check_owner_left(session, caller.workspace_id, member)
        await repository.set_role(session, caller.workspace_id, user_id, role)
        await audit_log.record(
            session,
            caller.workspace_id,
            caller,
            "member.change_role",
            ("user", str(user_id)),
            before={"role": member.role},
            after={"role": role},
        )
        return await _member(session, user_id)


async def remove(sessions: Sessions, caller: Caller, user_id: UUID) -> None:
    """End a membership and the keys that lived by it; everybody may end their own.

    Raises NotFound, LastOwner, and Forbidden where an owner is needed.
    """
    async with sessions.for_workspace(caller.workspace_id) as session:
        await lock(session, caller.workspace_id)
        member = await _member(session, user_id)
        if caller.user_id != user_id:
            await _check_may_manage(session, caller, member.role)
        await _check_owner_left(session, caller.workspace_id, member)
        await repository.remove_member(session, caller.workspace_id, user_id)
        # Without this they would be good again as soon as the person comes back.
        await auth.revoke_keys_made_by(session, caller.workspace_id, user_id)
        await audit_log.record(
            session,
            caller.workspace_id,
            caller,
            "member.remove",
            ("user", str(user_id)),
            before={"role": member.role},
        )


async def list_invitations(
    sessions: Sessions, workspace_id: UUID, *, before: UUID | None, limit: int
) -> list[Invitation]:
    """Those that can still be accepted, the newest first; `before` continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.open_invitations(session, before=before, limit=limit)


async def invite(
    sessions: Sessions,
    caller: Caller,
    email: str,
    role: Role,
    settings: AuthSettings,
    answer: Callable[[Invitation], Remembered],
    *,
    once: Once | None,
    limits: LimitsByPlan | None = None,
) -> tuple[Remembered, NewInvitation | None]:
    """Invite an address. `answer` says what the caller is told of the invitation; also returned: the invitation to be
    mailed, None where it is the answer to an earlier request of `once`.

    An open invitation of the same address ends. `limits` are those of the plans that are sold here. Raises
    AddressNotVerified, AlreadyMember, TooManyInvitations, PlanLimitExceeded, Forbidden where an owner is needed,
    IdempotencyInProgress, IdempotencyKeyReused.
    """
    invitation_id, token = new_id(), new_token()
    async with sessions.for_workspace(caller.workspace_id) as session:
        name = await lock(session, caller.workspace_id)
        await _check_may_manage(session, caller, role)
        if once is not None and (first := await idempotency.replay_or_begin(session, once)):
            return first, None
        if caller.user_id is None or not await repository.is_verified(session, caller.user_id):
            raise AddressNotVerified
        if await repository.has_member_with(session, email):
            raise AlreadyMember("Somebody with this address is a member of the workspace already.")
        mailed, mailed_to_them = await repository.count_mailed_today(session, email)
        if mailed >= MAX_MAILS_A_DAY or mailed_to_them >= MAX_MAILS_A_DAY_TO_ONE:
            raise TooManyInvitations("Too many invitations were mailed within a day, in all or to this address.")
        await repository.revoke_open_invitations_to(session, email)
        invited = await repository.count_open_invitations(session)
        members = await repository.count_members(session, caller.workspace_id)
        await plan_limits.allow_members(session, caller.workspace_id, limits, members + invited + 1)
        if invited >= MAX_OPEN_INVITATIONS:
            raise TooManyInvitations(
                f"There are {MAX_OPEN_INVITATIONS} open invitations: withdraw some, or wait until they expire."
            )
        invitation = await repository.add_invitation(
            session,
            invitation_id,
            caller.workspace_id,
            email=email,
            role=role,
            token_hash=token_hash(token),
            invited_by=caller.user_id,
            days=settings.invitation_days,
        )
        await audit_log.record(
            session,
            caller.workspace_id,
            caller,
            "invitation.create",
            ("invitation", str(invitation_id)),
            after={"email": email, "role": role},
        )
        said = answer(invitation)
        if once is not None:
            await idempotency.remember(session, once, said)
    return said, NewInvitation(invitation, token, name)


async def withdraw(sessions: Sessions, caller: Caller, invitation_id: UUID) -> None:
    """End an open invitation. Raises NotFound, and Forbidden where an owner is needed."""
    async with sessions.for_workspace(caller.workspace_id) as session:
        await lock(session, caller.workspace_id)
        invitation = await repository.open_invitation(session, invitation_id)
        if invitation is None:
            raise NotFound("There is no such open invitation.")
        await _check_may_manage(session, caller, invitation.role)
        await repository.revoke_invitation(session, invitation_id)
        await audit_log.record(
            session,
            caller.workspace_id,
            caller,
            "invitation.withdraw",
            ("invitation", str(invitation_id)),
            before={"email": invitation.email, "role": invitation.role},
        )


async def find_invitation(sessions: Sessions, token: str) -> Invited:
    """Where the token leads. Raises NotFound: unknown, used, withdrawn or expired."""
    async with sessions.unscoped() as session:
        found = await repository.find_invitation(session, token_hash(token))
    if found is None:
        raise _no_invitation()
    return found


async def join(session: Session, invited: Invited, person: Person) -> Role:
    """Use the invitation up and make the person a member; the role. The session is `for_member` of both.

    That the person has the invited address is the caller's to know. Raises NotFound when it was used or withdrawn
    since, AlreadyMember.
    """
    await lock(session, invited.workspace_id)
    invitation = await repository.open_invitation(session, invited.invitation_id)
    if invitation is None:
        raise _no_invitation()
    if await repository.role_of(session, invited.workspace_id, person.user_id) is not None:
        raise AlreadyMember("You are a member of this workspace already.")
    await repository.accept_invitation(session, invitation.id)
    await repository.add_member(session, invited.workspace_id, person.user_id, invitation.role)
    await audit_log.record(
        session,
        invited.workspace_id,
        person,
        "invitation.accept",
        ("invitation", str(invitation.id)),
        after={"user_id": str(person.user_id), "role": invitation.role},
    )
    return invitation.role


async def _member(session: Session, user_id: UUID) -> Member:
    member = await repository.member(session, user_id)
    if member is None:
        raise NotFound("There is no such member.")
    return member


async def _check_may_manage(session: Session, caller: Caller, *roles: Role) -> None:
    """What the caller was when the request came in may have changed while it waited for the lock."""
    mine = None
    if caller.user_id is not None:
        mine = await repository.role_of(session, caller.workspace_id, caller.user_id)
    if mine not in _MANAGES_PEOPLE:
        raise Forbidden("This needs a role that may manage people, which the caller lacks.")
    if _OWNER in roles and mine != _OWNER:
        raise Forbidden("Only an owner can make owners, or change what they are.")


async def _check_owner_left(session: Session, workspace_id: UUID, leaving: Member) -> None:
    if leaving.role == _OWNER and await repository.count_owners(session, workspace_id) == 1:
        raise LastOwner


def _no_invitation() -> NotFound:
    return NotFound("This invitation is not valid: it was used, withdrawn or has expired. Ask for a new one.")
