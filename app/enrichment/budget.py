"""Reserving a call's price from the job's hold, where the hold is smaller than the worst case.

A lookup takes blocks from what is left of the hold and spends them from memory. Its row holds what it may still
charge, so that several lookups of a job together never charge more than is held.
"""

import asyncio
from types import TracebackType
from typing import Literal, Self
from uuid import UUID

from app.db import Session, Sessions
from app.enrichment import budget_repository as repository
from workflows.contracts.enrichment import Lookup


class Budget:
    """What one lookup may still spend, where an answer costs `price` credits at the most. Not limited: every call may
    be made."""

    def __init__(self, sessions: Sessions, command: Lookup, *, price: int, limited: bool, block: int) -> None:
        self._sessions = sessions
        self._workspace_id = UUID(command.workspace_id)
        self._job_id = UUID(command.job_id)
        self._provider = command.provider
        self._first = command.first
        self._price = price
        self._limited = limited and price > 0
        self._block = block * price
        # Reserved and free, and reserved for calls that are in flight or not committed yet.
        self._free = 0
        self._bound = 0
        self._lock = asyncio.Lock()

    @property
    def is_unlimited(self) -> bool:
        """Every call may be made; there is nothing to take."""
        return not self._limited

    async def take(self) -> Literal["taken", "later", "exhausted"]:
        """Reserve the price of one call. "later": what is left is bound by calls under way, which may come to
        nothing; "exhausted": it is spent."""
        async with self._lock:
            others = 0
            if self._free < self._price:
                async with self._sessions.for_workspace(self._workspace_id) as session:
                    reserved, others = await repository.reserve(
                        session, self._job_id, self._provider, self._first, self._bound + self._block
                    )
                self._free = reserved - self._bound
            if self._free >= self._price:
                self._free -= self._price
                self._bound += self._price
                return "taken"
            return "later" if others or self._bound else "exhausted"

    def give_back(self, charged: int = 0) -> None:
        """An answer that was reserved for costs no more than this."""
        if self._limited:
            self._bound -= self._price - charged
            self._free += self._price - charged

    async def spend(self, session: Session, credits: int) -> None:
        """These credits are charged in this transaction; call `spent` once it is committed."""
        if self._limited and credits:
            await repository.spend_reserved(session, self._job_id, self._provider, self._first, credits)

    def spent(self, credits: int) -> None:
        if self._limited:
            self._bound -= credits

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Return what was not spent."""
        if self._limited:
            async with self._sessions.for_workspace(self._workspace_id) as session:
                await repository.drop_reservation(session, self._job_id, self._provider, self._first)
