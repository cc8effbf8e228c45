"""Where an endpoint's deliveries go, with what is secret of it opened: inside activities and nowhere else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import orjson

from app.credentials.opening import Opener
from app.db import Session
from app.webhooks import endpoint_repository as repository
from app.webhooks.endpoints import bound_to
from app.webhooks.signing import key_of


@dataclass(frozen=True, slots=True)
class Target:
    """`keys` sign each delivery, all of them."""

    url: str
    keys: Sequence[bytes] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


async def open_target(session: Session, opener: Opener, workspace_id: UUID, endpoint_id: UUID) -> Target | None:
    """None where there is no such endpoint. Raises CredentialsNotConfigured without a key that something of it was
    sealed with, CredentialUnreadable."""
    endpoint = await repository.read(session, workspace_id, endpoint_id)
    if endpoint is None:
        return None
    label = bound_to("signing", endpoint_id)
    keys = [key_of(opener.open(workspace_id, label, sealed).get_secret_value()) for sealed in endpoint.signing]
    headers: dict[str, str] = {}
    if endpoint.headers is not None:
        packed = opener.open(workspace_id, bound_to("headers", endpoint_id), endpoint.headers)
        headers = orjson.loads(packed.get_secret_value())
    return Target(endpoint.url, keys, headers)
