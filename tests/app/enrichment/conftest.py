"""Fixtures of the enrichment tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from app.db import Sessions, create_engine
from app.settings import DatabaseSettings
from tests.app.enrichment.lookups import Lookups
from tests.builders import make_workspace, violations
from tests.servers import Database


@pytest.fixture
async def lookups(shared_database: Database) -> AsyncIterator[Lookups]:
    async with _lookups(shared_database) as opened:
        yield opened


@pytest.fixture
async def other_lookups(shared_database: Database) -> AsyncIterator[Lookups]:
    async with _lookups(shared_database) as opened:
        yield opened


@asynccontextmanager
async def _lookups(database: Database) -> AsyncIterator[Lookups]:
    """Of a workspace of its own, whose books add up at the end."""
    owner = create_engine(SecretStr(database.owner_url), DatabaseSettings(), application="test")
    workspace_id = await make_workspace(Sessions(owner))
    await owner.dispose()
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(), application="test")
    sessions = Sessions(engine)
    yield Lookups(sessions, workspace_id)
    assert await violations(sessions, workspace_id) == []
    await engine.dispose()
