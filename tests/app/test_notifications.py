"""Listening to the database."""

import asyncio

from pydantic import SecretStr
from sqlalchemy import text

from app.db import Sessions, create_engine, notifications
from app.settings import DatabaseSettings
from tests.api import new_tenant
from tests.servers import Database


async def test_a_connection_that_listened_is_not_used_for_anything_else(database: Database):
    tenant = await new_tenant(database)
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(pool_size=1), application="tests")
    listening = asyncio.Event()

    async def listen() -> None:
        async for _ in notifications(engine, "anything"):
            listening.set()

    task = asyncio.create_task(listen())
    await listening.wait()
    task.cancel()
    await asyncio.wait([task])

    # By one that commits each statement by itself the setting of the workspace would be over with the first.
    async with Sessions(engine).for_workspace(tenant.workspace_id) as session:
        assert (await session.execute(text("SELECT id FROM workspaces"))).scalars().all() == [tenant.workspace_id]
    await engine.dispose()
