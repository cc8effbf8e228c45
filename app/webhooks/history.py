"""What a workspace was told, what became of telling it, and telling it again."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from app.audit_log import service as audit_log
from app.auth.permissions import Caller
from app.db import Session, Sessions
from app.errors import NotFound
from app.idempotency import service as idempotency
from app.idempotency.answers import Once, Remembered
from app.webhooks import service
from app.webhooks import shown_repository as repository
from app.webhooks.errors import WebhookDisabled
from app.webhooks.management import TARGET, found
from app.webhooks.service import EventType
from app.webhooks.shown_repository import Delivery, DeliveryFilter, Event

# So many rows are locked at a time; to recover a hundred thousand takes seconds.
RECOVER_BATCH = 1000


async def list_deliveries(
    sessions: Sessions,
    workspace_id: UUID,
    webhook_id: UUID,
    wanted: DeliveryFilter,
    *,
    before: UUID | None,
    limit: int,
) -> list[Delivery]:
    """The newest first; `before` continues after the last one seen. Raises NotFound."""
    async with sessions.for_workspace(workspace_id) as session:
        await found(session, workspace_id, webhook_id)
        return await repository.deliveries(session, workspace_id, webhook_id, wanted, before=before, limit=limit)


async def get_delivery(sessions: Sessions, workspace_id: UUID, webhook_id: UUID, delivery_id: UUID) -> Delivery:
    """Raises NotFound."""
    async with sessions.for_workspace(workspace_id) as session:
        return await _delivery(session, workspace_id, webhook_id, delivery_id)


async def list_events(
    sessions: Sessions,
    workspace_id: UUID,
    *,
    type: EventType | None,
    created_after: datetime | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Event]:
    """In the order in which they were told; `after` continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.events(
            session, workspace_id, type=type, created_after=created_after, after=after, limit=limit
        )


async def send_test(
    sessions: Sessions, caller: Caller, webhook_id: UUID, answer: Callable[[Delivery], Remembered], *, once: Once | None
) -> tuple[Remembered, bool]:
    """Tell this webhook alone a ``webhook.test``; what `answer` says of its delivery, and whether it was said before.

    Raises NotFound, WebhookDisabled, IdempotencyInProgress, IdempotencyKeyReused.
    """
    workspace_id = caller.workspace_id
    async with sessions.for_workspace(workspace_id) as session:
        if once and (first := await idempotency.replay_or_begin(session, once)):
            return first, True
        await found(session, workspace_id, webhook_id)
        event_id = await service.publish_test(session, workspace_id, webhook_id)
        delivery = await repository.delivery_of(session, workspace_id, webhook_id, event_id)
        if delivery is None:
            raise _disabled()
        await _record(session, caller, "test", webhook_id, {"delivery_id": str(delivery.id)})
        return await _say(session, once, answer(delivery)), False


async def redeliver(
    sessions: Sessions,
    caller: Caller,
    webhook_id: UUID,
    delivery_id: UUID,
    answer: Callable[[Delivery], Remembered],
    *,
    once: Once | None,
) -> tuple[Remembered, bool]:
    """Send the event of a delivery again; what `answer` says of the delivery, and whether it was said before.

    Raises NotFound, WebhookDisabled, IdempotencyInProgress, IdempotencyKeyReused.
    """
    workspace_id = caller.workspace_id
    async with sessions.for_workspace(workspace_id) as session:
        if once and (first := await idempotency.replay_or_begin(session, once)):
            return first, True
        await _delivery(session, workspace_id, webhook_id, delivery_id)
        if not await service.redeliver(session, workspace_id, webhook_id, delivery_id):
            raise _disabled()
        await _record(session, caller, "redeliver", webhook_id, {"delivery_id": str(delivery_id)})
        delivery = await _delivery(session, workspace_id, webhook_id, delivery_id)
        return await _say(session, once, answer(delivery)), False


async def recover(
    sessions: Sessions,
    caller: Caller,
    webhook_id: UUID,
    since: datetime,
    answer: Callable[[int], Remembered],
    *,
    once: Once | None,
) -> tuple[Remembered, bool]:
    """Redeliver what failed of the events since then, some a transaction; what `answer` says of how many, and whether
    it was said before. What a request that broke off recovered is not counted by the next.

    Raises NotFound, WebhookDisabled, IdempotencyInProgress, IdempotencyKeyReused.
    """
    recovered, after = 0, UUID(int=0)
    while True:
        async with sessions.for_workspace(caller.workspace_id) as session:
            if once and (first := await idempotency.replay_or_begin(session, once)):
                return first, True
            batch = await _recover_batch(session, caller, webhook_id, since, after)
            recovered += len(batch)
            if len(batch) < RECOVER_BATCH:
                return await _say(session, once, answer(recovered)), False
            after = batch[-1]


async def _recover_batch(
    session: Session, caller: Caller, webhook_id: UUID, since: datetime, after: UUID
) -> list[UUID]:
    workspace_id = caller.workspace_id
    if not (await found(session, workspace_id, webhook_id)).enabled:
        raise _disabled()
    batch = await service.recover(session, workspace_id, webhook_id, since=since, after=after, limit=RECOVER_BATCH)
    await _record(session, caller, "recover", webhook_id, {"since": since.isoformat(), "deliveries": len(batch)})
    return batch


async def _delivery(session: Session, workspace_id: UUID, webhook_id: UUID, delivery_id: UUID) -> Delivery:
    delivery = await repository.delivery(session, workspace_id, webhook_id, delivery_id)
    if delivery is None:
        raise NotFound("There is no such delivery.")
    return delivery


async def _record(session: Session, caller: Caller, action: str, webhook_id: UUID, after: dict[str, object]) -> None:
    target = (TARGET, str(webhook_id))
    await audit_log.record(session, caller.workspace_id, caller, f"webhook.{action}", target, after=after)


async def _say(session: Session, once: Once | None, said: Remembered) -> Remembered:
    if once:
        await idempotency.remember(session, once, said)
    return said


def _disabled() -> WebhookDisabled:
    return WebhookDisabled("The webhook is disabled, and nothing is sent to it: enable it first.")
