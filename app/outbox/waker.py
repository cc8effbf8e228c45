"""The waker: the bridge from a row that is due to the run that takes care of it.

What is due stands in its row, and stays there until somebody has seen it: a wake that is lost is followed by another.
A run that is woken twice a second takes no more signals after an hour and a half; it goes on as another long before.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import structlog
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError

from app.db import Session, Sessions
from app.errors import Unavailable
from app.plan_limits.limits import LimitsByPlan
from app.plan_limits.service import fairness_weights
from app.settings import TemporalSettings
from app.temporal import reaching_temporal, start_options

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.1
# Of one row, by all processes together.
_APART = timedelta(seconds=0.5)
_BATCH = 100
_RPC_TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Wake:
    """One workflow that is to look at what is due: started with `argument` where it does not run. `summary` is what
    operators read of it."""

    workspace_id: UUID
    workflow_id: str
    argument: Any
    summary: str


class WokenProcess(ABC):
    """What a process tells the waker: whom to wake, and as what. `process` is the search attribute of its runs."""

    workflow: ClassVar[str]
    process: ClassVar[str]

    @abstractmethod
    async def take_waiting(self, session: Session, *, apart: timedelta, limit: int) -> Sequence[Wake]:
        """Take those with something due that nobody has seen, none that was taken less than `apart` ago. The session
        is of the platform's role."""


class Waker:
    """Wakes until it is cancelled. Any number may run at once. `limits` are those of the plans that are sold here."""

    def __init__(
        self,
        process: WokenProcess,
        platform_sessions: Sessions,
        client: Client,
        settings: TemporalSettings,
        limits: LimitsByPlan | None = None,
    ) -> None:
        self._process = process
        self._sessions = platform_sessions
        self._client = client
        self._settings = settings
        self._limits = limits

    async def run(self) -> None:
        while True:
            try:
                await self.wake_waiting()
            except Unavailable as error:
                log.warning("what is due is not woken", process=self._process.process, error=error.message)
            await asyncio.sleep(_LOOK_SECONDS)

    async def wake_waiting(self) -> int:
        """Wake the workflows that have something due that nobody waits for; how many.

        Raises Unavailable without a database, or without Temporal: then they are woken again later.
        """
        async with self._sessions.unscoped() as session:
            taken = await self._process.take_waiting(session, apart=_APART, limit=_BATCH)
            weights = await fairness_weights(session, (wake.workspace_id for wake in taken), self._limits)
        wakes = [self._wake(wake, weights.get(wake.workspace_id)) for wake in taken]
        for failure in await asyncio.gather(*wakes, return_exceptions=True):
            if failure is not None:
                raise failure
        return len(taken)

    async def _wake(self, wake: Wake, weight: float | None) -> None:
        try:
            with reaching_temporal():
                await self._client.start_workflow(
                    self._process.workflow,
                    wake.argument,
                    id=wake.workflow_id,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    start_signal="wake",
                    static_summary=wake.summary,
                    rpc_timeout=_RPC_TIMEOUT,
                    **start_options(self._settings, wake.workspace_id, self._process.process, weight=weight),
                )
        except RPCError as error:
            # One that cannot be woken, say for a run that takes no more signals, keeps nobody else waiting.
            log.warning("workflow not woken", workflow_id=wake.workflow_id, error=error.message)
