"""The three roles that touch a ledger, each with a pool of its own."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from app.db import Sessions, create_engine
from app.settings import DatabaseSettings
from tests.servers import Database


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Sessions]:
    """Who sees every workspace, and moves time."""
    engine = create_engine(SecretStr(database.owner_url), DatabaseSettings(), application="test")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def sessions(database: Database) -> AsyncIterator[Sessions]:
    """The role of the API and of activities."""
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(pool_size=32), application="test")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def platform(database: Database) -> AsyncIterator[Sessions]:
    """The role of the sweeps."""
    engine = create_engine(SecretStr(database.platform_url), DatabaseSettings(), application="test")
    yield Sessions(engine)
    await engine.dispose()
