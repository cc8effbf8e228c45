"""The SQL of wrapping endpoints' secrets with another key-encryption key. Sessions are of the platform's role."""

from uuid import UUID

from sqlalchemy import text

from app.credentials.repository import WrappedKey
from app.db import Session
from app.webhooks.endpoints import bound_to

_TO_REWRAP = text("""
    SELECT workspace_id, id::text AS place, kind, endpoint_id, key_id, wrapped_key FROM webhook_secrets
    WHERE key_id <> :newest AND (workspace_id, id::text) > (:after_workspace_id, :after_place)
    ORDER BY workspace_id, id::text LIMIT :limit FOR UPDATE
""")
_REWRAP = text("""
    UPDATE webhook_secrets SET key_id = :key_id, wrapped_key = :wrapped_key
    WHERE workspace_id = :workspace_id AND id = CAST(:place AS uuid)
""")


async def to_rewrap(session: Session, newest: str, after: tuple[UUID, str], *, limit: int) -> list[WrappedKey]:
    """See app/credentials/rotation.WrappedKeys."""
    values = {"newest": newest, "after_workspace_id": after[0], "after_place": after[1], "limit": limit}
    return [
        WrappedKey(row.workspace_id, row.place, bound_to(row.kind, row.endpoint_id), row.key_id, row.wrapped_key)
        for row in await session.execute(_TO_REWRAP, values)
    ]


async def rewrap(session: Session, key: WrappedKey) -> None:
    """See app/credentials/rotation.WrappedKeys."""
    values = {
        "workspace_id": key.workspace_id,
        "place": key.place,
        "key_id": key.key_id,
        "wrapped_key": key.wrapped_key,
    }
    await session.execute(_REWRAP, values)
