"""Wrapping every data key with the newest key-encryption key. The secrets themselves are not touched."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

import structlog

from app.credentials import repository
from app.credentials.errors import CredentialsNotConfigured, CredentialUnreadable
from app.credentials.opening import Opener
from app.credentials.repository import WrappedKey
from app.credentials.sealing import Sealer
from app.db import Session, Sessions
from app.settings import CredentialSettings

log = structlog.get_logger(__name__)

_BATCH = 100
_BEFORE_ALL = (UUID(int=0), "")


@dataclass(frozen=True, slots=True)
class Rotated:
    """How many data keys the newest key wraps now that it did not before, and how many cannot be unwrapped: their key
    is not in the settings, or they are damaged."""

    rewrapped: int
    left: int


class WrappedKeys(Protocol):
    """Data keys of one kind, as they are stored."""

    def to_rewrap(
        self, session: Session, newest: str, after: tuple[UUID, str], *, limit: int
    ) -> Awaitable[Sequence[WrappedKey]]:
        """Lock some that another key than `newest` wraps, behind the workspace and place `after`, in their order."""

    def rewrap(self, session: Session, key: WrappedKey) -> Awaitable[None]:
        """Store what wraps it now."""


async def rotate(
    platform_sessions: Sessions, settings: CredentialSettings, stored: WrappedKeys = repository, *, batch: int = _BATCH
) -> Rotated:
    """Wrap anew what another key wraps, a transaction a batch: stopped at any point, the next run does the rest.

    Raises CredentialsNotConfigured without any key, Unavailable.
    """
    sealer, opener = Sealer.of(settings), Opener.of(settings)
    rewrapped = left = 0
    after = _BEFORE_ALL
    while True:
        async with platform_sessions.unscoped() as session:
            keys = await stored.to_rewrap(session, sealer.key_id, after, limit=batch)
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
                await stored.rewrap(session, replace(key, key_id=sealer.key_id, wrapped_key=wrapped_key))
                rewrapped += 1
        if len(keys) < batch:
            return Rotated(rewrapped, left)
        after = (keys[-1].workspace_id, keys[-1].place)
