"""What a fresh local database gets."""

import pytest

from app.auth.permissions import KEY_SCOPES
from app.auth.service import authenticate_key
from app.local.seed import seed
from app.resources import open_api
from app.settings import SettingsError
from tests.api import running_api, settings_for
from tests.servers import Database


async def test_the_seeded_key_opens_the_seeded_workspace(database: Database):
    settings = settings_for(database, credits={"local_grant": 500})
    seeded = await seed(settings)
    assert seeded.api_key is not None
    async with running_api(database) as client:
        answer = await client.get(
            f"/api/v1/workspaces/{seeded.workspace_id}/credits",
            headers={"Authorization": f"Bearer {seeded.api_key}"},
        )
    assert answer.json()["data"] == {"balance": 500, "held": 0, "available": 500}


async def test_seeding_again_changes_nothing_and_shows_no_key(database: Database):
    settings = settings_for(database)
    first, again = await seed(settings), await seed(settings)
    assert again.workspace_id == first.workspace_id
    assert again.api_key is None
    async with running_api(database) as client:
        path, headers = f"/api/v1/workspaces/{first.workspace_id}", {"Authorization": f"Bearer {first.api_key}"}
        entries = await client.get(f"{path}/credits/entries", headers=headers)
    assert len(entries.json()["data"]) == 1


async def test_a_lost_key_is_replaced_by_another_one(database: Database):
    settings = settings_for(database)
    first, again = await seed(settings), await seed(settings, new_key=True)
    assert again.workspace_id == first.workspace_id
    assert again.api_key not in (None, first.api_key)
    async with running_api(database) as client:
        for key in (first.api_key, again.api_key):
            answer = await client.get("/api/v1/providers", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200


async def test_the_seeded_key_has_every_scope(database: Database):
    settings = settings_for(database)
    seeded = await seed(settings)
    assert seeded.api_key is not None
    async with open_api(settings) as resources:
        caller, _ = await authenticate_key(resources.sessions, seeded.api_key)
    assert caller.permissions == KEY_SCOPES


async def test_seeding_needs_the_owner(database: Database):
    with pytest.raises(SettingsError, match="HOLDFAST_OWNER_DATABASE_URL"):
        await seed(settings_for(database, owner_database_url=None))
