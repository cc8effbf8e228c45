"""Fixtures of the webhooks' tests: the API and a workspace of its own; a stack that delivers, and who receives."""

from collections.abc import AsyncIterator

import pytest

from tests.api import new_tenant, owner_sessions, running_api
from tests.app.webhooks.receiver import Receiver, receiving
from tests.app.webhooks.scene import Scene, opened
from tests.app.webhooks.webhooks_api import SETTINGS, Webhooks
from tests.servers import Database


@pytest.fixture
async def webhooks(shared_database: Database) -> AsyncIterator[Webhooks]:
    tenant = await new_tenant(shared_database, credit=0)
    async with owner_sessions(shared_database) as owner, running_api(shared_database, **SETTINGS) as client:
        yield Webhooks(client, tenant, owner)


@pytest.fixture
async def scene(database: Database, temporal_server: str) -> AsyncIterator[Scene]:
    async with opened(database, temporal_server) as scene:
        yield scene


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver
