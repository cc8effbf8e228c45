"""The relay: turns committed commands into Temporal calls. The one bridge from a row to a workflow.

Commands are claimed by lease in a short transaction, sent outside any, and deleted afterwards. A relay that dies loses
its leases; what it had sent already is sent again, and refused by Temporal as a duplicate.
"""

import asyncio
from datetime import timedelta
from math import inf

import structlog
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from app.db import Session, Sessions, follow, new_id
from app.errors import Unavailable
from app.outbox import repository
from app.outbox.repository import Command
from app.plan_limits.limits import LimitsByPlan
from app.plan_limits.service import fairness_weights
from app.settings import OutboxSettings, TemporalSettings
from app.temporal import reaching_temporal, start_options

log = structlog.get_logger(__name__)

_BATCH = 100
_RPC_TIMEOUT = timedelta(seconds=5)
_LONGEST_DELAY_SECONDS = 60.0


class Relay:
    """Delivers commands until it is cancelled. Any number of relays may run at once. `limits` are those of the plans
    that are sold here."""

    def __init__(
        self,
        sessions: Sessions,
        engine: AsyncEngine,
        client: Client,
        settings: OutboxSettings,
        temporal: TemporalSettings,
        metrics: CollectorRegistry,
        limits: LimitsByPlan | None = None,
    ) -> None:
        self._sessions = sessions
        self._engine = engine
        self._client = client
        self._settings = settings
        self._temporal = temporal
        self._limits = limits
        self._id = new_id()
        self._due = asyncio.Event()
        self._oldest = Gauge(
            "holdfast_outbox_oldest_seconds", "Age of the oldest command that is not delivered.", registry=metrics
        )
        self._dead = Gauge(
            "holdfast_outbox_dead", "Commands that were given up and wait for a person.", registry=metrics
        )

    async def run(self) -> None:
        """Deliver what is due when the outbox says so, and look every `poll_seconds` in any case.

        The backlog is measured no more often than that: after each command it would cost as much as the command, while
        somebody waits for its workflow.
        """
        loop = asyncio.get_running_loop()
        measured_at = -inf
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            while True:
                self._due.clear()
                try:
                    if await self.deliver_due() == _BATCH:
                        continue
                    if loop.time() - measured_at >= self._settings.poll_seconds:
                        await self._measure()
                        measured_at = loop.time()
                except Unavailable as error:
                    log.warning("outbox unavailable", error=error.message)
                try:
                    async with asyncio.timeout(self._settings.poll_seconds):
                        await self._due.wait()
                except TimeoutError:
                    continue

    async def deliver_due(self) -> int:
        """Claim and send one batch; return how many commands were claimed."""
        async with self._sessions.unscoped() as session:
            commands = await repository.claim(
                session, self._id, lease_seconds=self._settings.lease_seconds, limit=_BATCH
            )
            starting = (command.workspace_id for command in commands if command.kind == "start")
            weights = await fairness_weights(session, starting, self._limits)
        errors = await asyncio.gather(
            *(self._deliver(command, weights.get(command.workspace_id)) for command in commands)
        )
        if commands:
            async with self._sessions.unscoped() as session:
                sent = [command.id for command, error in zip(commands, errors, strict=True) if error is None]
                has_next = await repository.delete(session, self._id, sent)
                for command, error in zip(commands, errors, strict=True):
                    if error is not None:
                        await self._postpone(session, command, error)
            if has_next:
                # It could not be claimed before this one was gone.
                self._due.set()
        return len(commands)

    async def _deliver(self, command: Command, weight: float | None = None) -> str | None:
        """Send one command; None when Temporal has it, else what it said."""
        try:
            with reaching_temporal():
                if command.kind == "start":
                    await self._start(command, weight)
                else:
                    handle = self._client.get_workflow_handle(command.workflow_id)
                    await handle.signal(command.body["signal"], rpc_timeout=_RPC_TIMEOUT)
        except WorkflowAlreadyStartedError:
            return None
        except Unavailable as error:
            return error.message
        except RPCError as error:
            # A wake for a workflow that is over, or was lost and is the reconciler's: nobody is left to look.
            if command.kind == "signal" and error.status == RPCStatusCode.NOT_FOUND:
                return None
            return f"{error.status.name}: {error.message}"
        return None

    async def _start(self, command: Command, weight: float | None) -> None:
        # Commands that were written before there was a choice do not say.
        again = command.body.get("again", False)
        await self._client.start_workflow(
            command.body["workflow"],
            command.body["argument"],
            id=command.workflow_id,
            id_reuse_policy=(
                WorkflowIDReusePolicy.ALLOW_DUPLICATE if again else WorkflowIDReusePolicy.REJECT_DUPLICATE
            ),
            static_summary=command.body["summary"],
            rpc_timeout=_RPC_TIMEOUT,
            **start_options(self._temporal, command.workspace_id, command.body["process"], weight=weight),
        )

    async def _postpone(self, session: Session, command: Command, error: str) -> None:
        delay = min(0.5 * 2 ** min(command.attempts, 10), _LONGEST_DELAY_SECONDS)
        log.warning("command refused", workflow_id=command.workflow_id, kind=command.kind, error=error, delay=delay)
        is_dead = await repository.postpone(
            session,
            self._id,
            command.id,
            error=error,
            delay_seconds=delay,
            dead_after_seconds=self._settings.dead_after_seconds,
        )
        if is_dead:
            log.error("command given up", workflow_id=command.workflow_id, kind=command.kind, error=error)

    async def _measure(self) -> None:
        async with self._sessions.unscoped() as session:
            age, dead = await repository.backlog(session)
        self._oldest.set(age)
        self._dead.set(dead)

    async def _listen(self) -> None:
        async def heard(_: str) -> None:
            self._due.set()

        await follow(self._engine, "holdfast_outbox", heard, retry_seconds=self._settings.poll_seconds)
