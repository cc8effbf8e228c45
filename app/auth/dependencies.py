"""Who may call an operation: every one names the permission that it needs, or that it is open to all.

Put these before anything that reads the body: a stranger's is never read.
"""

from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.auth import keys, service
from app.auth.permissions import Caller, Permission, Person
from app.auth.tokens import AccessTokens
from app.db import Sessions
from app.deps import SessionsDep
from app.errors import Forbidden, NotFound, Unauthenticated

_bearer = HTTPBearer(
    scheme_name="Bearer",
    description="An access token from signing in, or an API key of the workspace (`hf_live_…`).",
    auto_error=False,
)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
# A string, not a UUID: FastAPI would report a malformed one and still go on to read the body of a stranger.
_WorkspaceId = Annotated[
    str,
    Path(
        description="The workspace; the caller must be one of its members or its keys.",
        json_schema_extra={"format": "uuid"},
        examples=["019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"],
    ),
]

# The scopes that operations name which need no permission in a workspace.
SIGNED_IN = "signed-in"
SUPERADMIN = "superadmin"


async def _tokens(request: Request) -> AccessTokens:
    tokens: AccessTokens = request.app.state.access_tokens
    return tokens


AccessTokensDep = Annotated[AccessTokens, Depends(_tokens)]


def caller(permission: Permission) -> Any:
    """A dependency: the caller of an operation below ``/workspaces/{workspace_id}``, who has `permission` there.

    Raises Unauthenticated, NotFound for a workspace that the caller has no part in, Forbidden, Unavailable.
    """

    async def check(
        credentials: _Credentials, sessions: SessionsDep, tokens: AccessTokensDep, workspace_id: _WorkspaceId
    ) -> Caller:
        token = _token(credentials)
        workspace = _uuid(workspace_id)
        found: Caller | None
        if keys.is_key(token):
            found = await service.authenticate_key(sessions, token)
        else:
            _, found = await service.authenticate_person(sessions, tokens, token, workspace)
        if found is None or found.workspace_id != workspace:
            raise NotFound("There is no such workspace, or the caller has no part in it.")
        structlog.contextvars.bind_contextvars(workspace_id=str(workspace))
        if permission not in found.permissions:
            raise Forbidden(f"This needs the permission {permission}, which the caller lacks.")
        return found

    return Security(check, scopes=[permission])


def any_caller(permission: Permission) -> Any:
    """A dependency for an operation of no workspace: whoever is signed in, or an API key with `permission`.

    Raises Unauthenticated, Forbidden, Unavailable.
    """

    async def check(credentials: _Credentials, sessions: SessionsDep, tokens: AccessTokensDep) -> Caller | Person:
        token = _token(credentials)
        if not keys.is_key(token):
            return await _person(sessions, tokens, token)
        found = await service.authenticate_key(sessions, token)
        structlog.contextvars.bind_contextvars(workspace_id=str(found.workspace_id))
        if permission not in found.permissions:
            raise Forbidden(f"The API key lacks the scope {permission}.")
        return found

    return Security(check, scopes=[permission])


def person() -> Any:
    """A dependency: whoever is signed in. Raises Unauthenticated, Forbidden for an API key, Unavailable."""

    async def check(credentials: _Credentials, sessions: SessionsDep, tokens: AccessTokensDep) -> Person:
        return await _signed_in(credentials, sessions, tokens)

    return Security(check, scopes=[SIGNED_IN])


def superadmin() -> Any:
    """A dependency: a signed-in member of the platform's staff. Raises Unauthenticated, Forbidden, Unavailable."""

    async def check(credentials: _Credentials, sessions: SessionsDep, tokens: AccessTokensDep) -> Person:
        found = await _signed_in(credentials, sessions, tokens)
        if not found.is_superadmin:
            raise Forbidden("This is for the platform's staff.")
        return found

    return Security(check, scopes=[SUPERADMIN])


async def _signed_in(
    credentials: HTTPAuthorizationCredentials | None, sessions: Sessions, tokens: AccessTokens
) -> Person:
    token = _token(credentials)
    if keys.is_key(token):
        raise Forbidden("An API key cannot do this: sign in.")
    return await _person(sessions, tokens, token)


async def _person(sessions: Sessions, tokens: AccessTokens, token: str) -> Person:
    found, _ = await service.authenticate_person(sessions, tokens, token)
    return found


def _token(credentials: HTTPAuthorizationCredentials | None) -> str:
    if credentials is None:
        raise Unauthenticated("Send an access token or an API key in the header Authorization (scheme Bearer).")
    return credentials.credentials


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
