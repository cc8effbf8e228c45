"""What tests do to a ledger, and what they see of it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from app.credits import audit
from app.credits import service as credits
from app.credits.repository import Balance
from app.db import Sessions, new_id

JOB = ("enrichment_job", "1")
DAY = timedelta(days=1)


async def grant(sessions: Sessions, workspace_id: UUID, amount: int, days: int | None = None, key: str = "") -> None:
    """Credits that expire in so many days from now; None: never."""
    expires_at = None if days is None else datetime.now(UTC) + days * DAY
    async with sessions.for_workspace(workspace_id) as session:
        await credits.grant(
            session, workspace_id, amount, key=key or f"{new_id()}", reason="test", expires_at=expires_at
        )


async def refund(sessions: Sessions, workspace_id: UUID, amount: int, key: str = "") -> None:
    async with sessions.for_workspace(workspace_id) as session:
        await credits.refund(session, workspace_id, amount, key=key or f"{new_id()}", reason="test", reference=JOB)


async def hold(sessions: Sessions, workspace_id: UUID, amount: int, key: str = "", threshold: int = 0) -> None:
    async with sessions.for_workspace(workspace_id) as session:
        await credits.hold(
            session,
            workspace_id,
            amount,
            key=key or f"{new_id()}",
            reason="test",
            reference=JOB,
            low_threshold=threshold,
        )


async def charge(sessions: Sessions, workspace_id: UUID, *amounts: int) -> None:
    charges = [credits.Charge(f"charge:{new_id()}", amount, "1") for amount in amounts]
    async with sessions.for_workspace(workspace_id) as session:
        await credits.charge(session, workspace_id, charges, reason="test", reference_type="answer")


async def release(sessions: Sessions, workspace_id: UUID, amount: int, key: str = "") -> None:
    async with sessions.for_workspace(workspace_id) as session:
        await credits.release(session, workspace_id, amount, key=key or f"{new_id()}", reason="test", reference=JOB)


async def claw_back(sessions: Sessions, workspace_id: UUID, amount: int, key: str = "", threshold: int = 0) -> None:
    async with sessions.for_workspace(workspace_id) as session:
        await credits.claw_back(
            session,
            workspace_id,
            amount,
            key=key or f"{new_id()}",
            reason="test",
            reference=("grant", "1"),
            low_threshold=threshold,
        )


async def expire(sessions: Sessions, workspace_id: UUID) -> int:
    async with sessions.for_workspace(workspace_id) as session:
        return await credits.expire(session, workspace_id)


async def pass_days(owner: Sessions, workspace_id: UUID, days: int) -> None:
    """Let the workspace's credits be so much nearer to their end."""
    async with owner.unscoped() as session:
        await session.execute(
            text("UPDATE credit_lots SET expires_at = expires_at - :passed WHERE workspace_id = :workspace_id"),
            {"passed": days * DAY, "workspace_id": workspace_id},
        )


async def balance(sessions: Sessions, workspace_id: UUID) -> Balance:
    async with sessions.for_workspace(workspace_id) as session:
        return await credits.balance(session, workspace_id)


async def lots(sessions: Sessions, workspace_id: UUID) -> list[int]:
    """What is left of each grant, in the order in which it is spent."""
    query = text("SELECT remaining FROM credit_lots ORDER BY expires_at NULLS LAST, id")
    async with sessions.for_workspace(workspace_id) as session:
        return list((await session.execute(query)).scalars())


async def kinds(sessions: Sessions, workspace_id: UUID) -> list[tuple[str, int, int]]:
    """(kind, amount, held amount) of each entry, oldest first."""
    async with sessions.for_workspace(workspace_id) as session:
        entries = await credits.list_entries(session, workspace_id, before_seq=None, limit=500)
    return [(entry.kind, entry.amount, entry.held_amount) for entry in reversed(entries)]


async def differences(owner: Sessions) -> list[str]:
    """Where any ledger of the database contradicts itself; must be empty at all times."""
    async with owner.unscoped() as session:
        return [str(each) for each in await audit.check(session)]
