"""What a caller may be allowed to do, and who the caller is."""

from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

# The scopes of an API key are permissions by the same names.
Permission = Literal["enrichment:read", "enrichment:write", "credits:read", "providers:read"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent the request: an API key, which belongs to one workspace and may do what `scopes` say."""

    api_key_id: UUID
    workspace_id: UUID
    scopes: frozenset[str]
