"""API keys: what is stored of one, and which open the door."""

import hashlib
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.auth.keys import is_secret, new_secret
from app.auth.service import authenticate_key
from app.db import Sessions, create_engine
from app.errors import Unauthenticated
from app.settings import DatabaseSettings
from tests.api import Tenant, new_tenant, owner_sessions
from tests.servers import Database, PostgresServer


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """One for all tests here: each makes what it needs, and none minds the others'."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture
async def sessions(database: Database):
    engine = create_engine(SecretStr(database.app_url), DatabaseSettings(pool_size=2), application="tests")
    yield Sessions(engine)
    await engine.dispose()


async def change(database: Database, tenant: Tenant, assignment: str) -> None:
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        await session.execute(text(f"UPDATE api_keys SET {assignment} WHERE id = :id"), {"id": tenant.api_key_id})


async def test_a_key_names_its_caller(database: Database, sessions: Sessions):
    tenant = await new_tenant(database, scopes=("credits:read", "enrichment:write"))
    caller, _ = await authenticate_key(sessions, tenant.api_key)
    assert caller.workspace_id == tenant.workspace_id
    assert caller.api_key_id == tenant.api_key_id
    assert caller.permissions == {"credits:read", "enrichment:write"}


async def test_only_the_hash_of_a_secret_is_stored(database: Database):
    tenant = await new_tenant(database)
    query = "SELECT *, k::text AS whole FROM api_keys AS k WHERE id = :id"
    async with owner_sessions(database) as owner, owner.unscoped() as session:
        row = (await session.execute(text(query), {"id": tenant.api_key_id})).one()
    assert row.secret_hash == hashlib.sha256(tenant.api_key.encode()).digest()
    assert tenant.api_key.removeprefix("hf_live_") not in row.whole
    assert tenant.api_key.startswith(row.prefix)
    assert tenant.api_key.endswith(row.last_four)


@pytest.mark.parametrize(
    "assignment",
    ["revoked_at = now()", "expires_at = now() - interval '1 second'"],
    ids=["revoked", "expired"],
)
async def test_a_key_that_has_ended_opens_nothing(database: Database, sessions: Sessions, assignment: str):
    tenant = await new_tenant(database)
    await change(database, tenant, assignment)
    with pytest.raises(Unauthenticated):
        await authenticate_key(sessions, tenant.api_key)


async def test_a_key_that_has_not_expired_yet_opens(database: Database, sessions: Sessions):
    tenant = await new_tenant(database)
    await change(database, tenant, "expires_at = now() + interval '1 hour'")
    caller, _ = await authenticate_key(sessions, tenant.api_key)
    assert caller.api_key_id == tenant.api_key_id


@pytest.mark.parametrize(
    "secret", ["", "hf_live_", "hf_live_" + "a" * 44, "hf_test_" + "a" * 43, "hf_live_" + "é" * 43]
)
async def test_what_has_not_the_form_of_a_key_opens_nothing(sessions: Sessions, secret: str):
    with pytest.raises(Unauthenticated):
        await authenticate_key(sessions, secret)


def test_secrets_have_256_random_bits_and_are_recognised():
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(is_secret(secret) for secret in secrets)
    assert not is_secret(next(iter(secrets)) + "\n")
