"""People for tests: signed in, and members of workspaces, without the mails and passwords that it takes in life."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import insert

from app.accounts.models import user_sessions, users
from app.auth.permissions import Role
from app.auth.tokens import AccessTokens, Claims
from app.db import new_id
from app.settings import AuthSettings
from app.team.models import memberships
from tests.api import SIGNING_KEYS, owner_sessions
from tests.servers import Database


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody with a sign-in, and an access token of it that APIs of `settings_for` accept."""

    user_id: UUID
    session_id: UUID
    email: str
    access_token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


async def new_person(
    database: Database, *, email: str | None = None, name: str = "Ann", verified: bool = True, superadmin: bool = False
) -> SignedIn:
    """Somebody who is signed in, without a password, and a member of no workspace."""
    claims = Claims(user_id=new_id(), session_id=new_id())
    email = email or f"{claims.user_id}@example.com"
    now = datetime.now(UTC)
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        await session.execute(
            insert(users).values(
                id=claims.user_id,
                email=email,
                name=name,
                email_verified_at=now if verified else None,
                is_superadmin=superadmin,
            )
        )
        await session.execute(
            insert(user_sessions).values(
                id=claims.session_id,
                user_id=claims.user_id,
                token_hash=claims.session_id.bytes,
                expires_at=now + timedelta(days=1),
            )
        )
    return SignedIn(claims.user_id, claims.session_id, email, access_tokens().issue(claims))


async def join(database: Database, person: SignedIn, workspace_id: UUID, role: Role) -> None:
    """Make the person a member of the workspace."""
    async with owner_sessions(database) as sessions, sessions.unscoped() as session:
        await session.execute(insert(memberships).values(workspace_id=workspace_id, user_id=person.user_id, role=role))


async def new_member(database: Database, workspace_id: UUID, role: Role) -> SignedIn:
    """Somebody who is signed in and a member of the workspace."""
    person = await new_person(database)
    await join(database, person, workspace_id, role)
    return person


def access_tokens() -> AccessTokens:
    """What issues and reads access tokens as an API of `settings_for` does."""
    return AccessTokens.of(AuthSettings(signing_keys=SIGNING_KEYS))
