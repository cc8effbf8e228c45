"""The mails about an account."""

from app.accounts.repository import User
from app.mail.letters import compose, link
from app.mail.ports import Mail


def magic_link(user: User, token: str, *, public_url: str, minutes: int) -> Mail:
    return compose(
        to=user.email,
        subject="Sign in to Holdfast",
        paragraphs=[
            _greeting(user),
            f"Somebody, you we hope, asked to sign in to Holdfast. The link works once, for {minutes} minutes.",
            "If it was not you, nothing has happened, and there is nothing to do.",
        ],
        action="Sign in",
        url=link(public_url, "magic-link", token),
    )


def password_reset(user: User, token: str, *, public_url: str, minutes: int) -> Mail:
    return compose(
        to=user.email,
        subject="Set a new password for Holdfast",
        paragraphs=[
            _greeting(user),
            f"Somebody, you we hope, asked for a new password. The link works once, for {minutes} minutes.",
            "Every sign-in there is ends then.",
            "If it was not you, nothing has happened, and your password is what it was.",
        ],
        action="Set a new password",
        url=link(public_url, "password-reset", token),
    )


def _greeting(user: User) -> str:
    # Anybody may register this address under a name that is an advertisement.
    return f"Hello {user.name}," if user.email_verified_at else "Hello,"
