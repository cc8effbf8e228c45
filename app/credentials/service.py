"""The credentials of a workspace as people see them: stored and replaced, never read back."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from uuid import UUID

from app import polling
from app.audit_log import service as audit_log
from app.auth.permissions import Caller
from app.credentials import repository
from app.credentials.errors import CredentialNotTaken
from app.credentials.repository import Credential, Status
from app.credentials.sealing import Sealer
from app.db import Session, Sessions, new_id
from app.errors import NotFound
from app.idempotency import service as idempotency
from app.idempotency.answers import Once, Remembered
from app.outbox import service as outbox
from app.providers.ports import Offer
from workflows import ids

HINT_LENGTH = 4


async def list_credentials(sessions: Sessions, workspace_id: UUID, *, after: str, limit: int) -> list[Credential]:
    """By provider, those behind `after`."""
    async with sessions.for_workspace(workspace_id) as session:
        return await repository.page(session, workspace_id, after=after, limit=limit)


async def get_credential(sessions: Sessions, workspace_id: UUID, provider: str) -> Credential:
    """Raises NotFound."""
    async with sessions.for_workspace(workspace_id) as session:
        return _found(await repository.get(session, workspace_id, provider))


async def put_credential(
    sessions: Sessions, caller: Caller, offers: Mapping[str, Offer], sealer: Sealer, provider: str, secret: str
) -> Credential:
    """Store the secret, in place of the one before. Raises NotFound for an unknown provider, CredentialNotTaken."""
    offer = offers.get(provider)
    if offer is None:
        raise NotFound(f"There is no such provider; there are {', '.join(offers)}.")
    if not offer.capabilities.requires_credential:
        raise CredentialNotTaken(f"{provider} takes no credential.")
    sealed = sealer.seal(caller.workspace_id, provider, secret)
    async with sessions.for_workspace(caller.workspace_id) as session:
        before = await repository.get(session, caller.workspace_id, provider, lock=True)
        stored = await repository.put(session, caller.workspace_id, provider, sealed, secret[-HINT_LENGTH:])
        await audit_log.record(
            session,
            caller.workspace_id,
            caller,
            "credential.put",
            ("credential", provider),
            before=_recorded(before) if before else None,
            after=_recorded(stored),
        )
    return stored


async def delete_credential(sessions: Sessions, caller: Caller, provider: str) -> None:
    """Forget the secret. Raises NotFound."""
    async with sessions.for_workspace(caller.workspace_id) as session:
        before = _found(await repository.get(session, caller.workspace_id, provider, lock=True))
        await repository.delete(session, caller.workspace_id, provider)
        await audit_log.record(
            session,
            caller.workspace_id,
            caller,
            "credential.delete",
            ("credential", provider),
            before=_recorded(before),
        )


async def erase(session: Session, workspace_id: UUID) -> None:
    """Forget every secret of a workspace that was deleted."""
    for erased in await repository.erase(session, workspace_id):
        await audit_log.record(
            session, workspace_id, None, "credential.delete", ("credential", erased.provider), before=_recorded(erased)
        )


async def verify_credential(
    sessions: Sessions,
    caller: Caller,
    provider: str,
    answer: Callable[[Credential], Remembered],
    *,
    once: Once | None,
    wait_seconds: float,
) -> tuple[Remembered, bool]:
    """Have the provider asked whether it takes the credential, and wait for the result.

    `answer` says what the caller is told of the credential as it is then: with a result, or without one once
    `wait_seconds` are over. Also returned: whether that was the answer to an earlier request of `once`. While a check
    is under way no second one begins. Raises NotFound, IdempotencyInProgress, IdempotencyKeyReused.
    """
    verification_id = new_id()
    async with sessions.for_workspace(caller.workspace_id) as session:
        if first := await _first_answer(session, once):
            return first, True
        credential = _found(
            await repository.begin_verification(session, caller.workspace_id, provider, verification_id)
        )
        if credential.verification_id == verification_id:
            await _start_verification(session, caller, provider, verification_id)
    said = answer(await _wait(sessions, caller.workspace_id, credential, wait_seconds))
    if once is not None:
        async with sessions.for_workspace(caller.workspace_id) as session:
            if first := await _first_answer(session, once):
                return first, True
            await idempotency.remember(session, once, said)
    return said, False


async def offers_to(session: Session, workspace_id: UUID, offers: Mapping[str, Offer]) -> Mapping[str, Offer]:
    """What the installation's `offers` are to this workspace: for a provider that it has its own credential for, that
    is used and nothing else, at its own price, and while it is rejected the provider is not available."""
    statuses = await repository.statuses(session, workspace_id)
    return {name: _offer(offer, statuses.get(name)) for name, offer in offers.items()}


def _offer(offer: Offer, own: Status | None) -> Offer:
    if own is None or not offer.capabilities.requires_credential:
        return offer
    return replace(
        offer,
        available=offer.enabled and own != "rejected",
        credit_cost=offer.own_credential_cost,
        own_credential=True,
    )


async def _start_verification(session: Session, caller: Caller, provider: str, verification_id: UUID) -> None:
    await audit_log.record(session, caller.workspace_id, caller, "credential.verify", ("credential", provider))
    await outbox.start_workflow(
        session,
        caller.workspace_id,
        workflow="VerifyCredential",
        workflow_id=ids.credential_verification(str(verification_id)),
        argument={
            "workspace_id": str(caller.workspace_id),
            "provider": provider,
            "verification_id": str(verification_id),
        },
        summary=f"verify the credential for {provider}",
        process="credentials",
    )


async def _first_answer(session: Session, once: Once | None) -> Remembered | None:
    if once is None:
        return None
    return await idempotency.replay_or_begin(session, once)


async def _wait(sessions: Sessions, workspace_id: UUID, credential: Credential, seconds: float) -> Credential:
    """Look until the check that is under way is over, or for so many seconds."""
    return await polling.until(
        partial(get_credential, sessions, workspace_id, credential.provider),
        lambda found: found.verification_id != credential.verification_id,
        seconds=seconds,
    )


def _found(credential: Credential | None) -> Credential:
    if credential is None:
        raise NotFound("The workspace has no credential for this provider.")
    return credential


def _recorded(credential: Credential) -> Mapping[str, str | None]:
    return {"hint": credential.hint, "status": credential.status, "status_reason": credential.status_reason}
