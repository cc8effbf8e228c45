"""A remembered answer, and where the key of it is unique."""

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
class Remembered:
    """A first answer: `data` is what its envelope held, `headers` those that belong to the resource (Location)."""

    status: int
    headers: Mapping[str, str]
    data: Any
