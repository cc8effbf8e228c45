"""Fixtures for every test: the real servers, once per test process, and a database per test."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.servers import Database, PostgresServer, running_postgres, running_temporal

# The same examples every time: whether a change passes is no matter of luck. `make fuzz` has others.
settings.register_profile("same", derandomize=True, database=None)
if "FUZZ_EXAMPLES" not in os.environ:
    settings.load_profile("same")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL 18."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def temporal_server() -> Iterator[str]:
    """The ``host:port`` of a real Temporal server that can skip time."""
    with running_temporal() as address:
        yield address


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[Database]:
    """A database that no migration has seen."""
    with postgres_server.empty_database() as database:
        yield database


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """A migrated database of this test's own."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer) -> Iterator[Database]:
    """A migrated database for all tests that each work in a workspace of their own."""
    with postgres_server.migrated_database() as database:
        yield database
