"""What a caller may be allowed to do, and who the caller is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

Role = Literal["viewer", "member", "admin", "owner"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From the least to the most; each may do all that those before it may."""

Permission = Literal[
    "workspace:read",
    "workspace:write",
    "workspace:delete",
    "members:read",
    "members:write",
    "invitations:read",
    "invitations:write",
    "api_keys:read",
    "api_keys:write",
    "credentials:read",
    "credentials:write",
    "audit_log:read",
    "credits:read",
    "providers:read",
    "enrichment:read",
    "enrichment:write",
    "erasures:read",
    "erasures:write",
    "runs:read",
    "dead_letters:read",
    "dead_letters:write",
    "webhooks:read",
    "webhooks:write",
    "billing:read",
    "billing:write",
]

_VIEWER: frozenset[Permission] = frozenset(
    (
        "workspace:read",
        "members:read",
        "credits:read",
        "providers:read",
        "enrichment:read",
        "runs:read",
        "dead_letters:read",
    )
)
_MEMBER: frozenset[Permission] = _VIEWER | {"enrichment:write", "dead_letters:write"}
_ADMIN: frozenset[Permission] = _MEMBER | {
    "workspace:write",
    "members:write",
    "invitations:read",
    "invitations:write",
    "api_keys:read",
    "api_keys:write",
    "credentials:read",
    "credentials:write",
    "audit_log:read",
    "erasures:read",
    "erasures:write",
    "webhooks:read",
    "webhooks:write",
    "billing:read",
}
ROLE_PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "member": _MEMBER,
    "admin": _ADMIN,
    # Who pays decides what is bought.
    "owner": _ADMIN | {"workspace:delete", "billing:write"},
}

# A key does the work of a workspace; who may get in, and with what, is for people.
KeyScope = Literal[
    "workspace:read",
    "members:read",
    "audit_log:read",
    "credits:read",
    "providers:read",
    "enrichment:read",
    "enrichment:write",
    "erasures:read",
    "erasures:write",
    "runs:read",
    "dead_letters:read",
    "dead_letters:write",
    "webhooks:read",
    "webhooks:write",
    "billing:read",
    "billing:write",
]
KEY_SCOPES: frozenset[Permission] = frozenset(get_args(KeyScope))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request to a workspace, a person or an API key, and the `permissions` it has there."""

    workspace_id: UUID
    permissions: frozenset[str]
    role: Role
    user_id: UUID | None = None
    api_key_id: UUID | None = None

    @property
    def id(self) -> UUID:
        """Of the key, or of the person."""
        found = self.api_key_id or self.user_id
        if found is None:
            raise ValueError("a caller is a key or a person")
        return found


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in, in no workspace in particular. `session_id` names the sign-in."""

    user_id: UUID
    session_id: UUID
    is_superadmin: bool
