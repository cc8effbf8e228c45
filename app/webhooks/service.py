"""Events: what a workspace is told of. Each is stored in the transaction of the fact that it tells, once."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Literal, TypeAlias
from uuid import UUID, uuid5

from app.db import Session, Sessions, in_batches, new_id
from app.providers.ports import JsonValue
from app.webhooks import repository

EventType: TypeAlias = Literal[
    "enrichment.job.completed",
    "enrichment.job.failed",
    "enrichment.job.cancelled",
    "enrichment.job.waiting",
    "enrichment.job.resumed",
    "enrichment.records.completed",
    "credits.low",
    "credits.difference",
    "provider.outage.opened",
    "provider.outage.closed",
    "billing.subscription.updated",
    "billing.invoice.paid",
    "billing.invoice.failed",
    "replication.pipeline.failed",
    "replication.pipeline.recovered",
    "webhook.test",
]

KEPT = timedelta(days=30)

_NAMES = UUID("7d0f5c1e-3b1a-5e0b-9a57-6f2d0c4b8e11")
_BATCH = 1000
_MAX_BATCHES = 1000


async def publish(
    session: Session, workspace_id: UUID, type: EventType, data: Mapping[str, JsonValue], *, key: str | None = None
) -> None:
    """Store an event of the workspace in the caller's transaction.

    `key` names the fact among those of its type and workspace: told again, it is still one event, and the first stays.
    `data` is what subscribers get: ids, counts and codes, nothing secret and nothing personal.
    """
    event_id = new_id() if key is None else _id_of(workspace_id, type, key)
    await repository.add(session, workspace_id=workspace_id, id=event_id, type=type, data=dict(data))


async def is_published(session: Session, workspace_id: UUID, type: EventType, key: str) -> bool:
    """Whether the fact of this key was told, in the last `KEPT`."""
    return await repository.has(session, workspace_id, _id_of(workspace_id, type, key))


async def sweep(platform_sessions: Sessions) -> int:
    """Delete events older than `KEPT`, a batch a transaction; how many. Raises Unavailable between batches."""
    delete = partial(repository.sweep, keep=KEPT, limit=_BATCH)
    return await in_batches(platform_sessions, delete, batch=_BATCH, max_batches=_MAX_BATCHES)


def _id_of(workspace_id: UUID, type: EventType, key: str) -> UUID:
    return uuid5(_NAMES, f"{workspace_id}:{type}:{key}")
