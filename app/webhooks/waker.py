"""The wakes of endpoints' workflows: the bridge from a delivery that is due to the run that makes it.

What is due stands in its row, and stays there until somebody has seen it: a wake that is lost is followed by another.
A run that is woken twice a second takes no more signals after an hour and a half; it goes on as another long before.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import structlog
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError

from app.db import Sessions
from app.errors import Unavailable
from app.settings import TemporalSettings
from app.temporal import reaching_temporal, start_options
from app.webhooks import wake_repository as repository
from app.webhooks.wake_repository import Endpoint
from workflows import ids
from workflows.contracts.webhooks import EndpointRef

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.1
# Of one endpoint, by all processes together.
_APART = timedelta(seconds=0.5)
_BATCH = 100
_RPC_TIMEOUT = timedelta(seconds=5)


class Waker:
    """Wakes until it is cancelled. Any number may run at once. `watched` are the endpoints that activities of this
    process look after: those hear of what is due at once."""

    def __init__(
        self,
        platform_sessions: Sessions,
        client: Client,
        settings: TemporalSettings,
        watched: Mapping[UUID, asyncio.Event],
    ) -> None:
        self._sessions = platform_sessions
        self._client = client
        self._settings = settings
        self._watched = watched

    async def run(self) -> None:
        while True:
            try:
                await self.wake_waiting()
            except Unavailable as error:
                log.warning("webhooks are not woken", error=error.message)
            await asyncio.sleep(_LOOK_SECONDS)

    async def wake_waiting(self) -> int:
        """Wake the workflows of endpoints with something due that nobody waits for; how many.

        Raises Unavailable without a database, or without Temporal: then they are woken again later.
        """
        async with self._sessions.unscoped() as session:
            waiting = await repository.take_waiting(session, apart=_APART, limit=_BATCH)
        for endpoint_id in waiting.ids:
            if endpoint_id in self._watched:
                self._watched[endpoint_id].set()
        for failure in await asyncio.gather(*map(self._wake, waiting.taken), return_exceptions=True):
            if failure is not None:
                raise failure
        return len(waiting.taken)

    async def _wake(self, endpoint: Endpoint) -> None:
        try:
            with reaching_temporal():
                await self._client.start_workflow(
                    "DeliverWebhooks",
                    EndpointRef(str(endpoint.workspace_id), str(endpoint.id)),
                    id=ids.webhook_endpoint(str(endpoint.id)),
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    start_signal="wake",
                    static_summary=f"webhook endpoint {str(endpoint.id)[-8:]}",
                    rpc_timeout=_RPC_TIMEOUT,
                    **start_options(self._settings, endpoint.workspace_id, "webhook"),
                )
        except RPCError as error:
            # One that cannot be woken, say for a run that takes no more signals, keeps nobody else waiting.
            log.warning("webhook endpoint not woken", endpoint_id=str(endpoint.id), error=error.message)
