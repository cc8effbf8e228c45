"""What a fresh local database needs before anybody can call the API: a workspace, a key, credits."""

from dataclasses import dataclass

from app.auth import service as auth
from app.auth.permissions import KEY_SCOPES
from app.credits import service as credit_ledger
from app.db import Sessions, create_engine
from app.settings import Settings, SettingsError
from app.workspaces import service as workspaces

WORKSPACE = "Local"


@dataclass(frozen=True, slots=True)
class Seeded:
    """`api_key` is the secret of a key that was made just now; None where there was one: it cannot be read again."""

    workspace_id: str
    api_key: str | None


async def seed(settings: Settings, *, new_key: bool = False) -> Seeded:
    """Make the local workspace with a key of all scopes and its credits, where they are not there yet. Idempotent.

    `new_key` makes a key in any case, for a caller that lost the first. The database must be migrated. Raises
    SettingsError without HOLDFAST_OWNER_DATABASE_URL, Unavailable when the database is away.
    """
    if settings.owner_database_url is None:
        raise SettingsError("HOLDFAST_OWNER_DATABASE_URL: Field required")
    engine = create_engine(settings.owner_database_url, settings.database, application="seed")
    try:
        async with Sessions(engine).unscoped() as session:
            workspace_id = await workspaces.find_workspace(session, WORKSPACE)
            if workspace_id is None:
                workspace_id = await workspaces.create_workspace(session, WORKSPACE)
            secret = None
            if new_key or not await auth.has_api_key(session, workspace_id):
                _, secret = await auth.create_api_key(session, workspace_id, WORKSPACE, KEY_SCOPES)
            await credit_ledger.grant(
                session,
                workspace_id,
                settings.credits.local_grant,
                key="local-grant",
                reason="Credits to try things out",
            )
    finally:
        await engine.dispose()
    return Seeded(str(workspace_id), secret)
