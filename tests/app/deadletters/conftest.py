"""Fixtures of the dead letters' tests."""

from collections.abc import Iterator

import pytest

from tests.servers import Database, PostgresServer


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer) -> Iterator[Database]:
    """A migrated database for tests that each work in a workspace of their own."""
    with postgres_server.migrated_database() as database:
        yield database
