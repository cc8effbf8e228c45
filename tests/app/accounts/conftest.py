from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.app.accounts.people_api import People, people_at
from tests.servers import Database


@pytest.fixture
async def people(database: Database, tmp_path: Path) -> AsyncIterator[People]:
    """An API that writes its mails into files."""
    async with people_at(database, tmp_path) as people:
        yield people
