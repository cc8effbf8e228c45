"""Joining a workspace by an invitation, which spans people's accounts and the workspace's team."""

from app.accounts import service as accounts
from app.auth.permissions import Person
from app.db import Sessions
from app.team import service as team
from app.team.errors import NotInvited
from app.workspaces import service as workspaces
from app.workspaces.repository import Workspace


async def accept_invitation(sessions: Sessions, person: Person, token: str) -> Workspace:
    """Make the person, whose address must be the invited one, a member; the workspace.

    The token came by mail, so that it verifies the address too. Raises NotFound for a token that is not good (any
    more), NotInvited, AlreadyMember.
    """
    invited = await team.find_invitation(sessions, token)
    me = await accounts.get_me(sessions, person)
    if me.email != invited.email:
        raise NotInvited("This invitation is for another address than yours: sign in as the invited one.")
    async with sessions.for_member(invited.workspace_id, person.user_id) as session:
        role = await team.join(session, invited, person)
        joined = await workspaces.read_workspace(session, invited.workspace_id, role)
        # Last: it goes through all workspaces of the person.
        await accounts.verify_address(session, person.user_id, keep=person.session_id)
    return joined
