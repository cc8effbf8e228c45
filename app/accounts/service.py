"""Signing in, and what people change about their own account.

Whoever makes a sign-in holds the person's row: what ends all sign-ins ends the one that is just being made too.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

from app.accounts import lockout, repository
from app.accounts.errors import (
    AddressTaken,
    LinkNotValid,
    NoPassword,
    PresentPasswordWrong,
    SignInEnded,
    WrongPassword,
)
from app.accounts.passwords import Passwords, Verdict
from app.accounts.repository import User
from app.audit_log import service as audit_log
from app.auth import service as auth
from app.auth.opaque import new_token, token_hash
from app.auth.permissions import Person
from app.auth.tokens import AccessTokens, Claims
from app.db import Session, Sessions, enter_workspace, in_batches, new_id
from app.errors import Unauthenticated
from app.security_log import digest_of, security_event
from app.settings import Settings
from app.workspaces import service as workspaces
from app.workspaces.repository import Workspace

_MAX_WORKSPACE_NAME = 100


@dataclass(frozen=True, slots=True)
class Door:
    """What signing in takes."""

    sessions: Sessions
    access_tokens: AccessTokens
    passwords: Passwords
    settings: Settings

    @property
    def lifetime(self) -> timedelta:
        """Of a sign-in that is not refreshed."""
        return timedelta(days=self.settings.auth.session_days)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of one sign-in; `refresh` is good for one use."""

    access: str
    refresh: str
    expires_in_seconds: int


@dataclass(frozen=True, slots=True)
class SignedIn:
    user: User
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Registered:
    user: User
    workspace: Workspace
    tokens: Tokens


async def register(door: Door, *, email: str, name: str, password: str) -> Registered:
    """Make a person, their workspace with its first credits, and a sign-in. Raises AddressTaken."""
    password_hash = await door.passwords.hash(password)
    user_id = new_id()
    async with door.sessions.for_user(user_id) as session:
        if not await repository.add_user(session, user_id, email=email, name=name, password_hash=password_hash):
            raise AddressTaken
        grant = door.settings.credits.signup_grant
        workspace_id = await workspaces.create_workspace_for(session, user_id, _workspace_name(name), grant)
        user = await _get(session, user_id)
        workspace = await workspaces.read_workspace(session, workspace_id, "owner")
        return Registered(user, workspace, await _sign_in(session, door, user))


async def log_in(door: Door, *, email: str, password: str, client_address: str | None) -> SignedIn:
    """Sign in by password.

    Raises WrongPassword, the same and after the same work whether there is such an account, and TooManyAttempts.
    """
    attempt = await lockout.begin(door.sessions, email, client_address)
    async with door.sessions.unscoped() as session:
        user_id, stored = await repository.find_account(session, email) or (None, None)
    verdict = await door.passwords.check(password, stored)
    if user_id is None or verdict is Verdict.WRONG:
        security_event("sign_in.failed", address_digest=digest_of(email), user_id=user_id)
        raise WrongPassword
    renewed = await door.passwords.hash(password) if verdict is Verdict.OUTDATED else None
    async with door.sessions.for_user(user_id) as session:
        user = await _get(session, user_id, lock=True)
        if user.password_hash != stored:
            # It was changed while it was checked.
            raise WrongPassword
        if renewed is not None:
            await repository.set_password(session, user_id, renewed)
        tokens = await _sign_in(session, door, user)
    await lockout.succeeded(door.sessions, attempt)
    return SignedIn(user, tokens)


async def refresh(door: Door, token: str) -> Tokens:
    """New tokens for a refresh token, which ends with this. One that was used before ends its sign-in.

    Raises SignInEnded.
    """
    hashed = token_hash(token)
    async with door.sessions.unscoped() as session:
        found = await repository.find_sign_in(session, hashed)
    if found is None:
        raise SignInEnded
    session_id, user_id = found
    async with door.sessions.for_user(user_id) as session:
        sign_in = await repository.lock_sign_in(session, session_id, hashed)
        if sign_in is None or not sign_in.is_live:
            raise SignInEnded
        if sign_in.is_current:
            new = new_token()
            await repository.rotate(session, session_id, token_hash(new), door.lifetime)
            return _tokens(door, Claims(user_id, session_id), new)
        await repository.end_sign_ins(session, user_id, only=session_id)
    security_event("refresh.replayed", user_id=user_id, session_id=session_id)
    raise SignInEnded


async def log_out(sessions: Sessions, person: Person) -> None:
    """End the sign-in that the caller came with."""
    async with sessions.for_user(person.user_id) as session:
        await repository.end_sign_ins(session, person.user_id, only=person.session_id)


async def log_out_everywhere(sessions: Sessions, person: Person) -> None:
    """End every sign-in of the caller's, this one too."""
    async with sessions.for_user(person.user_id) as session:
        await repository.end_sign_ins(session, person.user_id)
    security_event("sign_in.ended_everywhere", user_id=person.user_id)


async def get_me(sessions: Sessions, person: Person) -> User:
    async with sessions.for_user(person.user_id) as session:
        return await _get(session, person.user_id)


