"""The SQL of a workspace's people."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import RowMapping, delete, func, insert, select, text, update

from app.auth.permissions import Role
from app.db import Session
from app.team.models import invitations, memberships


@dataclass(frozen=True, slots=True)
class Member:
    """A person with a role in the workspace, since `created_at`."""

    user_id: UUID
    name: str
    email: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation that can still be accepted."""

    id: UUID
    email: str
    role: Role
    invited_by: UUID | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Invited:
    """Where an invitation's token leads."""

    invitation_id: UUID
    workspace_id: UUID
    email: str


# People and keys of a workspace change one transaction at a time: the row is locked so that jobs, which refer to it,
# are not kept waiting.
_LOCK = text("SELECT name FROM workspaces WHERE id = :workspace_id AND deleted_at IS NULL FOR NO KEY UPDATE")
# The function answers for the workspace of the transaction.
_MEMBERS = text("""
    SELECT user_id, name, email, role, created_at FROM members_of_own_workspace()
    WHERE CAST(:after AS uuid) IS NULL OR user_id > :after
    ORDER BY user_id LIMIT :limit
""")
_MEMBER = text("""
    SELECT user_id, name, email, role, created_at FROM members_of_own_workspace() WHERE user_id = :user_id
""")
_IS_VERIFIED = text("SELECT email_verified FROM members_of_own_workspace() WHERE user_id = :user_id")
_HAS_ADDRESS = text("SELECT EXISTS (SELECT FROM members_of_own_workspace() WHERE email = :email)")
_FIND_INVITATION = text("SELECT invitation_id, workspace_id, email FROM find_invitation(:token_hash)")

_invitation = invitations.c
_IS_OPEN = _invitation.accepted_at.is_(None) & _invitation.revoked_at.is_(None) & (_invitation.expires_at > func.now())
_OPEN = select(*(_invitation[name] for name in Invitation.__slots__)).where(_IS_OPEN)


async def lock_workspace(session: Session, workspace_id: UUID) -> str | None:
    """The workspace's name, with its people and keys kept as they are to the end of the transaction; None for one
    that was deleted."""
    name: str | None = (await session.execute(_LOCK, {"workspace_id": workspace_id})).scalar_one_or_none()
    return name


async def add_member(session: Session, workspace_id: UUID, user_id: UUID, role: Role) -> None:
    await session.execute(insert(memberships).values(workspace_id=workspace_id, user_id=user_id, role=role))


async def members(session: Session, *, after: UUID | None, limit: int) -> list[Member]:
    rows = await session.execute(_MEMBERS, {"after": after, "limit": limit})
    return [Member(**row) for row in rows.mappings()]


async def member(session: Session, user_id: UUID) -> Member | None:
    row = (await session.execute(_MEMBER, {"user_id": user_id})).mappings().one_or_none()
    return Member(**row) if row else None


async def is_verified(session: Session, user_id: UUID) -> bool:
    """Whether the address of this member is verified; False for no member."""
    return bool((await session.execute(_IS_VERIFIED, {"user_id": user_id})).scalar_one_or_none())


async def has_member_with(session: Session, email: str) -> bool:
    return bool((await session.execute(_HAS_ADDRESS, {"email": email})).scalar_one())


async def count_members(session: Session, workspace_id: UUID) -> int:
    query = select(func.count()).where(memberships.c.workspace_id == workspace_id)
    return int((await session.execute(query)).scalar_one())


async def count_owners(session: Session, workspace_id: UUID) -> int:
    query = select(func.count()).where(memberships.c.workspace_id == workspace_id, memberships.c.role == "owner")
    return int((await session.execute(query)).scalar_one())


async def role_of(session: Session, workspace_id: UUID, user_id: UUID) -> Role | None:
    query = select(memberships.c.role).where(
        memberships.c.workspace_id == workspace_id, memberships.c.user_id == user_id
    )
    role: Role | None = (await session.execute(query)).scalar_one_or_none()
    return role


async def set_role(session: Session, workspace_id: UUID, user_id: UUID, role: Role) -> None:
    await session.execute(
        update(memberships)
        .where(memberships.c.workspace_id == workspace_id, memberships.c.user_id == user_id)
        .values(role=role)
    )


async def remove_member(session: Session, workspace_id: UUID, user_id: UUID) -> None:
    await session.execute(
        delete(memberships).where(memberships.c.workspace_id == workspace_id, memberships.c.user_id == user_id)
    )


async def add_invitation(
    session: Session,
    invitation_id: UUID,
    workspace_id: UUID,
    *,
    email: str,
    role: Role,
    token_hash: bytes,
    invited_by: UUID | None,
    days: int,
) -> Invitation:
    row = await session.execute(
        insert(invitations)
        .values(
            id=invitation_id,
            workspace_id=workspace_id,
            email=email,
            role=role,
            token_hash=token_hash,
            invited_by=invited_by,
            expires_at=func.now() + timedelta(days=days),
        )
        .returning(*(_invitation[name] for name in Invitation.__slots__))
    )
    return _invitation_of(row.mappings().one())


async def open_invitations(session: Session, *, before: UUID | None, limit: int) -> list[Invitation]:
    query = _OPEN.order_by(_invitation.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_invitation.id < before)
    return [_invitation_of(row) for row in (await session.execute(query)).mappings()]


async def open_invitation(session: Session, invitation_id: UUID) -> Invitation | None:
    row = (await session.execute(_OPEN.where(_invitation.id == invitation_id))).mappings().one_or_none()
    return _invitation_of(row) if row else None


async def count_open_invitations(session: Session) -> int:
    return int((await session.execute(select(func.count()).select_from(invitations).where(_IS_OPEN))).scalar_one())


async def count_mailed_today(session: Session, email: str) -> tuple[int, int]:
    """How many invitations the session's workspace made within a day, whatever became of them: all, and to `email`."""
    query = select(func.count(), func.count().filter(_invitation.email == email))
    row = (await session.execute(query.where(_invitation.created_at > func.now() - timedelta(days=1)))).one()
    return int(row[0]), int(row[1])


async def find_invitation(session: Session, token_hash: bytes) -> Invited | None:
    """Needs no workspace."""
    row = (await session.execute(_FIND_INVITATION, {"token_hash": token_hash})).mappings().one_or_none()
    return Invited(**row) if row else None


async def revoke_invitation(session: Session, invitation_id: UUID) -> None:
    await session.execute(update(invitations).where(_invitation.id == invitation_id).values(revoked_at=func.now()))


async def revoke_open_invitations_to(session: Session, email: str) -> None:
    await session.execute(update(invitations).where(_IS_OPEN, _invitation.email == email).values(revoked_at=func.now()))


async def accept_invitation(session: Session, invitation_id: UUID) -> None:
    await session.execute(update(invitations).where(_invitation.id == invitation_id).values(accepted_at=func.now()))


def _invitation_of(row: RowMapping) -> Invitation:
    return Invitation(**{name: row[name] for name in Invitation.__slots__})
