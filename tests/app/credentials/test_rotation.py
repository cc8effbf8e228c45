"""Rotation wraps every data key anew, reads no secret, and can be stopped at any point."""

import sys
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.cli import rotator
from app.credentials.opening import Opener
from app.credentials.rotation import Rotated, rotate
from app.credentials.sealing import Sealed
from app.db import Sessions, create_engine
from app.settings import CredentialSettings, DatabaseSettings
from tests.api import owner_sessions
from tests.app.credentials.sealed import KEYS, key, store, stored
from tests.builders import make_workspace
from tests.programs import run_here, run_program
from tests.servers import Database

BOTH = CredentialSettings(keys={"first": key(1), "second": key(2)})
NEW = CredentialSettings(keys={"second": key(2)})
ROTATE = (sys.executable, "-m", "app.cli.main", "credentials", "rotate")


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Sessions]:
    async with owner_sessions(database) as sessions:
        yield sessions


@pytest.fixture
async def platform(database: Database) -> AsyncIterator[Sessions]:
    engine = create_engine(SecretStr(database.platform_url), DatabaseSettings(), application="test")
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture
async def workspaces(owner: Sessions) -> list[UUID]:
    """Five of them with two credentials each."""
    made = [await make_workspace(owner, credit=0) for _ in range(5)]
    async with owner.unscoped() as session:
        for workspace_id in made:
            for provider in ("hunter", "apollo"):
                await store(session, workspace_id, provider, f"secret of {workspace_id} at {provider}")
    return made


async def key_ids(owner: Sessions) -> list[str]:
    async with owner.unscoped() as session:
        return sorted((await session.execute(text("SELECT key_id FROM provider_credentials"))).scalars())


async def opened(owner: Sessions, workspace_id: UUID, settings: CredentialSettings) -> str:
    row = await stored(owner, workspace_id, "hunter")
    sealed = Sealed(row["key_id"], row["wrapped_key"], row["ciphertext"])
    return Opener.of(settings).open(workspace_id, "hunter", sealed).get_secret_value()


async def test_all_open_with_the_new_key_alone_afterwards(owner: Sessions, platform: Sessions, workspaces: list[UUID]):
    before = [await stored(owner, workspace_id, "hunter") for workspace_id in workspaces]
    assert await rotate(platform, BOTH, batch=3) == Rotated(rewrapped=10, left=0)
    assert await key_ids(owner) == ["second"] * 10
    for workspace_id, row in zip(workspaces, before, strict=True):
        assert await opened(owner, workspace_id, NEW) == f"secret of {workspace_id} at hunter"
        after = await stored(owner, workspace_id, "hunter")
        unchanged: dict[str, Any] = {name: row[name] for name in row if name not in ("key_id", "wrapped_key")}
        assert unchanged == {name: after[name] for name in unchanged}


async def test_a_second_run_has_nothing_to_do(owner: Sessions, platform: Sessions, workspaces: list[UUID]):
    await rotate(platform, BOTH)
    before = await stored(owner, workspaces[0], "hunter")
    assert await rotate(platform, BOTH) == Rotated(rewrapped=0, left=0)
    assert await stored(owner, workspaces[0], "hunter") == before


async def test_a_run_that_was_stopped_is_gone_on_with(owner: Sessions, platform: Sessions, workspaces: list[UUID]):
    # As a run leaves it that ends after its first batch.
    async with owner.unscoped() as session:
        await session.execute(
            text("UPDATE provider_credentials SET key_id = 'gone' WHERE workspace_id = :id"), {"id": workspaces[2]}
        )
    assert await rotate(platform, BOTH, batch=3) == Rotated(rewrapped=8, left=2)
    assert await key_ids(owner) == ["gone"] * 2 + ["second"] * 8
    async with owner.unscoped() as session:
        await session.execute(text("UPDATE provider_credentials SET key_id = 'first' WHERE key_id = 'gone'"))
    assert await rotate(platform, BOTH, batch=3) == Rotated(rewrapped=2, left=0)
    assert await opened(owner, workspaces[2], NEW) == f"secret of {workspaces[2]} at hunter"


async def test_the_platform_cannot_read_what_the_data_key_opens(platform: Sessions, workspaces: list[UUID]):
    assert len(workspaces) == 5
    with pytest.raises(ProgrammingError) as refused:
        async with platform.unscoped() as session:
            await session.execute(text("SELECT ciphertext FROM provider_credentials"))
    assert isinstance(refused.value.orig, InsufficientPrivilege)


def variables(database: Database, keys: str) -> dict[str, str]:
    return {
        "HOLDFAST_DATABASE_URL": database.app_url,
        "HOLDFAST_PLATFORM_DATABASE_URL": database.platform_url,
        "HOLDFAST_CREDENTIALS__KEYS": keys,
    }


def as_json(settings: CredentialSettings) -> str:
    pairs = (f'"{key_id}": "{value.get_secret_value()}"' for key_id, value in settings.keys.items())
    return "{" + ", ".join(pairs) + "}"


async def test_the_command_rotates_and_says_how_many(database: Database, owner: Sessions, workspaces: list[UUID]):
    ended = run_program(ROTATE, environment=variables(database, as_json(BOTH)))
    assert (ended.returncode, ended.stdout.split()[0]) == (0, "10"), ended.stderr
    assert await opened(owner, workspaces[0], NEW) == f"secret of {workspaces[0]} at hunter"


async def test_the_command_fails_where_a_key_is_missing(database: Database, owner: Sessions, workspaces: list[UUID]):
    ended = run_program(ROTATE, environment=variables(database, as_json(NEW)))
    assert ended.returncode == 1
    assert "10 cannot be unwrapped" in ended.stdout
    assert await opened(owner, workspaces[0], KEYS) == f"secret of {workspaces[0]} at hunter"


def test_the_command_names_the_setting_that_is_no_key(database: Database):
    ended = run_here(rotator.main, environment=variables(database, '{"first": "planted-secret"}'))
    assert ended.returncode == 1
    assert "HOLDFAST_CREDENTIALS__KEYS__FIRST" in ended.stderr
    assert "planted-secret" not in ended.stdout + ended.stderr
