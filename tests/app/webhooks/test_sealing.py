"""What is secret of an endpoint is sealed, bound to it, and wrapped anew with every other key."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy import text

from app.credentials.errors import CredentialUnreadable
from app.credentials.opening import Opener
from app.credentials.rotation import Rotated, rotate
from app.settings import CredentialSettings
from app.webhooks import secrets_repository
from app.webhooks.endpoints import rotate_secret
from app.webhooks.signing import key_of
from app.webhooks.target import Target, open_target
from tests.app.credentials.sealed import KEYS, key
from tests.app.webhooks.scene import SEALER, Scene, opened
from tests.servers import Database

BOTH = CredentialSettings(keys={"first": key(1), "second": key(2)})
NEW = CredentialSettings(keys={"second": key(2)})
HEADERS = {"Authorization": "Bearer a-token-of-theirs"}


@pytest.fixture
async def scene(database: Database, temporal_server: str) -> AsyncIterator[Scene]:
    async with opened(database, temporal_server) as scene:
        yield scene


async def target(scene: Scene, endpoint_id: UUID, settings: CredentialSettings) -> Target | None:
    async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
        return await open_target(session, Opener.of(settings), scene.workspace_id, endpoint_id)


async def test_all_secrets_open_with_the_new_key_alone_after_a_rotation_of_keys(scene: Scene):
    endpoint_id, old = await scene.endpoint("https://example.com", headers=HEADERS)
    async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
        new = await rotate_secret(session, SEALER, scene.workspace_id, endpoint_id)
    assert new is not None
    platform = scene.stack.resources.platform_sessions

    assert await rotate(platform, BOTH, secrets_repository, batch=2) == Rotated(rewrapped=3, left=0)
    assert await rotate(platform, BOTH, secrets_repository) == Rotated(rewrapped=0, left=0)

    assert await target(scene, endpoint_id, NEW) == Target("https://example.com", [key_of(new), key_of(old)], HEADERS)


async def test_neither_secrets_nor_headers_stand_in_the_tables(scene: Scene):
    endpoint_id, secret = await scene.endpoint("https://example.com", headers=HEADERS)
    rows = await scene.rows("SELECT to_jsonb(s)::text AS row FROM webhook_secrets AS s")
    rows += await scene.rows("SELECT to_jsonb(e)::text AS row FROM webhook_endpoints AS e")
    told = " ".join(each["row"] for each in rows)
    assert "Authorization" in told
    for each in (secret, secret.removeprefix("whsec_"), key_of(secret).hex(), HEADERS["Authorization"]):
        assert each not in told
        assert each not in repr(await target(scene, endpoint_id, KEYS))


async def test_a_secret_that_somebody_moved_to_another_endpoint_does_not_open(scene: Scene):
    endpoint_id, _ = await scene.endpoint("https://example.com")
    other, _ = await scene.endpoint("https://example.com")
    async with scene.stack.owner.for_workspace(scene.workspace_id) as session:
        await session.execute(text("DELETE FROM webhook_secrets WHERE endpoint_id = :id"), {"id": other})
        await session.execute(text("UPDATE webhook_secrets SET endpoint_id = :id"), {"id": other})
    with pytest.raises(CredentialUnreadable):
        await target(scene, other, KEYS)
    assert await target(scene, endpoint_id, KEYS) == Target("https://example.com", [], {})