async def rename_me(sessions: Sessions, person: Person, name: str) -> User:
    """Change the caller's name. It stands in the members' list of each of their workspaces, and so the change does in
    the audit log of each; what concerns their sign-in alone is a security event, and no workspace's business."""
    async with sessions.for_user(person.user_id) as session:
        before = await _get(session, person.user_id, lock=True)
        await repository.rename(session, person.user_id, name)
        after = await _get(session, person.user_id)
        if before.name == after.name:
            return after
        for workspace_id in await repository.workspaces_of(session, person.user_id):
            await enter_workspace(session, workspace_id)
            await audit_log.record(
                session,
                workspace_id,
                person,
                "user.rename",
                ("user", str(person.user_id)),
                before={"name": before.name},
                after={"name": after.name},
            )
    security_event("account.renamed", user_id=person.user_id)
    return after


async def change_password(door: Door, person: Person, *, present: str, new: str, client_address: str | None) -> None:
    """Set another password; every other sign-in ends, and every link that was mailed.

    Raises NoPassword, PresentPasswordWrong, TooManyAttempts.
    """
    user = await get_me(door.sessions, person)
    if user.password_hash is None:
        raise NoPassword
    attempt = await lockout.begin(door.sessions, user.email, client_address)
    if await door.passwords.check(present, user.password_hash) is Verdict.WRONG:
        security_event("password.change_refused", user_id=user.id)
        raise PresentPasswordWrong
    new_hash = await door.passwords.hash(new)
    async with door.sessions.for_user(user.id) as session:
        if (await _get(session, user.id, lock=True)).password_hash != user.password_hash:
            raise PresentPasswordWrong
        await repository.set_password(session, user.id, new_hash)
        await repository.end_sign_ins(session, user.id, but=person.session_id)
        await repository.void_tokens(session, user.id)
    await lockout.succeeded(door.sessions, attempt)
    security_event("password.changed", user_id=user.id)


async def consume_magic_link(door: Door, token: str) -> SignedIn:
    """Sign in by what a mail carried. Raises LinkNotValid."""
    token_id, user_id = await _find_link(door.sessions, "magic_link", token)
    async with door.sessions.for_user(user_id) as session:
        user = await _use_link(session, token_id, user_id)
        return SignedIn(user, await _sign_in(session, door, user))


async def reset_password(door: Door, token: str, password: str) -> SignedIn:
    """Set a password by what a mail carried; every sign-in ends, and a new one begins. Raises LinkNotValid."""
    token_id, user_id = await _find_link(door.sessions, "password_reset", token)
    password_hash = await door.passwords.hash(password)
    async with door.sessions.for_user(user_id) as session:
        user = await _use_link(session, token_id, user_id)
        await repository.set_password(session, user_id, password_hash)
        await repository.end_sign_ins(session, user_id)
        await repository.void_tokens(session, user_id)
        tokens = await _sign_in(session, door, user)
    security_event("password.reset", user_id=user_id)
    return SignedIn(user, tokens)


async def verify_address(session: Session, user_id: UUID, *, keep: UUID | None = None) -> User:
    """The person has shown that the address is theirs: verify it, where it was not. The session is `for_user`.

    Whoever registered it before may be somebody else: their password, their sign-ins (but for `keep`), their links
    and the API keys that they made end.
    """
    user = await _get(session, user_id, lock=True)
    if user.email_verified_at is not None:
        return user
    await repository.set_password(session, user_id, None)
    await repository.end_sign_ins(session, user_id, but=keep)
    await repository.void_tokens(session, user_id)
    await repository.verify_email(session, user_id)
    for workspace_id in await repository.workspaces_of(session, user_id):
        await enter_workspace(session, workspace_id)
        await auth.revoke_keys_made_by(session, workspace_id, user_id)
        target = ("user", str(user_id))
        await audit_log.record(session, workspace_id, None, "user.verify", target, after={"api_keys": "revoked"})
    security_event("address.verified", user_id=user_id)
    return await _get(session, user_id)


async def sweep(platform_sessions: Sessions, *, batch: int = 1000, max_batches: int = 10) -> int:
    """Delete sign-ins, links and attempts that ended more than a day ago, a transaction a batch; how many."""
    return await in_batches(
        platform_sessions, partial(repository.sweep, limit=batch), batch=batch, max_batches=max_batches
    )


async def _find_link(sessions: Sessions, purpose: str, token: str) -> tuple[UUID, UUID]:
    async with sessions.unscoped() as session:
        found = await repository.find_token(session, purpose, token_hash(token))
    if found is None:
        raise LinkNotValid
    return found


async def _use_link(session: Session, token_id: UUID, user_id: UUID) -> User:
    user = await _get(session, user_id, lock=True)
    if not await repository.use_token(session, token_id):
        raise LinkNotValid
    return user if user.email_verified_at else await verify_address(session, user_id)


async def _get(session: Session, user_id: UUID, *, lock: bool = False) -> User:
    user = await repository.get_user(session, user_id, lock=lock)
    if user is None:
        raise Unauthenticated("This account was removed.")
    return user


async def _sign_in(session: Session, door: Door, user: User) -> Tokens:
    session_id, token = new_id(), new_token()
    await repository.add_sign_in(session, session_id, user.id, token_hash(token), door.lifetime)
    return _tokens(door, Claims(user.id, session_id), token)


def _tokens(door: Door, claims: Claims, refresh_token: str) -> Tokens:
    return Tokens(door.access_tokens.issue(claims), refresh_token, door.access_tokens.seconds)


def _workspace_name(name: str) -> str:
    suffix = "'s workspace"
    return name[: _MAX_WORKSPACE_NAME - len(suffix)] + suffix
