"""Telling the owners of a workspace that Holdfast disabled one of its endpoints."""

from collections.abc import Mapping
from urllib.parse import urlsplit
from uuid import UUID

from app.db import Sessions
from app.mail.letters import compose
from app.mail.ports import Mail, Mailer
from app.webhooks import endpoint_repository as repository
from app.webhooks.endpoint_repository import DisabledEndpoint
from app.webhooks.schedule import FAILING_DAYS
from workflows.contracts.webhooks import EndpointRef, Told

_WHY: Mapping[str, str] = {
    "gone": "it answered “410 Gone”, which says that it wants no more",
    "failing": f"it has taken nothing for {FAILING_DAYS} days, however often it was tried",
}


async def tell_owners(sessions: Sessions, mailer: Mailer, endpoint: EndpointRef, *, public_url: str) -> Told:
    """Write to each owner, unless that was done; how many were written to. A second run after one that broke off writes
    to some of them again.

    Raises MailRefused, MailDeferred, Unavailable.
    """
    workspace_id, endpoint_id = UUID(endpoint.workspace_id), UUID(endpoint.endpoint_id)
    async with sessions.for_workspace(workspace_id) as session:
        disabled = await repository.to_tell(session, workspace_id, endpoint_id)
        owners = await repository.owners(session)
    if disabled is None:
        return Told(0)
    for owner in owners:
        await mailer.send(disabled_mail(owner, disabled, public_url))
    async with sessions.for_workspace(workspace_id) as session:
        await repository.owners_told(session, workspace_id, endpoint_id)
    return Told(len(owners))


def disabled_mail(owner: str, disabled: DisabledEndpoint, public_url: str) -> Mail:
    """Names the host alone: the rest of an address may be a password."""
    host = urlsplit(disabled.url).hostname or "unknown"
    return compose(
        to=owner,
        subject="A webhook endpoint of your workspace was disabled",
        paragraphs=[
            "Hello,",
            f"nothing is delivered any more to the webhook endpoint at {host}: {_WHY[disabled.reason]}.",
            "What it missed is kept for 30 days: enable it again when it works, and recover that.",
        ],
        action="How that is done",
        url=f"{public_url.rstrip('/')}/docs",
    )
