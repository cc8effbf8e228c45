"""The mail that invites somebody."""

from app.mail.letters import compose, link
from app.mail.ports import Mail
from app.team.repository import Invitation


def invitation_mail(invitation: Invitation, token: str, workspace_name: str, public_url: str) -> Mail:
    """Says into which workspace, and not who invites: a name that people chose is a place for advertisements."""
    return compose(
        to=invitation.email,
        subject="You are invited to a workspace of Holdfast",
        paragraphs=[
            "Hello,",
            f"you are invited to the workspace “{workspace_name}” as {invitation.role}.",
            f"The link works once, until {invitation.expires_at:%d %B %Y, %H:%M} UTC, for who has this address.",
            "If you do not know what this is about, there is nothing to do.",
        ],
        action="Accept the invitation",
        url=link(public_url, "invitation", token),
    )
