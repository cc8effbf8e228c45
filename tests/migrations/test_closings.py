"""Workspaces that were closed before closings erased credentials have none any more."""

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from app.db import new_id
from migrations.upgrade import upgrade
from tests.servers import Database


def test_credentials_of_closed_workspaces_are_erased_and_those_of_the_others_kept(empty_database: Database) -> None:
    urls = {"app_url": empty_database.app_url, "platform_url": empty_database.platform_url}
    upgrade(empty_database.owner_url, **urls, revision="run_ids")
    engine = create_engine(empty_database.owner_url, poolclass=NullPool)
    with engine.begin() as connection:
        for name, deleted, closed in (("open", None, None), ("closing", "now", None), ("closed", "now", "now")):
            row = {"id": new_id(), "name": name, "deleted": deleted, "closed": closed}
            connection.execute(
                text("INSERT INTO workspaces (id, name, deleted_at, closed_at) VALUES (:id, :name, :deleted, :closed)"),
                row,
            )
            connection.execute(
                text("""
                    INSERT INTO provider_credentials (workspace_id, provider, key_id, wrapped_key, ciphertext, hint)
                    VALUES (:id, 'hunter', '1', 'wrapped', 'sealed', 'abcd')
                """),
                row,
            )

    upgrade(empty_database.owner_url, **urls, revision="closings")

    with engine.begin() as connection:
        left = text("SELECT name FROM workspaces JOIN provider_credentials ON workspace_id = id ORDER BY name")
        assert connection.execute(left).scalars().all() == ["closing", "open"]
