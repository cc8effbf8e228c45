"""The SQL of people and their sign-ins."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from app.accounts.models import one_time_tokens, user_sessions, users
from app.db import Session

# Older ones are forgotten: a thief who waits so long finds a sign-in that rotated a hundred times since.
_USED_TOKENS_KEPT = 100

_FIND_ACCOUNT = text("SELECT user_id, password_hash FROM find_account(:email)")
_FIND_SESSION = text("SELECT session_id, user_id FROM find_user_session(:token_hash)")
_FIND_TOKEN = text("SELECT token_id, user_id FROM find_one_time_token(:token_hash) WHERE purpose = :purpose")
_WORKSPACES_OF = text("SELECT workspace_id FROM workspaces_of(:user_id) ORDER BY workspace_id")
_BEGIN_ATTEMPT = text("SELECT begin_attempt(CAST(:keys AS bytea[]), CAST(:free AS integer[]), :longest)")
_END_ATTEMPT = text("SELECT end_attempt(:forgiven, :uncounted)")
_ROTATE = text("""
    UPDATE user_sessions
    SET token_hash = :new_hash, used_token_hashes = (token_hash || used_token_hashes)[1:CAST(:kept AS integer)],
        refreshed_at = now(), expires_at = now() + CAST(:lifetime AS interval)
    WHERE id = :session_id
""")
_SWEEPS = (
    text("""
        DELETE FROM user_sessions WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM user_sessions
            WHERE expires_at < now() - interval '1 day' OR revoked_at < now() - interval '1 day' LIMIT :limit))
    """),
    text("""
        DELETE FROM one_time_tokens WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM one_time_tokens
            WHERE expires_at < now() - interval '1 day' OR used_at < now() - interval '1 day' LIMIT :limit))
    """),
    # A day without attempts: begin_attempt() would begin at one again.
    text("""
        DELETE FROM attempts WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM attempts WHERE last_at < now() - interval '1 day' LIMIT :limit FOR UPDATE SKIP LOCKED))
    """),
)


@dataclass(frozen=True, slots=True)
class User:
    """A person. `password_hash` never leaves this domain."""

    id: UUID
    email: str
    name: str
    password_hash: str | None
    email_verified_at: datetime | None
    is_superadmin: bool
    created_at: datetime


class SignIn(NamedTuple):
    """A row of user_sessions as a refresh looks at it: `is_current` whether the token is the one that is good now."""

    is_live: bool
    is_current: bool


async def add_user(session: Session, user_id: UUID, *, email: str, name: str, password_hash: str | None) -> bool:
    """False where the address is taken."""
    statement = postgres_insert(users).values(id=user_id, email=email, name=name, password_hash=password_hash)
    added = statement.on_conflict_do_nothing(index_elements=["email"]).returning(users.c.id)
    return (await session.execute(added)).one_or_none() is not None


async def find_account(session: Session, email: str) -> tuple[UUID, str | None] | None:
    """The id and the password's hash. Needs no user."""
    row = (await session.execute(_FIND_ACCOUNT, {"email": email})).one_or_none()
    return (row.user_id, row.password_hash) if row else None


async def get_user(session: Session, user_id: UUID, *, lock: bool = False) -> User | None:
    """`lock` keeps the row as it is to the end of the transaction."""
    query = select(*(users.c[name] for name in User.__slots__)).where(users.c.id == user_id)
    row = (await session.execute(query.with_for_update(key_share=True) if lock else query)).mappings().one_or_none()
    return User(**row) if row else None


async def rename(session: Session, user_id: UUID, name: str) -> None:
    await session.execute(update(users).where(users.c.id == user_id).values(name=name))


async def set_password(session: Session, user_id: UUID, password_hash: str | None) -> None:
    await session.execute(update(users).where(users.c.id == user_id).values(password_hash=password_hash))


async def verify_email(session: Session, user_id: UUID) -> None:
    await session.execute(update(users).where(users.c.id == user_id).values(email_verified_at=func.now()))


async def appoint(session: Session, user_id: UUID) -> None:
    """Make the person a superadmin."""
    await session.execute(update(users).where(users.c.id == user_id).values(is_superadmin=True))


