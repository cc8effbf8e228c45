"""API keys over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from app.api_keys import service
from app.api_keys.errors import TooManyApiKeys
from app.api_keys.schemas import ApiKeyIn, ApiKeyOut, NewApiKeyOut
from app.auth.dependencies import caller
from app.auth.permissions import Caller
from app.deps import BODY_ERRORS, SessionsDep, json_body, json_request
from app.envelope import Envelope, ListEnvelope, envelope, errors, list_envelope
from app.pagination import Before, Limit, newest_first

router = APIRouter(prefix="/workspaces/{workspace_id}/api-keys", tags=["API keys"])

ApiKeysWriter = Annotated[Caller, caller("api_keys:write")]


@router.get("", operation_id="list_api_keys", summary="List the API keys of a workspace")
async def list_api_keys(
    caller: Annotated[Caller, caller("api_keys:read")],
    sessions: SessionsDep,
    limit: Limit = 50,
    before: Before = None,
) -> ListEnvelope[ApiKeyOut]:
    """Those that were not revoked, newest first, without their secrets."""
    keys = await service.list_keys(sessions, caller.workspace_id, before=before, limit=limit + 1)
    page = newest_first(keys, limit, lambda key: key.id)
    return list_envelope(page.map(ApiKeyOut.of))


@router.post(
    "",
    operation_id="create_api_key",
    summary="Create an API key",
    status_code=201,
    responses=errors(TooManyApiKeys, *BODY_ERRORS),
    openapi_extra=json_request(ApiKeyIn),
)
async def create_api_key(
    caller: ApiKeysWriter, body: Annotated[ApiKeyIn, json_body(ApiKeyIn)], sessions: SessionsDep
) -> Envelope[NewApiKeyOut]:
    """The answer has the secret, once. The key can do no more than who made it, and ends with their membership."""
    return envelope(
        NewApiKeyOut.of_new(await service.create_key(sessions, caller, body.name, body.scopes, body.expires_at))
    )


@router.delete("/{api_key_id}", operation_id="revoke_api_key", summary="Revoke an API key", status_code=204)
async def revoke_api_key(caller: ApiKeysWriter, api_key_id: UUID, sessions: SessionsDep) -> None:
    """From now on it opens nothing."""
    await service.revoke_key(sessions, caller, api_key_id)
