"""The SQL of the ledger's audit: rules of which every row is a difference, and whose ledgers there are."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from app.db import Session


@dataclass(frozen=True, slots=True)
class Difference:
    """A rule of the ledger that does not hold, and in how many places. `rule` is its name for programs, `problem` says
    it to people."""

    rule: str
    problem: str
    count: int

    def __str__(self) -> str:
        return f"{self.problem} ({self.count})"


# Each is right at any moment, also while credits move: what belongs together is written in one transaction, and each is
# read in one statement.
_DIFFERENCES = text("""
    WITH problems AS (
        SELECT 'balance' AS rule, 'the balance is not the sum of its entries' AS problem FROM credit_accounts AS a
        WHERE (balance, held) <> (SELECT coalesce(sum(amount), 0), coalesce(sum(held_amount), 0)
                                  FROM credit_entries AS e WHERE e.workspace_id = a.workspace_id)
        UNION ALL
        SELECT 'chain', 'an entry does not follow from the one before' FROM (
            SELECT balance_after = coalesce(lag(balance_after) OVER chain, 0) + amount
                   AND held_after = coalesce(lag(held_after) OVER chain, 0) + held_amount AS follows
            FROM credit_entries
            WINDOW chain AS (PARTITION BY workspace_id ORDER BY seq)) AS entries
        WHERE NOT follows
        UNION ALL
        SELECT 'lots', 'what is left of grants is not the balance' FROM credit_accounts AS a
        WHERE greatest(balance, 0) <> (SELECT coalesce(sum(remaining), 0) FROM credit_lots AS l
                                       WHERE l.workspace_id = a.workspace_id)
    )
    SELECT rule, problem, count(*) AS count FROM problems GROUP BY rule, problem ORDER BY rule
""")
_ACCOUNTS = text("""
    SELECT workspace_id FROM credit_accounts WHERE workspace_id > :after AND workspace_id <= :through
    ORDER BY workspace_id LIMIT :limit
""")
# Nobody waits for it, and it reads all that a workspace ever did.
_PATIENTLY = text("SET LOCAL statement_timeout = '10min'")


async def be_patient(session: Session) -> None:
    """Let each statement of the transaction take up to ten minutes."""
    await session.execute(_PATIENTLY)


async def differences(session: Session) -> list[Difference]:
    """Where the ledger contradicts itself, in all that the session can see."""
    return [Difference(**row) for row in (await session.execute(_DIFFERENCES)).mappings()]


async def accounts(session: Session, *, after: UUID, through: UUID, limit: int) -> list[UUID]:
    """Workspaces with a ledger among all that the session can see, in the order of their ids."""
    parameters = {"after": after, "through": through, "limit": limit}
    return list((await session.execute(_ACCOUNTS, parameters)).scalars())