async def add_sign_in(
    session: Session, session_id: UUID, user_id: UUID, token_hash: bytes, lifetime: timedelta
) -> None:
    await session.execute(
        insert(user_sessions).values(
            id=session_id, user_id=user_id, token_hash=token_hash, expires_at=func.now() + lifetime
        )
    )


async def find_sign_in(session: Session, token_hash: bytes) -> tuple[UUID, UUID] | None:
    """The id of the sign-in that has or had this refresh token, and whose it is. Needs no user."""
    row = (await session.execute(_FIND_SESSION, {"token_hash": token_hash})).one_or_none()
    return (row.session_id, row.user_id) if row else None


async def lock_sign_in(session: Session, session_id: UUID, token_hash: bytes) -> SignIn | None:
    """The sign-in as it stays to the end of the transaction."""
    table = user_sessions.c
    is_live = table.revoked_at.is_(None) & (table.expires_at > func.now())
    query = select(is_live, table.token_hash == token_hash).where(table.id == session_id).with_for_update()
    row = (await session.execute(query)).one_or_none()
    return SignIn(*row) if row else None


async def rotate(session: Session, session_id: UUID, new_hash: bytes, lifetime: timedelta) -> None:
    parameters = {"session_id": session_id, "new_hash": new_hash, "lifetime": lifetime, "kept": _USED_TOKENS_KEPT}
    await session.execute(_ROTATE, parameters)


async def end_sign_ins(session: Session, user_id: UUID, *, only: UUID | None = None, but: UUID | None = None) -> None:
    """End those of the person: all, `only` one, or all `but` one."""
    statement = update(user_sessions).where(user_sessions.c.user_id == user_id, user_sessions.c.revoked_at.is_(None))
    if only is not None:
        statement = statement.where(user_sessions.c.id == only)
    if but is not None:
        statement = statement.where(user_sessions.c.id != but)
    await session.execute(statement.values(revoked_at=func.now()))


async def add_token(
    session: Session, token_id: UUID, user_id: UUID, purpose: str, token_hash: bytes, lifetime: timedelta
) -> None:
    await session.execute(
        insert(one_time_tokens).values(
            id=token_id,
            user_id=user_id,
            purpose=purpose,
            token_hash=token_hash,
            expires_at=func.now() + lifetime,
        )
    )


async def find_token(session: Session, purpose: str, token_hash: bytes) -> tuple[UUID, UUID] | None:
    """The id of a token that is good for that, and whose it is. Needs no user."""
    row = (await session.execute(_FIND_TOKEN, {"purpose": purpose, "token_hash": token_hash})).one_or_none()
    return (row.token_id, row.user_id) if row else None


async def use_token(session: Session, token_id: UUID) -> bool:
    """False where it was used or has expired meanwhile."""
    table = one_time_tokens.c
    statement = update(one_time_tokens).where(
        table.id == token_id, table.used_at.is_(None), table.expires_at > func.now()
    )
    return (await session.execute(statement.values(used_at=func.now()))).rowcount == 1


async def void_tokens(session: Session, user_id: UUID) -> None:
    """Every link that was mailed to the person ends."""
    table = one_time_tokens.c
    await session.execute(
        update(one_time_tokens).where(table.user_id == user_id, table.used_at.is_(None)).values(used_at=func.now())
    )


async def workspaces_of(session: Session, user_id: UUID) -> list[UUID]:
    """Those that the person is a member of."""
    return list((await session.execute(_WORKSPACES_OF, {"user_id": user_id})).scalars())


async def begin_attempt(session: Session, free_by_key: Mapping[bytes, int], *, longest_seconds: int) -> float:
    """Seconds to wait; 0 when the attempt was counted and may be made."""
    parameters = {"keys": list(free_by_key), "free": list(free_by_key.values()), "longest": longest_seconds}
    return float((await session.execute(_BEGIN_ATTEMPT, parameters)).scalar_one())


async def end_attempt(session: Session, *, forgiven: bytes, uncounted: bytes | None) -> None:
    await session.execute(_END_ATTEMPT, {"forgiven": forgiven, "uncounted": uncounted})


async def sweep(session: Session, *, limit: int) -> int:
    """Delete up to `limit` rows of each kind that ended a day ago; how many in all. The session is the platform's."""
    return sum([(await session.execute(statement, {"limit": limit})).rowcount for statement in _SWEEPS])
