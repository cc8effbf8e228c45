"""Accounts from before there were lots get one each, of what they have."""

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from app.db import new_id
from migrations.upgrade import downgrade, upgrade
from tests.servers import Database

BEFORE = "statuses_in_place"


def lots(connection: Connection) -> set[tuple[str, int, int, object]]:
    found = connection.execute(
        text("""
            SELECT w.name, l.granted, l.remaining, l.expires_at
            FROM credit_lots AS l JOIN workspaces AS w ON w.id = l.workspace_id
        """)
    )
    return {(row.name, row.granted, row.remaining, row.expires_at) for row in found}


def test_credits_from_before_become_lots_that_do_not_expire_also_the_second_time(empty_database: Database) -> None:
    def up(revision: str) -> None:
        urls = {"app_url": empty_database.app_url, "platform_url": empty_database.platform_url}
        upgrade(empty_database.owner_url, **urls, revision=revision)

    engine = create_engine(empty_database.owner_url, poolclass=NullPool)
    up(BEFORE)
    with engine.begin() as connection:
        for name, balance, held in (("rich", 1000, 300), ("spent", 0, 0), ("indebted", -5, 0)):
            row = {"id": new_id(), "name": name, "balance": balance, "held": held}
            connection.execute(text("INSERT INTO workspaces (id, name) VALUES (:id, :name)"), row)
            connection.execute(
                text("INSERT INTO credit_accounts (workspace_id, balance, held) VALUES (:id, :balance, :held)"), row
            )
    for _ in range(2):
        up("tenants")
        with engine.begin() as connection:
            assert lots(connection) == {("rich", 1000, 1000, None)}
        downgrade(empty_database.owner_url, BEFORE)
