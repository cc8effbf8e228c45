"""Buying nothing twice: answers that the workspace has, and claims on those that it is about to buy."""

from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Self
from uuid import UUID

from app.db import Session, Sessions
from app.enrichment import reuse_repository as repository
from app.enrichment.lookup_repository import OpenRecord, RunningJob
from app.enrichment.waterfall import StoredAnswer
from workflows.contracts.enrichment import Lookup

# Longer than a run of a lookup takes. One that dies is run again, by the same job, long before that.
_CLAIM_SECONDS = 900.0


class Reuse:
    """What one lookup need not buy. Nothing is asked of the database where the job wants no answer that is older."""

    def __init__(self, sessions: Sessions, command: Lookup, job: RunningJob, fields: Collection[str]) -> None:
        self._sessions = sessions
        self._command = command
        self._workspace_id = UUID(command.workspace_id)
        self._job_id = UUID(command.job_id)
        self._job = job
        self._fields = fields
        self._has_claims = False

    async def look(self, records: Sequence[OpenRecord]) -> tuple[dict[int, StoredAnswer], set[int]]:
        """By position the answers that are there, and the positions of records that another job is asking about now.
        All others are claimed, until this lookup ends."""
        if not records or not self._job.reuse_within_seconds:
            return {}, set()
        provider = self._command.provider
        async with self._sessions.for_workspace(self._workspace_id) as session:
            found = await self._earlier(session, records)
            wanted = [record for record in records if record.position not in found]
            if not wanted:
                return found, set()
            self._has_claims = True
            positions = [record.position for record in wanted]
            claimed = await repository.claim(session, self._job_id, provider, positions, seconds=_CLAIM_SECONDS)
        async with self._sessions.for_workspace(self._workspace_id) as session:
            # Whoever had the claim before has stored its answer first.
            found |= await self._earlier(session, [record for record in wanted if record.position in claimed])
        return found, set(positions) - claimed

    async def _earlier(self, session: Session, records: Sequence[OpenRecord]) -> dict[int, StoredAnswer]:
        return await repository.earlier_answers(
            session, self._workspace_id, self._job_id, self._job, self._command.provider, self._fields, records
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up the claims."""
        if self._has_claims:
            command = self._command
            async with self._sessions.for_workspace(self._workspace_id) as session:
                await repository.release(session, self._job_id, command.provider, command.first, command.last)
