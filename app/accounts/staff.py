"""The platform's staff: made by the operator, never by registration."""

from datetime import timedelta

from app.accounts import repository
from app.accounts.service import verify_address
from app.auth.opaque import new_token, token_hash
from app.db import Session, new_id
from app.security_log import digest_of, security_event


async def make_superadmin(
    session: Session, *, email: str, name: str, password_hash: str | None, link_seconds: int
) -> str | None:
    """Make whoever has this address a superadmin, and an account where there is none; the session is the owner's.

    With a password it becomes theirs and every sign-in ends; without one, the token of a magic link is returned, good
    for `link_seconds`. What a stranger may have set who registered the address before ends.
    """
    account = await repository.find_account(session, email)
    user_id = account[0] if account else new_id()
    if account is None:
        await repository.add_user(session, user_id, email=email, name=name, password_hash=None)
    await verify_address(session, user_id)
    await repository.appoint(session, user_id)
    security_event("superadmin.made", user_id=user_id, address_digest=digest_of(email))
    if password_hash is not None:
        await repository.set_password(session, user_id, password_hash)
        await repository.end_sign_ins(session, user_id)
        return None
    token = new_token()
    lifetime = timedelta(seconds=link_seconds)
    await repository.add_token(session, new_id(), user_id, "magic_link", token_hash(token), lifetime)
    return token
