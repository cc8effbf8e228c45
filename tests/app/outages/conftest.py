"""Fixtures of the outage tests: a database, as each of the roles sees it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from app.db import Sessions, create_engine
from app.settings import DatabaseSettings
from tests.servers import Database


@asynccontextmanager
async def _sessions(url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(url), DatabaseSettings(), application="tests")
    try:
        yield Sessions(engine)
    finally:
        await engine.dispose()


@pytest.fixture
async def sessions(database: Database) -> AsyncIterator[Sessions]:
    """Of the role of the API and the activities."""
    async with _sessions(database.app_url) as opened:
        yield opened


@pytest.fixture
async def platform(database: Database) -> AsyncIterator[Sessions]:
    """Of the role of the relay, the sweeps and the circuits."""
    async with _sessions(database.platform_url) as opened:
        yield opened


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Sessions]:
    async with _sessions(database.owner_url) as opened:
        yield opened
