"""Wrapping every credential's data key with the newest key-encryption key. The secrets themselves are not touched."""

from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from app.credentials import repository
from app.credentials.errors import CredentialsNotConfigured, CredentialUnreadable
from app.credentials.opening import Opener
from app.credentials.sealing import Sealer
from app.db import Sessions
from app.settings import CredentialSettings

log = structlog.get_logger(__name__)

_BATCH = 100
_BEFORE_ALL = (UUID(int=0), "")


@dataclass(frozen=True, slots=True)
class Rotated:
    """How many credentials the newest key wraps now that it did not before, and how many cannot be unwrapped: their key
    is not in the settings, or they are damaged."""

    rewrapped: int
    left: int


async def rotate(platform_sessions: Sessions, settings: CredentialSettings, *, batch: int = _BATCH) -> Rotated:
    """Wrap anew what another key wraps, a transaction a batch: stopped at any point, the next run does the rest.

    Raises CredentialsNotConfigured without any key, Unavailable.
    """
    sealer, opener = Sealer.of(settings), Opener.of(settings)
    rewrapped = left = 0
    after = _BEFORE_ALL
    while True:
        async with platform_sessions.unscoped() as session:
            keys = await repository.to_rewrap(session, sealer.key_id, after, limit=batch)
            for key in keys:
                try:
                    data_key = opener.unwrap(key.workspace_id, key.provider, key.key_id, key.wrapped_key)
                except (CredentialsNotConfigured, CredentialUnreadable) as error:
                    left += 1
                    log.warning(
                        "credential not rotated",
                        workspace_id=str(key.workspace_id),
                        provider=key.provider,
                        key_id=key.key_id,
                        reason=error.code,
                    )
                    continue
                wrapped_key = sealer.wrap(key.workspace_id, key.provider, data_key)
                await repository.rewrap(session, replace(key, key_id=sealer.key_id, wrapped_key=wrapped_key))
                rewrapped += 1
        if len(keys) < batch:
            return Rotated(rewrapped, left)
        after = (keys[-1].workspace_id, keys[-1].provider)
