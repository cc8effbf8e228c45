"""The reconciler: finds work that PostgreSQL believes is going on and Temporal does not know, or has ended.

It runs in each worker process rather than as a Temporal Schedule, because one of the cases it is for is a Temporal
server that lost its database, schedules included.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from app.db import Session, Sessions
from app.errors import Unavailable
from app.settings import OutboxSettings
from app.temporal import reaching_temporal

log = structlog.get_logger(__name__)

_BATCH = 200
_RPC_TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class SilentWork:
    """Unfinished work without a sign of life: `reference` is its id in its own process."""

    workspace_id: UUID
    workflow_id: str
    reference: UUID


class ReconciledProcess(ABC):
    """What a process tells the reconciler about its work.

    `platform_sessions` find that of every workspace; what is done about one is done in its own workspace.
    """

    def __init__(self, sessions: Sessions, platform_sessions: Sessions) -> None:
        self._sessions = sessions
        self._platform_sessions = platform_sessions

    async def claim_silent(self, seconds: float, limit: int) -> Sequence[SilentWork]:
        """Unfinished work that was silent for so long, and has no command on its way. Claiming counts as a sign of
        life, so that each is looked at by one reconciler at a time."""
        async with self._platform_sessions.unscoped() as session:
            claimed = await self._claim(session, seconds=seconds, limit=limit)
        return [
            SilentWork(workspace_id, self._workflow_id(str(reference)), reference)
            for workspace_id, reference in claimed
        ]

    @abstractmethod
    async def _claim(self, session: Session, *, seconds: float, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """(workspace, reference) of what `claim_silent` is to find."""

    @abstractmethod
    def _workflow_id(self, reference: str) -> str:
        """The workflow that does this work."""

    @abstractmethod
    async def start_again(self, work: SilentWork) -> None:
        """Temporal does not know the workflow: start it again by its id."""

    async def end(self, work: SilentWork) -> None:
        """The workflow ended without its work being settled (it was terminated, or failed): settle it. Where nothing
        says otherwise it is still to be done, and started again."""
        await self.start_again(work)


class Reconciler:
    """Looks every `reconcile_every_seconds`, until it is cancelled."""

    def __init__(self, processes: Sequence[ReconciledProcess], client: Client, settings: OutboxSettings) -> None:
        self._processes = processes
        self._client = client
        self._settings = settings

    async def run(self) -> None:
        while True:
            try:
                for process in self._processes:
                    await self.reconcile(process)
            except Unavailable as error:
                log.warning("reconciliation unavailable", error=error.message)
            await asyncio.sleep(self._settings.reconcile_every_seconds)

    async def reconcile(self, process: ReconciledProcess) -> None:
        """Look at one batch of silent work of a process, and set right what Temporal lost or ended.

        Raises Unavailable without a database or without Temporal: what was claimed is found again later.
        """
        for work in await process.claim_silent(self._settings.stale_after_seconds, _BATCH):
            try:
                with reaching_temporal():
                    handle = self._client.get_workflow_handle(work.workflow_id)
                    description = await handle.describe(rpc_timeout=_RPC_TIMEOUT)
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
                log.warning("workflow is unknown to Temporal, started again", workflow_id=work.workflow_id)
                await process.start_again(work)
                continue
            if description.status != WorkflowExecutionStatus.RUNNING:
                status = description.status.name if description.status else "unknown"
                log.warning("workflow ended without a settlement", workflow_id=work.workflow_id, status=status)
                await process.end(work)
