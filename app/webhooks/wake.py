"""Endpoints whose deliveries are due, for the waker."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from app.db import Session
from app.outbox.waker import Wake, WokenProcess
from app.webhooks import wake_repository as repository
from workflows import ids
from workflows.contracts.webhooks import EndpointRef


class DueEndpoints(WokenProcess):
    """`watched` are the endpoints that activities of this process look after: those hear of what is due at once."""

    workflow = "DeliverWebhooks"
    process = "webhook"

    def __init__(self, watched: Mapping[UUID, asyncio.Event]) -> None:
        self._watched = watched

    async def take_waiting(self, session: Session, *, apart: timedelta, limit: int) -> Sequence[Wake]:
        waiting = await repository.take_waiting(session, apart=apart, limit=limit)
        for endpoint_id in waiting.ids:
            if endpoint_id in self._watched:
                self._watched[endpoint_id].set()
        return [
            Wake(
                each.workspace_id,
                ids.webhook_endpoint(str(each.id)),
                EndpointRef(str(each.workspace_id), str(each.id)),
                f"webhook endpoint {str(each.id)[-8:]}",
            )
            for each in waiting.taken
        ]
