"""Asking a provider whether it takes a workspace's credential, for the workflow VerifyCredential."""

from uuid import UUID

from app.credentials import repository
from app.credentials.errors import CredentialUnreadable
from app.credentials.opening import Opener
from app.credentials.repository import Status, StatusReason
from app.credentials.use import note_rejection, reason_of
from app.db import Sessions
from app.providers.errors import KeyRefusal, SwitchedOff
from app.providers.ports import EnrichmentSource
from workflows.contracts.credentials import Verification, Verified


async def verify(sessions: Sessions, source: EnrichmentSource, opener: Opener, command: Verification) -> Verified:
    """Make one free call with the credential and keep the result.

    Raises a ProviderError where the provider cannot say, CredentialsNotConfigured, Unavailable.
    """
    workspace_id, verification_id = UUID(command.workspace_id), UUID(command.verification_id)
    async with sessions.for_workspace(workspace_id) as session:
        stored = await repository.under_verification(session, workspace_id, command.provider, verification_id)
    if stored is None:
        return Verified("superseded")
    status: Status
    reason: StatusReason | None
    try:
        await source.verify(opener.open(workspace_id, command.provider, stored.sealed))
    except SwitchedOff:
        raise
    except KeyRefusal as refusal:
        status, reason = "rejected", reason_of(refusal)
    except CredentialUnreadable:
        status, reason = "rejected", "unreadable"
    else:
        status, reason = "valid", None
    async with sessions.for_workspace(workspace_id) as session:
        before = await repository.conclude(session, workspace_id, command.provider, verification_id, status, reason)
        if before is None:
            return Verified("superseded")
        if reason is not None and before != "rejected":
            await note_rejection(session, workspace_id, command.provider, reason)
    return Verified(status)


async def give_up(sessions: Sessions, command: Verification) -> Verified:
    """End the check without a result; the status stays what it was. Raises Unavailable."""
    workspace_id = UUID(command.workspace_id)
    async with sessions.for_workspace(workspace_id) as session:
        await repository.give_up(session, workspace_id, command.provider, UUID(command.verification_id))
    return Verified("unavailable")
