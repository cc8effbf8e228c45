"""Who may call an operation: every one names the permission that it needs, or that it is open to all.

Put these before anything that reads the body: a stranger's is never read, nor is that of a caller over a limit.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.auth import keys, service
from app.auth.permissions import Caller, Permission, Person
from app.auth.repository import Row
from app.auth.tokens import AccessTokens
from app.auth.usage import KeyUsage
from app.db import OwnRead, Sessions
from app.deps import SessionsDep, resources
from app.errors import Forbidden, NoSuchWorkspace, RateLimited, Unauthenticated
from app.plan_limits import service as plan_limits
from app.ratelimit import Preset, RateLimits, Usage, address_key
from app.security_log import security_event

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


def caller(permission: Permission, *, or_own: str | None = None) -> Any:
    """A dependency: the caller of an operation below ``/workspaces/{workspace_id}``, who has `permission` there.

    Where the path's parameter `or_own` names the person who calls, no permission is needed.
    Raises Unauthenticated, RateLimited, NotFound for a workspace that the caller has no part in, Forbidden,
    Unavailable.
    """

    async def check(request: Request, credentials: _Credentials, workspace_id: _WorkspaceId) -> Caller:
        found, _ = await _let_in(request, credentials, workspace_id, permission, or_own=or_own)
        return found

    return Security(check, scopes=[permission])


def reader(permission: Permission, own: Callable[[Mapping[str, str]], OwnRead]) -> Any:
    """`caller` for an operation that is polled: its value is the row that `own` finds in the workspace (all NULL where
    there is none), read in the round trip that says who calls.

    `own` gets the parameters of the path as they came. Raises what `caller` does; then the row was not looked at.
    """

    return Security(_Reader(permission, own), scopes=[permission])


class _Reader(HTTPBearer):
    """The scheme itself, and not what depends on it: each dependency is 3 % of a polled request (measured)."""

    def __init__(self, permission: Permission, own: Callable[[Mapping[str, str]], OwnRead]) -> None:
        super().__init__(scheme_name=_bearer.scheme_name, description=_bearer.model.description, auto_error=False)
        self._permission = permission
        self._own = own

    async def __call__(self, request: Request, workspace_id: _WorkspaceId) -> Row:  # type: ignore[override]
        credentials = await super().__call__(request)
        _, row = await _let_in(request, credentials, workspace_id, self._permission, own=self._own(request.path_params))
        return row


async def _let_in(
    request: Request,
    credentials: HTTPAuthorizationCredentials | None,
    workspace_id: str,
    permission: Permission,
    *,
    or_own: str | None = None,
    own: OwnRead | None = None,
) -> tuple[Caller, Row]:
    # Not by SessionsDep and AccessTokensDep, which are 7 % of what a polled request costs (measured).
    state = request.app.state
    sessions: Sessions = state.resources.sessions
    workspace = _uuid(workspace_id)
    found: Caller | None
    async with _strangers_limited(request):
        token = _token(credentials)
        if keys.is_key(token):
            found, row = await _key(request, sessions, token, own)
            who = _who(found)
        else:
            person, found, row = await service.authenticate_person(sessions, state.access_tokens, token, workspace, own)
            who = _who(person)
    await _limit(request, "api", who)
    if found is None or found.workspace_id != workspace:
        raise NoSuchWorkspace
    await _limit_by_plan(request, found.workspace_id)
    structlog.contextvars.bind_contextvars(workspace_id=str(workspace))
    if permission not in found.permissions and not (or_own and _is_own(request.path_params[or_own], found)):
        raise _refused(who, permission, f"This needs the permission {permission}, which the caller lacks.")
    return found, row


def any_caller(permission: Permission) -> Any:
    """A dependency for an operation of no workspace: whoever is signed in, or an API key with `permission`.

    Raises Unauthenticated, RateLimited, Forbidden, Unavailable.
    """

    async def check(
        request: Request, credentials: _Credentials, sessions: SessionsDep, tokens: AccessTokensDep
    ) -> Caller | Person:
        if credentials is None or not keys.is_key(credentials.credentials):
            return await _signed_in(request, credentials, sessions, tokens)
        async with _strangers_limited(request):
            found, _ = await _key(request, sessions, credentials.credentials)
        await _limit(request, "api", _who(found))
        await _limit_by_plan(request, found.workspace_id)
        structlog.contextvars.bind_contextvars(workspace_id=str(found.workspace_id))
        if permission not in found.permissions:
            raise _refused(_who(found), permission, f"The API key lacks the scope {permission}.")
        return found

    return Security(check, scopes=[permission])


def person() -> Any:
    """A dependency: whoever is signed in.

    Raises Unauthenticated, RateLimited, Forbidden for an API key, Unavailable.
    """

    async def check(
        request: Request, credentials: _Credentials, sessions: SessionsDep, tokens: AccessTokensDep
    ) -> Person:
        return await _signed_in(request, credentials, sessions, tokens)

    return Security(check, scopes=[SIGNED_IN])


def superadmin() -> Any:
    """A dependency: a signed-in member of the platform's staff.

    Raises Unauthenticated, RateLimited, Forbidden, Unavailable.
    """

    async def check(
        request: Request, credentials: _Credentials, sessions: SessionsDep, tokens: AccessTokensDep
    ) -> Person:
        found = await _signed_in(request, credentials, sessions, tokens)
        if not found.is_superadmin:
            raise _refused(_who(found), SUPERADMIN, "This is for the platform's staff.")
        return found

    return Security(check, scopes=[SUPERADMIN])


def anybody() -> Any:
    """A dependency of an operation that is open to all, under /auth: limited by the client's address.

    Raises RateLimited.
    """

    async def check(request: Request) -> None:
        await _limit(request, "auth", _where(request))

    return Depends(check)


async def limit_upload(request: Request, caller: Caller) -> None:
    """Count an upload of the caller's, before a byte of it is read. Raises RateLimited."""
    await _limit(request, "upload", _who(caller))


