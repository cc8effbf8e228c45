"""What can be wrong with members and invitations."""

from app.errors import Conflict, Forbidden


class LastOwner(Conflict):
    """A workspace keeps at least one owner: make somebody else an owner first."""

    code = "last_owner"

    def __init__(self) -> None:
        super().__init__("This is the last owner of the workspace: make somebody else an owner first.")


class AlreadyMember(Conflict):
    """The person is a member of the workspace already."""

    code = "already_member"


class TooManyInvitations(Conflict):
    """The workspace has as many open invitations as there can be, or has mailed too many today."""

    code = "too_many_invitations"


class AddressNotVerified(Forbidden):
    """Whoever invites has shown that their own address is theirs: it may be registered by somebody else, who would
    let an accomplice in before its owner comes."""

    code = "email_not_verified"

    def __init__(self) -> None:
        super().__init__("Verify your own address before you invite others: sign in once by a magic link.")


class NotInvited(Forbidden):
    """The invitation is for another address than that of who is signed in."""

    code = "not_invited"
