"""Who may call an operation: every one names the permission that it needs."""

from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import Path, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.auth import service
from app.auth.permissions import Caller, Permission
from app.db import Sessions
from app.deps import SessionsDep
from app.errors import Forbidden, NotFound, Unauthenticated

_bearer = HTTPBearer(
    scheme_name="ApiKey",
    bearerFormat="hf_live_…",
    description="An API key of the workspace. Its scopes say what it may do.",
    auto_error=False,
)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]

# A string, not a UUID: FastAPI would report a malformed one and still go on to read the body of a stranger.
_WorkspaceId = Annotated[
    str,
    Path(
        description="The workspace; the key must be one of its keys.",
        json_schema_extra={"format": "uuid"},
        examples=["019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"],
    ),
]


def caller(permission: Permission) -> Any:
    """A dependency: the caller of an operation below ``/workspaces/{workspace_id}``, who has `permission`.

    Put it before anything that reads the body. Raises Unauthenticated, NotFound for a workspace that is not the
    key's own, Forbidden, Unavailable.
    """

    async def check(credentials: _Credentials, sessions: SessionsDep, workspace_id: _WorkspaceId) -> Caller:
        found = await _authenticate(credentials, sessions)
        if _uuid(workspace_id) != found.workspace_id:
            raise NotFound("There is no such workspace, or the API key is not one of its keys.")
        return _permit(found, permission)

    return Security(check, scopes=[permission])


def any_caller(permission: Permission) -> Any:
    """A dependency: the caller of an operation of no workspace in particular, who has `permission`.

    Raises Unauthenticated, Forbidden, Unavailable.
    """

    async def check(credentials: _Credentials, sessions: SessionsDep) -> Caller:
        return _permit(await _authenticate(credentials, sessions), permission)

    return Security(check, scopes=[permission])


async def _authenticate(credentials: HTTPAuthorizationCredentials | None, sessions: Sessions) -> Caller:
    if credentials is None:
        raise Unauthenticated("Send an API key in the header Authorization (scheme Bearer).")
    found = await service.authenticate(sessions, credentials.credentials)
    structlog.contextvars.bind_contextvars(workspace_id=str(found.workspace_id))
    return found


def _permit(found: Caller, permission: Permission) -> Caller:
    if permission not in found.scopes:
        raise Forbidden(f"The API key lacks the scope {permission}.")
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
