"""A workspace's own credential in the hands of an activity: opened for calls, and rejected by what comes of them."""

from dataclasses import dataclass
from uuid import UUID

import structlog
from pydantic import SecretStr

from app.audit_log import service as audit_log
from app.credentials import repository
from app.credentials.errors import CredentialUnreadable
from app.credentials.opening import Opener
from app.credentials.repository import StatusReason
from app.db import Session
from app.providers.errors import CredentialRejected, KeyRefusal, PaymentRequired

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OwnCredential:
    """An opened credential. A verdict about it is one about its `generation`, and about no later secret."""

    api_key: SecretStr
    generation: int


async def open_for_calls(session: Session, opener: Opener, workspace_id: UUID, provider: str) -> OwnCredential:
    """Raises CredentialRejected where there is none or it is rejected: then no call is to be made.

    Raises CredentialsNotConfigured without the key that it was sealed with.
    """
    stored = await repository.in_use(session, workspace_id, provider)
    if stored is None:
        raise CredentialRejected(provider, "the workspace's credential was deleted")
    if stored.status == "rejected":
        raise CredentialRejected(provider, "the workspace's credential is rejected")
    try:
        return OwnCredential(opener.open(workspace_id, provider, stored.sealed), stored.generation)
    except CredentialUnreadable:
        log.error("credential unreadable", provider=provider, workspace_id=str(workspace_id))  # noqa: TRY400  # no secret in a traceback
        await _reject(session, workspace_id, provider, stored.generation, "unreadable")
        raise CredentialRejected(provider, "the workspace's credential does not decrypt") from None


async def reject(
    session: Session, workspace_id: UUID, provider: str, credential: OwnCredential, refusal: KeyRefusal
) -> None:
    """Mark the credential rejected, unless it was replaced since: nothing more is asked with it."""
    await _reject(session, workspace_id, provider, credential.generation, reason_of(refusal))


def reason_of(refusal: KeyRefusal) -> StatusReason:
    return "payment_required" if isinstance(refusal, PaymentRequired) else "credential_rejected"


async def note_rejection(session: Session, workspace_id: UUID, provider: str, reason: StatusReason) -> None:
    """Say that the credential was marked rejected in this transaction."""
    log.warning("credential rejected", provider=provider, workspace_id=str(workspace_id), reason=reason)
    after = {"status": "rejected", "status_reason": reason}
    await audit_log.record(session, workspace_id, None, "credential.reject", ("credential", provider), after=after)


async def _reject(session: Session, workspace_id: UUID, provider: str, generation: int, reason: StatusReason) -> None:
    if await repository.reject(session, workspace_id, provider, generation, reason):
        await note_rejection(session, workspace_id, provider, reason)
