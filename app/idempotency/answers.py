"""A key that makes a request happen once, where it is unique, and the answer that is remembered under it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a key is unique. `route` is method and template: ``POST /workspaces/{workspace_id}/enrichment/jobs``."""

    workspace_id: UUID
    caller_id: UUID
    route: str


@dataclass(frozen=True, slots=True)
class Once:
    """The caller's Idempotency-Key, and what makes another request the same as this one."""

    scope: Scope
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Remembered:
    """A first answer: `data` is what its envelope held, `headers` those that belong to the resource (Location)."""

    status: int
    headers: Mapping[str, str]
    data: Any
