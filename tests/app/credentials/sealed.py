"""Key-encryption keys for tests, credentials sealed with them, and what is stored of one."""

from base64 import b64encode
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text

from app.credentials import repository
from app.credentials.sealing import Sealer
from app.db import Session, Sessions
from app.settings import CredentialSettings


def key(number: int) -> SecretStr:
    return SecretStr(b64encode(bytes([number] * 32)).decode())


KEYS = CredentialSettings(keys={"first": key(1)})


async def store(
    session: Session, workspace_id: UUID, provider: str, secret: str, settings: CredentialSettings = KEYS
) -> None:
    """As PUT does, without the audit log."""
    sealed = Sealer.of(settings).seal(workspace_id, provider, secret)
    await repository.put(session, workspace_id, provider, sealed, secret[-4:])


async def stored(owner: Sessions, workspace_id: UUID, provider: str) -> dict[str, Any]:
    """The row."""
    query = text("SELECT * FROM provider_credentials WHERE workspace_id = :workspace_id AND provider = :provider")
    async with owner.unscoped() as session:
        row = await session.execute(query, {"workspace_id": workspace_id, "provider": provider})
        return dict(row.mappings().one())
