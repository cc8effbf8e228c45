"""The links that people ask for by mail."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Literal

from app.accounts import letters, lockout, repository
from app.accounts.repository import User
from app.auth.opaque import new_token, token_hash
from app.db import Sessions, new_id
from app.mail.outgoing import Outgoing
from app.mail.ports import Mail
from app.settings import Settings

_MINUTE_SECONDS = 60
_WRITERS = {"magic_link": letters.magic_link, "password_reset": letters.password_reset}

Purpose = Literal["magic_link", "password_reset"]


def send(sessions: Sessions, mails: Outgoing, settings: Settings, email: str, purpose: Purpose) -> None:
    """Mail a link to whoever has this address, some time after this call; to an address without an account nothing.

    All of it happens behind the answer: whether there is an account cannot be told from how long it takes.
    """
    mails.post(_letter(sessions, settings, email, purpose))


def _letter(
    sessions: Sessions, settings: Settings, email: str, purpose: Purpose
) -> Callable[[], Awaitable[Mail | None]]:
    async def write() -> Mail | None:
        if not await lockout.may_mail(sessions, email):
            return None
        async with sessions.unscoped() as session:
            account = await repository.find_account(session, email)
        if account is None:
            return None
        user_id, _ = account
        seconds = settings.auth.link_seconds
        token = new_token()
        async with sessions.for_user(user_id) as session:
            user: User | None = await repository.get_user(session, user_id)
            if user is None:
                return None
            lifetime = timedelta(seconds=seconds)
            await repository.add_token(session, new_id(), user_id, purpose, token_hash(token), lifetime)
        minutes = max(1, seconds // _MINUTE_SECONDS)
        return _WRITERS[purpose](user, token, public_url=settings.public_url, minutes=minutes)

    return write
