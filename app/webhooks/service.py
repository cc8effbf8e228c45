"""Events: what a workspace is told of. Each is stored in the transaction of the fact that it tells, once."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, TypeAlias
from uuid import UUID, uuid5

from app.db import Session, Sessions, in_batches, new_id
from app.providers.ports import JsonValue
from app.webhooks import delivery_repository as deliveries
from app.webhooks import endpoint_repository as endpoints
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
    """Store an event of the workspace in the caller's transaction, with a delivery for each endpoint that wants its
    type. Once that commits, the relay finds them due.

    `key` names the fact among those of its type and workspace: told again, it is still one event, and the first stays.
    `data` is what subscribers get: ids, counts and codes, nothing secret and nothing personal. An endpoint gets events
    of the same ``job_id`` in the order in which they were told.
    """
    event_id = new_id() if key is None else _id_of(workspace_id, type, key)
    job_id = data.get("job_id")
    subject = None if job_id is None else f"job:{job_id}"
    await repository.add(session, workspace_id, event_id, type, data, subject=subject)


async def is_wanted(session: Session, workspace_id: UUID, type: EventType) -> bool:
    """Whether an endpoint of the workspace would be told of this type: for events that nobody has to keep, and that
    cost something to make. A process that makes many asks once for all of them."""
    return await repository.is_wanted(session, workspace_id, type)


async def publish_test(session: Session, workspace_id: UUID, endpoint_id: UUID) -> UUID:
    """Tell this endpoint alone a ``webhook.test``, whatever types it wants and however it fares; the event's id. One
    that is disabled gets nothing."""
    await endpoints.lift_pause(session, workspace_id, endpoint_id)
    event_id = new_id()
    data: dict[str, JsonValue] = {"webhook_id": str(endpoint_id)}
    await repository.add(session, workspace_id, event_id, "webhook.test", data, subject=None, endpoint_id=endpoint_id)
    return event_id


async def redeliver(session: Session, workspace_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> bool:
    """Have a delivery attempted at once, and as often as a new one, with the same ``webhook-id``; one that is pending
    is attempted at once and no more often. False where the endpoint has none of this id, or is disabled."""
    await endpoints.lift_pause(session, workspace_id, endpoint_id)
    return await deliveries.redeliver(session, workspace_id, endpoint_id, delivery_id)


async def recover(
    session: Session, workspace_id: UUID, endpoint_id: UUID, *, since: datetime, after: UUID, limit: int
) -> list[UUID]:
    """Redeliver what failed of the events that were told since then, in their order: up to `limit` deliveries behind
    the id `after`; which, in order. None where the endpoint is disabled."""
    await endpoints.lift_pause(session, workspace_id, endpoint_id)
    return await deliveries.recover(session, workspace_id, endpoint_id, since=since, after=after, limit=limit)


async def is_published(session: Session, workspace_id: UUID, type: EventType, key: str) -> bool:
    """Whether the fact of this key was told, in the last `KEPT`."""
    return await repository.has(session, workspace_id, _id_of(workspace_id, type, key))


async def rewrite(
    session: Session,
    workspace_id: UUID,
    like: list[str],
    change: Callable[[JsonValue], JsonValue],
    *,
    after: UUID,
    since: datetime | None,
    limit: int,
) -> tuple[int, UUID | None]:
    """Put `change` of it in place of the data of events: of those, among the `limit` behind the id `after`, whose text
    in lower case one of the patterns of LIKE fits; with `since` of those stored since then.

    How many became others, and behind which id to go on, None at the end.
    """
    last, suspects = await repository.suspects(session, workspace_id, like, after=after, since=since, limit=limit)
    changed = 0
    for event_id in suspects:
        data = await repository.lock_data(session, workspace_id, event_id)
        left = change(data)
        if left != data:
            await repository.change_data(session, workspace_id, event_id, left)
            changed += 1
    return changed, last


async def erase_words(session: Session, workspace_id: UUID, like: list[str]) -> int:
    """Forget what the workspace's receivers answered, and what its endpoints are described as, where the text in lower
    case is one that a pattern of LIKE fits; how many of both. It is a month of deliveries at the most."""
    return await repository.erase_words(session, workspace_id, like)


async def sweep(platform_sessions: Sessions) -> int:
    """Delete events older than `KEPT`, a batch a transaction; how many. Raises Unavailable between batches."""
    delete = partial(repository.sweep, keep=KEPT, limit=_BATCH)
    return await in_batches(platform_sessions, delete, batch=_BATCH, max_batches=_MAX_BATCHES)


def _id_of(workspace_id: UUID, type: EventType, key: str) -> UUID:
    return uuid5(_NAMES, f"{workspace_id}:{type}:{key}")
