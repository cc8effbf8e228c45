"""Webhooks as people and keys manage them: made, changed, rotated, deleted. Every change is on record, no secret is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.audit_log import service as audit_log
from app.auth.permissions import Caller
from app.credentials.sealing import Sealer
from app.db import Session, Sessions
from app.errors import Detail, InvalidRequest, NotFound
from app.settings import Settings
from app.webhooks import endpoints
from app.webhooks import shown_repository as repository
from app.webhooks.errors import TooManySecrets, TooManyWebhooks
from app.webhooks.service import EventType
from app.webhooks.shown_repository import Webhook
from app.webhooks.urls import check_url

MAX_WEBHOOKS = 20
# A caller that has no answer rotates again: what it had before must go on signing.
MAX_SECRETS = 5

TARGET = "webhook"

_NO_SUCH_WEBHOOK = "There is no such webhook."


@dataclass(frozen=True, slots=True)
class WithSecret:
    """A webhook and the secret that it is signed with from now on, which can never be read again."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be another; None stays as it is."""

    url: str | None = None
    event_types: Sequence[EventType] | None = None
    description: str | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    enabled: bool | None = None


async def list_webhooks(sessions: Sessions, workspace_id: UUID, *, before: UUID | None, limit: int) -> list[Webhook]:
    """The newest first; `before` continues after the last one seen."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.webhooks(session, workspace_id, before=before, limit=limit)


async def get_webhook(sessions: Sessions, workspace_id: UUID, webhook_id: UUID) -> Webhook:
    """Raises NotFound."""
    async with sessions.for_workspace(workspace_id) as session:
        return await found(session, workspace_id, webhook_id)


async def create_webhook(
    sessions: Sessions,
    caller: Caller,
    settings: Settings,
    *,
    url: str,
    event_types: Sequence[EventType],
    description: str,
    headers: Mapping[str, str],
) -> WithSecret:
    """From now on the workspace's events of these types are sent there.

    Raises InvalidRequest for an address that nothing is sent to, TooManyWebhooks, CredentialsNotConfigured.
    """
    _check(url, settings)
    sealer = Sealer.of(settings.credentials)
    workspace_id = caller.workspace_id
    async with sessions.for_workspace(workspace_id) as session:
        if await repository.count(session, workspace_id) >= MAX_WEBHOOKS:
            raise TooManyWebhooks(f"There are {MAX_WEBHOOKS} webhooks: delete one that is not used.")
        webhook_id, secret = await endpoints.add_endpoint(
            session,
            sealer,
            workspace_id,
            url=url,
            event_types=event_types,
            description=description,
            headers=headers,
            created_by=caller.id,
        )
        webhook = await found(session, workspace_id, webhook_id)
        await _record(session, caller, "create", webhook_id, after=_told(webhook))
    return WithSecret(webhook, secret)


async def update_webhook(
    sessions: Sessions, caller: Caller, settings: Settings, webhook_id: UUID, changes: Changes
) -> Webhook:
    """One that is enabled again counts as one that has never failed.

    Raises NotFound, InvalidRequest for an address that nothing is sent to, CredentialsNotConfigured for headers.
    """
    if changes.url is not None:
        _check(changes.url, settings)
    workspace_id = caller.workspace_id
    async with sessions.for_workspace(workspace_id) as session:
        before = await found(session, workspace_id, webhook_id, lock=True)
        await _change(session, workspace_id, before, changes)
        if changes.headers is not None:
            sealer = Sealer.of(settings.credentials)
            await endpoints.set_headers(session, sealer, workspace_id, webhook_id, changes.headers)
        if changes.enabled is not None:
            switch = endpoints.enable_endpoint if changes.enabled else endpoints.disable_endpoint
            await switch(session, workspace_id, webhook_id)
        after = await found(session, workspace_id, webhook_id)
        was, now = _told(before), _told(after)
        changed = [part for part in now if was[part] != now[part]]
        # Their values may have changed where their names have not.
        parts = [*changed, *(["header_names"] if changes.headers is not None and "header_names" not in changed else [])]
        if parts:
            await _record(
                session,
                caller,
                "update",
                webhook_id,
                before={part: was[part] for part in parts},
                after={part: now[part] for part in parts},
            )
    return after


async def delete_webhook(sessions: Sessions, caller: Caller, webhook_id: UUID) -> None:
    """With its secrets and its deliveries: nothing more is sent there. Raises NotFound."""
    async with sessions.for_workspace(caller.workspace_id) as session:
        before = await found(session, caller.workspace_id, webhook_id, lock=True)
        await repository.delete(session, caller.workspace_id, webhook_id)
        await _record(session, caller, "delete", webhook_id, before=_told(before))


async def rotate_secret(sessions: Sessions, caller: Caller, settings: Settings, webhook_id: UUID) -> WithSecret:
    """A new secret; those before it sign beside it until they end, the last of them for a day.

    Raises NotFound, TooManySecrets, CredentialsNotConfigured.
    """
    workspace_id = caller.workspace_id
    async with sessions.for_workspace(workspace_id) as session:
        await found(session, workspace_id, webhook_id, lock=True)
        sealer = Sealer.of(settings.credentials)
        if await repository.count_signing(session, workspace_id, webhook_id) >= MAX_SECRETS:
            raise TooManySecrets(f"{MAX_SECRETS} secrets sign already: rotate again when one of them has ended.")
        secret = await endpoints.rotate_secret(session, sealer, workspace_id, webhook_id)
        if secret is None:
            raise NotFound(_NO_SUCH_WEBHOOK)
        await _record(session, caller, "rotate_secret", webhook_id)
        return WithSecret(await found(session, workspace_id, webhook_id), secret)


async def erase(session: Session, workspace_id: UUID) -> None:
    """Delete every webhook of a workspace that was deleted."""
    for webhook in await repository.webhooks(session, workspace_id, before=None, limit=MAX_WEBHOOKS):
        await repository.delete(session, workspace_id, webhook.id)
        target = (TARGET, str(webhook.id))
        await audit_log.record(session, workspace_id, None, "webhook.delete", target, before=_told(webhook))


async def found(session: Session, workspace_id: UUID, webhook_id: UUID, *, lock: bool = False) -> Webhook:
    """The webhook; `lock` keeps it as it is to the end of the transaction. Raises NotFound."""
    webhook = await repository.webhook(session, workspace_id, webhook_id, lock=lock)
    if webhook is None:
        raise NotFound(_NO_SUCH_WEBHOOK)
    return webhook


async def _change(session: Session, workspace_id: UUID, before: Webhook, changes: Changes) -> None:
    url = before.url if changes.url is None else changes.url
    event_types = before.event_types if changes.event_types is None else changes.event_types
    description = before.description if changes.description is None else changes.description
    if (url, list(event_types), description) != (before.url, list(before.event_types), before.description):
        await repository.change(
            session, workspace_id, before.id, url=url, event_types=event_types, description=description
        )


def _check(url: str, settings: Settings) -> None:
    try:
        check_url(url, settings.webhooks)
    except ValueError as error:
        raise InvalidRequest("The request body is not valid.", details=[Detail("url", str(error))]) from None


async def _record(
    session: Session,
    caller: Caller,
    action: str,
    webhook_id: UUID,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    await audit_log.record(
        session,
        caller.workspace_id,
        caller,
        f"webhook.{action}",
        (TARGET, str(webhook_id)),
        before=before,
        after=after,
    )


def _told(webhook: Webhook) -> dict[str, Any]:
    return {
        "url": webhook.url,
        "event_types": list(webhook.event_types),
        "description": webhook.description,
        "header_names": list(webhook.header_names),
        "enabled": webhook.enabled,
    }
