"""Provider credentials over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.credentials import service
from app.credentials.errors import CredentialNotTaken, CredentialsNotConfigured
from app.credentials.repository import Credential
from app.credentials.schemas import CredentialCursor, CredentialIn, CredentialOut
from app.credentials.sealing import Sealer
from app.deps import BODY_ERRORS, OffersDep, ProviderName, SessionsDep, SettingsDep, json_body, json_request
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.idempotency import headers as idempotency
from app.idempotency.answers import Remembered
from app.idempotency.errors import IdempotencyInProgress, IdempotencyKeyReused
from app.idempotency.headers import IdempotencyKey
from app.idempotency.service import once
from app.pagination import CursorText, Limit, page_of

router = APIRouter(prefix="/workspaces/{workspace_id}/credentials", tags=["Credentials"])

CredentialsReader = Annotated[Caller, caller("credentials:read")]
CredentialsWriter = Annotated[Caller, caller("credentials:write")]

WaitSeconds = Annotated[float, Query(ge=0, le=30, description="How long to wait for the result.")]


@router.get("", operation_id="list_credentials", summary="List the provider credentials of a workspace")
async def list_credentials(
    caller: CredentialsReader, sessions: SessionsDep, limit: Limit = 50, cursor: CursorText = None
) -> ListEnvelope[CredentialOut]:
    """By provider, masked: a secret that was stored is never shown again."""
    after = CredentialCursor.decode(cursor).after if cursor is not None else ""
    credentials = await service.list_credentials(sessions, caller.workspace_id, after=after, limit=limit + 1)
    page = page_of(credentials, limit, lambda credential: CredentialCursor(after=credential.provider))
    return list_envelope(page.map(CredentialOut.of))


@router.get("/{provider}", operation_id="get_credential", summary="Get a provider credential")
async def get_credential(
    caller: CredentialsReader, provider: ProviderName, sessions: SessionsDep
) -> Envelope[CredentialOut]:
    """Masked."""
    return envelope(CredentialOut.of(await service.get_credential(sessions, caller.workspace_id, provider)))


@router.put(
    "/{provider}",
    operation_id="put_credential",
    summary="Store a provider credential",
    responses=errors(CredentialNotTaken, CredentialsNotConfigured, *BODY_ERRORS),
    openapi_extra=json_request(CredentialIn),
)
async def put_credential(
    caller: CredentialsWriter,
    provider: ProviderName,
    body: Annotated[CredentialIn, json_body(CredentialIn)],
    sessions: SessionsDep,
    offers: OffersDep,
    settings: SettingsDep,
) -> Envelope[CredentialOut]:
    """New jobs of the workspace call the provider with it. It replaces the one before, and is yet unverified."""
    sealer = Sealer.of(settings.credentials)
    secret = body.secret.api_key.get_secret_value()
    return envelope(CredentialOut.of(await service.put_credential(sessions, caller, offers, sealer, provider, secret)))


@router.delete("/{provider}", operation_id="delete_credential", summary="Delete a provider credential", status_code=204)
async def delete_credential(caller: CredentialsWriter, provider: ProviderName, sessions: SessionsDep) -> Response:
    """The secret is gone at once. Jobs that were started with it ask the provider nothing more."""
    await service.delete_credential(sessions, caller, provider)
    return Response(status_code=204)


@router.post(
    "/{provider}/verify",
    operation_id="verify_credential",
    summary="Verify a provider credential",
    response_model=Envelope[CredentialOut],
    responses={
        202: {"model": Envelope[CredentialOut], "description": "The check goes on; `Location` shows its result."},
        **errors(CredentialsNotConfigured, IdempotencyInProgress, IdempotencyKeyReused),
    },
)
async def verify_credential(
    request: Request,
    caller: CredentialsWriter,
    provider: ProviderName,
    sessions: SessionsDep,
    settings: SettingsDep,
    wait_seconds: WaitSeconds = 10,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Ask the provider, by one free call, whether it takes the credential, and wait for what it says.

    200 once the check is over: `status` says what came of it. A check that is under way is joined.
    """
    Sealer.of(settings.credentials)  # a worker of this installation could not open it either
    route = f"POST {router.prefix}/{{provider}}/verify"
    first = once(caller.workspace_id, caller.id, route, idempotency_key, {"provider": provider})

    def answer(credential: Credential) -> Remembered:
        shown = CredentialOut.of(credential).model_dump(mode="json")
        if credential.verification_id is None:
            return Remembered(200, {}, shown)
        place = request.url_for("get_credential", workspace_id=str(caller.workspace_id), provider=provider)
        return Remembered(202, {"Location": place.path}, shown)

    said, replayed = await service.verify_credential(
        sessions, caller, provider, answer, once=first, wait_seconds=wait_seconds
    )
    return idempotency.answer(said, replayed=replayed)