async def limit_refused(request: Request) -> None:
    """Count a request that was refused because nothing proves who sent it, by the client's address.

    Raises RateLimited.
    """
    await _limit(request, "api", _where(request))


async def _signed_in(
    request: Request, credentials: HTTPAuthorizationCredentials | None, sessions: Sessions, tokens: AccessTokens
) -> Person:
    async with _strangers_limited(request):
        token = _token(credentials)
        if keys.is_key(token):
            caller, _ = await _key(request, sessions, token)
        else:
            found, _, _ = await service.authenticate_person(sessions, tokens, token)
    if keys.is_key(token):
        await _limit(request, "api", _who(caller))
        raise _refused(_who(caller), SIGNED_IN, "An API key cannot do this: sign in.")
    await _limit(request, "api", _who(found))
    return found


@asynccontextmanager
async def _strangers_limited(request: Request) -> AsyncIterator[None]:
    """Whoever is refused as a stranger counts by address: guesses are requests too."""
    try:
        yield
    except Unauthenticated as error:
        if "authorization" in request.headers:
            security_event("authentication.failed", reason=error.message)
        await _limit(request, "api", _where(request))
        raise


async def _limit(request: Request, preset: Preset, who: str) -> None:
    limits: RateLimits = request.app.state.rate_limits
    usage = await limits.hit(preset, who)
    if usage is not None:
        _keep_to(request, usage, who)


async def _limit_by_plan(request: Request, workspace_id: UUID) -> None:
    """Count a request to a workspace that the caller has a part in. Raises RateLimited."""
    opened = await resources(request)
    most = await plan_limits.requests_per_minute(opened.sessions, opened.cache, workspace_id, opened.plan_limits)
    if most is not None:
        limits: RateLimits = request.app.state.rate_limits
        _keep_to(request, await limits.hit_plan(workspace_id, most), f"workspace:{workspace_id}")


def _keep_to(request: Request, usage: Usage, who: str) -> None:
    # The middleware puts them into the headers of the answer, whatever that will be.
    usages: list[Usage] = request.state.rate_limits
    usages.append(usage)
    if not usage.allowed:
        security_event("rate_limit.hit", preset=usage.preset, who=who)
        raise RateLimited(
            f"There were more than {usage.limit} requests in a minute: wait for {usage.reset_seconds} seconds.",
            retry_after=usage.reset_seconds,
        )


def _is_own(user_id: str, caller: Caller) -> bool:
    return caller.user_id is not None and _uuid(user_id) == caller.user_id


def _refused(who: str, permission: str, message: str) -> Forbidden:
    security_event("authorisation.refused", who=who, permission=permission)
    return Forbidden(message)


async def _key(request: Request, sessions: Sessions, secret: str, own: OwnRead | None = None) -> tuple[Caller, Row]:
    found, row = await service.authenticate_key(sessions, secret, own)
    usage: KeyUsage = request.app.state.key_usage
    usage.note(found)
    return found, row


def _who(caller: Caller | Person) -> str:
    if isinstance(caller, Caller) and caller.api_key_id is not None:
        return f"api_key:{caller.api_key_id}"
    return f"user:{caller.user_id}"


def _where(request: Request) -> str:
    return address_key(request.state.client_address)


def _token(credentials: HTTPAuthorizationCredentials | None) -> str:
    if credentials is None:
        raise Unauthenticated("Send an access token or an API key in the header Authorization (scheme Bearer).")
    return credentials.credentials


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
